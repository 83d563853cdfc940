"""What stands beside the numbers of a paper table: what validation chooses, what is best, the interval of one training.

All of it was made before: validation_results.csv, statistics/best.csv, statistics/intervals.csv. Where a file of the
statistics is not there yet, its marks are left out, and captions say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.columns.files import SETUP
from fer.results.study_files import read_study
from fer.results.tables import read_validation
from fer.results.validation_choice import ValidationScores
from utils import InputError, read_csv

ENDS = ("low", "high")
CHOSEN = "†"
TEXTS = ("section", "test_on", "rows", "tta", "metric", *SETUP, "test_variant")


class Marks:
    """Marks of one study's tables; `metric`: its PRIMARY_METRIC."""

    def __init__(self, output: Path):
        self.metric = read_study(output).primary_metric
        self.validation = ValidationScores(read_validation(output), self.metric)
        self._best = _best_cells(output)

    @property
    def is_tested(self) -> bool:
        """True where the statistics say which cells are best."""
        return bool(self._best)

    def is_best(self, record: Mapping[str, Any], test_on: str, tta: str, metric: str) -> bool:
        """True where a row of a table (section, rows, SETUP, test_variant) is its best, or not told from it."""
        known = {**record, "test_on": test_on, "tta": tta, "metric": metric}
        return tuple(str(known[name]) for name in TEXTS) in self._best


def _best_cells(output: Path) -> set[tuple[str, ...]]:
    """The cells to be marked, of columns in which several rows were compared."""
    table = _read(output, "best", TEXTS)
    if table is None:
        return set()
    found = table[table["indistinguishable"].astype(bool) & (table["pairs_in_family"] > 0)]
    return set(found[list(TEXTS)].itertuples(index=False, name=None))


def with_intervals(output: Path, rows: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """`rows` (of results.csv) with columns "<metric> low" and "<metric> high": the 95 % interval of each training.

    Accuracy has Wilson's where every picture is a group of its own, else, as the other scores, the bootstrap's over
    groups. Empty where no interval is of this very number, as of a mean over folds that answered the same rows.
    """
    keys = ["run", "test_on", "test_variant", "tta"]
    found = _read(output, "intervals", (*keys, "metric", "method"))
    rows = rows.assign(**{f"{metric} {end}": np.nan for metric in metrics for end in ENDS})
    if found is None:
        return rows
    wilson = found["method"] == "wilson"
    found = found[~wilson | (found["n"] == found["n_groups"])]
    found = found.sort_values("method", ascending=False, kind="stable").drop_duplicates([*keys, "metric"])
    for metric in metrics:
        one = rows[keys].merge(found[found["metric"] == metric], on=keys, how="left")
        same = np.isclose(one["value"].astype(float), rows[metric].astype(float), rtol=0, atol=1e-9)
        for end in ENDS:
            rows[f"{metric} {end}"] = np.where(same, one[end], np.nan)
    return rows


def _read(output: Path, name: str, texts: tuple[str, ...]) -> pd.DataFrame | None:
    path = output / "statistics" / f"{name}.csv"
    if not path.is_file():
        return None
    try:
        table = read_csv(path, texts)
        return table.fillna(dict.fromkeys(texts, ""))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is written again.") from error
