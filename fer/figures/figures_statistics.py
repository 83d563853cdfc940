"""Figures of statistics/*.csv: calibration, risk and coverage, intervals of differences, groups of pictures.

To keep their number sane, calibration and groups are drawn for networks and soft ensembles on the test set of their
own training set, lowest seed; all seeds stand in the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer.figures.jobs import FigureJob, joined, notes
from fer.figures.plots_statistics import plot_comparison_intervals, plot_groups, plot_reliability, plot_risk_coverage
from fer.results.study_files import StoredStudy
from fer.runs.run import ORACLE
from fer.study.variants import scored_variant
from utils import InputError, file_fingerprint, read_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Records = list[dict[str, Any]]
KEYS = ["run", "test_on", "test_variant", "tta"]
TRAINED = "as trained"
SCORE = "macro_f1"
# Close to the soft vote: drawn where the ensembles are compared, and in the tables.
OTHER_VOTES = ("ensemble_hard", "ensemble_weighted")


def statistics_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Reliability, risk and coverage, forest plots and groups, as far as their tables are there.

    Raises InputError when a table is damaged.
    """
    if (study.output / "statistics" / "calibration.csv").is_file():
        shown = _shown(_table(study, "calibration"))
        yield from _reliability_jobs(study, shown)
        yield from _risk_jobs(study, shown)
        yield from _group_jobs(study, shown)
    if (study.output / "statistics" / "comparisons.csv").is_file():
        yield from _comparison_jobs(study)


def _path(study: StoredStudy, name: str) -> Path:
    return study.output / "statistics" / f"{name}.csv"


def _table(study: StoredStudy, name: str) -> pd.DataFrame:
    path = _path(study, name)
    try:
        return read_csv(path, ["test_on"])
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is written again.") from error


def _shown(calibration: pd.DataFrame) -> pd.DataFrame:
    """Rows of honest runs on their own test set without TTA, of the lowest seed."""
    rows = calibration[(calibration["selection"] != ORACLE) & (calibration["tta"] == "none")]
    rows = rows[(rows["test_on"] == rows["train_on"]) & (rows["test_variant"] == rows["variant"].map(scored_variant))]
    rows = rows[~rows["model"].isin(OTHER_VOTES)]
    same = ["train_on", "variant", "model"]
    return rows[rows["seed"] == rows.groupby(same)["seed"].transform("min")]


def _records(table: pd.DataFrame) -> Records:
    """Rows as plain values; None where there is none."""
    return list(json.loads(table.to_json(orient="records", double_precision=15)))


def _known(study: StoredStudy, *unions: str) -> list[str]:
    return notes(study, *(name for union in unions for name in union.split("+")))


def _name(row: pd.Series) -> str:
    return f"{row['train_on']}_{row['variant']}_{row['model']}"


def _of_run(table: pd.DataFrame, row: pd.Series) -> pd.DataFrame:
    return table[(table[KEYS] == row[KEYS]).all(axis=1)]


def _about(study: StoredStudy, row: pd.Series) -> str:
    about = f"trained on {row['train_on']} ({row['variant']}), seed {row['seed']:.0f}"
    return joined(about, f"no TTA, n = {row['n']:,.0f}", *_known(study, row["train_on"]))


# ---------------------------------------------------------------- calibration and groups


def _reliability_jobs(study: StoredStudy, shown: pd.DataFrame) -> Iterator[FigureJob]:
    bins = _table(study, "reliability")
    for run, rows in shown.groupby("run", sort=False):
        first = rows.iloc[0]
        found = _of_run(bins, first)
        if found.empty:
            continue
        kinds = list(dict.fromkeys(found["probabilities"]))
        details = {
            "bins": {kind: _records(found[found["probabilities"] == kind]) for kind in kinds},
            "scores": {kind: _records(rows[rows["probabilities"] == kind])[0] for kind in kinds},
        }
        title = [f"Reliability of {first['model']} on the {first['test_on']} test set", _about(study, first)]
        yield FigureJob(f"statistics/reliability_{_name(first)}", draw_reliability, title, details, run=str(run))


