"""Rows of statistics/*.csv as figures need them, and the words about them.

So that they stay few, calibration and groups are drawn for networks and soft ensembles on the test set of their
own training set, lowest seed; all seeds stand in the tables.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from fer.columns.files import KEYS
from fer.figures.titles import joined, notes
from fer.results.study_files import StoredStudy
from fer.runs.run import ORACLE
from fer.study.variants import scored_variant
from utils import InputError, read_csv

Records = list[dict[str, Any]]
# Close to the soft vote: shown in the comparison of ensembles and in the tables only.
OTHER_VOTES = ("ensemble_hard", "ensemble_weighted")


def statistics_path(study: StoredStudy, name: str) -> Path:
    """Where a table of the statistics lies, by its name without suffix."""
    return study.output / "statistics" / f"{name}.csv"


def statistics_table(study: StoredStudy, name: str) -> pd.DataFrame:
    """A table of the statistics. Raises InputError when it is damaged."""
    path = statistics_path(study, name)
    try:
        return read_csv(path, ["test_on"])
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is written again.") from error


def shown_rows(study: StoredStudy) -> pd.DataFrame:
    """Rows of calibration.csv of runs selected on validation, on their own test set without TTA, of the lowest seed.

    Empty where that table is not written. Raises InputError when it is damaged.
    """
    if not statistics_path(study, "calibration").is_file():
        return pd.DataFrame(columns=["train_on", "variant", "probabilities"])
    calibration = statistics_table(study, "calibration")
    rows = calibration[(calibration["selection"] != ORACLE) & (calibration["tta"] == "none")]
    rows = rows[(rows["test_on"] == rows["train_on"]) & (rows["test_variant"] == rows["variant"].map(scored_variant))]
    rows = rows[~rows["model"].isin(OTHER_VOTES)]
    same = ["train_on", "variant", "model"]
    return rows[rows["seed"] == rows.groupby(same)["seed"].transform("min")]


def of_run(table: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    """Rows of `table` of the predictions that `row` is about."""
    return table[(table[list(KEYS)] == row[list(KEYS)]).all(axis=1)]


def as_records(table: pd.DataFrame) -> Records:
    """Rows as plain values; None where there is none."""
    return list(json.loads(table.to_json(orient="records", double_precision=15)))


def row_name(row: pd.Series) -> str:
    """What a row is of, for the name of a file."""
    return f"{row['train_on']}_{row['variant']}_{row['model']}"


def about_row(study: StoredStudy, row: pd.Series) -> str:
    """What a row is of, for a title."""
    trained = f"trained on {row['train_on']} ({row['variant']}), seed {row['seed']:.0f}"
    return joined(trained, f"no TTA, n = {row['n']:,.0f}", *datasets_notes(study, row["train_on"]))


def datasets_notes(study: StoredStudy, *unions: str) -> list[str]:
    """`notes` on every dataset of unions written as in train_on: "a+b"."""
    return notes(study, *(name for union in unions for name in union.split("+")))