def draw_reliability(title: list[str], bins: dict[str, Records], scores: dict[str, Any]) -> Figure:
    """Reliability diagram from records of reliability.csv and calibration.csv."""
    tables = {kind: pd.DataFrame(rows) for kind, rows in bins.items()}
    return plot_reliability(title, tables, {kind: pd.Series(row) for kind, row in scores.items()})


def _risk_jobs(study: StoredStudy, shown: pd.DataFrame) -> Iterator[FigureJob]:
    stamp = file_fingerprint(_path(study, "risk_coverage")) if _path(study, "risk_coverage").is_file() else None
    rows = shown[shown["probabilities"] == TRAINED]
    for (train_on, variant), part in rows.groupby(["train_on", "variant"]):
        runs = {row["model"]: [str(row[key]) for key in KEYS] for _, row in part.iterrows()}
        areas = {row["model"]: float(row["aurc"]) for _, row in part.iterrows()}
        first = part.iloc[0]
        title = [f"Answering only when sure: {train_on} test set", _about(study, first)]
        yield FigureJob(
            f"statistics/risk_coverage_{train_on}_{variant}", draw_risk_coverage, title,
            {"runs": runs, "areas": areas}, (study,), stamp,
        )  # fmt: skip


def draw_risk_coverage(
    study: StoredStudy, title: list[str], runs: dict[str, list[str]], areas: dict[str, float]
) -> Figure:
    """Risk against coverage of the rows `runs` of risk_coverage.csv. Raises InputError when that is damaged."""
    table = _table(study, "risk_coverage")
    curves = {name: table[(table[KEYS] == keys).all(axis=1)] for name, keys in runs.items()}
    return plot_risk_coverage(title, {name: curve for name, curve in curves.items() if len(curve)}, areas)


def _group_jobs(study: StoredStudy, shown: pd.DataFrame) -> Iterator[FigureJob]:
    groups = _table(study, "groups")
    for _, row in shown[shown["probabilities"] == TRAINED].iterrows():
        found = _of_run(groups, row)
        if len(found):
            title = [f"Accuracy by group: {row['model']} on the {row['test_on']} test set", _about(study, row)]
            details = {"rows": _records(found), "accuracy": float(row["accuracy"])}
            yield FigureJob(f"statistics/groups_{_name(row)}", draw_groups, title, details, run=row["run"])


def draw_groups(title: list[str], rows: Records, accuracy: float) -> Figure:
    """Accuracy by group from records of groups.csv."""
    return plot_groups(title, pd.DataFrame(rows), accuracy)


# ---------------------------------------------------------------- comparisons


def _comparison_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """A forest plot per family on the test set of its own training set; training sets are compared on every set."""
    table = _table(study, "comparisons")
    table = table[(table["metric"] == SCORE) & table["difference"].notna() & table["low"].notna()]
    table = table[table["family"].isin(["models", "ensembles", "variants", "training sets"])]
    unseen = (table["test_on"] != table["train_on"]) & (table["family"] != "training sets")
    unseen |= table["model"].fillna("").isin(OTHER_VOTES)
    context = ["family", "test_on", "test_variant", "train_on", "variant", "model", "balance", "mixing", "selection"]
    for key, pairs in table[~unseen].fillna(dict.fromkeys(context, "")).groupby(context, sort=False):
        values = dict(zip(context, map(str, key), strict=True))
        named = [values[name] for name in ("train_on", "variant", "model") if values[name]]
        words = joined(
            *named, f"pictures tested on: {values['test_variant']}", f"no TTA, n = {pairs['n'].iloc[0]:,.0f}"
        )
        title = [
            f"{values['family'].capitalize()} compared on the {values['test_on']} test set",
            joined(words, *_known(study, values["test_on"], *filter(None, [values["train_on"]]))),
        ]
        parts = [values["family"].replace(" ", "_"), values["test_on"], *named, values["test_variant"]]
        name = f"statistics/compared_{'_'.join(dict.fromkeys(parts))}"
        yield FigureJob(name, draw_comparisons, title, {"pairs": _records(pairs)}, run=f"__{values['selection']}")


def draw_comparisons(title: list[str], pairs: Records) -> Figure:
    """Forest plot from records of comparisons.csv."""
    return plot_comparison_intervals(title, pd.DataFrame(pairs))
