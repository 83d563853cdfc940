"""What validation says of each setup, and which it chooses: the one rule of tables, findings and figures.

So that nobody chooses on test. A score is the mean over seeds; setups that lack seeds others have are no candidates.

A setup is judged on validation rows of the datasets it was trained on that are part of the test set; where none is (it
meets another dataset), on those of all it was trained on. Only setups judged on the same rows can be chosen among, so
a table has one choice for each set of validation rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd

from fer.columns.files import SETUP
from fer.results.scores import MAJORITY
from fer.results.trainings import per_training
from fer.runs.run import ORACLE


class BestSetup(NamedTuple):
    """A setup by the names of its columns, its validation score, and over how many seeds that is the mean."""

    setup: dict[str, str]
    score: float
    seeds: int


def best_setup(rows: pd.DataFrame, dataset: str, metric: str, names: Sequence[str] = SETUP) -> BestSetup | None:
    """The best of `rows` (of validation_results.csv) on a dataset; None where none has a score there.

    `names`: the columns that tell setups apart; of equal scores the first by these.
    """
    scores = _scores(rows[rows["test_on"] == dataset], metric, names)
    whole = scores[(scores["seeds"] == scores["seeds"].max()) & scores["score"].notna()]
    if whole.empty:
        return None
    best = whole["score"].idxmax()
    setup = dict(zip(names, map(str, best), strict=True))
    return BestSetup(setup, float(whole["score"][best]), int(whole["seeds"][best]))


def _scores(rows: pd.DataFrame, metric: str, names: Sequence[str]) -> pd.DataFrame:
    """By setup its `score`, the mean over seeds and repeats, and how many `seeds` it has."""
    return rows.groupby(list(names), sort=True).agg(score=(metric, "mean"), seeds=("seed", "nunique"))


@dataclass(frozen=True)
class Judged:
    """A row's validation `score` (mean over `seeds`, then over datasets; NaN: none) on the rows of `datasets` ("a+b").

    `chosen`: the highest of those judged on the same rows with all seeds, where there are several.
    """

    score: float
    seeds: int
    datasets: str
    chosen: bool = False


class ValidationScores:
    """Scores of validation_results.csv in one metric, by setup, TTA policy and dataset."""

    def __init__(self, validation: pd.DataFrame, metric: str):
        rows = validation[validation["model"] != MAJORITY]
        rows = per_training(rows) if len(rows) else rows
        scores = _scores(rows, metric, [*SETUP, "tta", "test_on"])
        self.metric = metric
        self._means: dict[Any, float] = scores["score"].to_dict()
        self._seeds: dict[Any, int] = scores["seeds"].to_dict()
        self._policies = sorted(set(rows["tta"]), key=lambda tta: (tta != "none", tta)) if len(rows) else []

    def judged(self, setup: Mapping[Any, Any], test_on: str, tta: str | None = None) -> Judged:
        """How validation sees `setup` (names of SETUP) for a test set; without `tta`, under no TTA where it can."""
        trained = str(setup["train_on"]).split("+")
        datasets = [name for name in trained if name in test_on.split("+")] or trained
        policy = tta or next(iter(self._policies), "none")
        keys = [(*(str(setup[name]) for name in SETUP), policy, name) for name in datasets]
        scores = [self._means.get(key, math.nan) for key in keys]
        return Judged(sum(scores) / len(scores), min(self._seeds.get(key, 0) for key in keys), "+".join(datasets))

    def in_order(
        self, rows: Iterable[Mapping[Any, Any]], test_on: str, tta: str | None = None
    ) -> list[tuple[dict[Any, Any], Judged]]:
        """The rows of a table about `test_on` with what validation says of them, best first; oracles are never chosen.

        A row holds the names of SETUP, and "tta" where rows differ in it. Rows judged on the test set's own datasets
        come before others, oracles last.
        """
        found = [(dict(row), self.judged(row, test_on, tta or row.get("tta"))) for row in rows]
        candidates: dict[str, list[tuple[int, float]]] = {}
        for row, one in found:
            if row["selection"] != ORACLE and not math.isnan(one.score):
                candidates.setdefault(one.datasets, []).append((one.seeds, one.score))
        marked = []
        for row, one in found:
            rivals = candidates.get(one.datasets, [])
            best = row["selection"] != ORACLE and len(rivals) > 1 and (one.seeds, one.score) == max(rivals)
            marked.append((row, replace(one, chosen=best)))
        return sorted(marked, key=lambda entry: _place(entry[0], entry[1], test_on))


def _place(row: Mapping[Any, Any], one: Judged, test_on: str) -> Any:
    elsewhere = set(test_on.split("+")).isdisjoint(one.datasets.split("+"))
    best_first = math.inf if math.isnan(one.score) else -one.score
    return row["selection"] == ORACLE, elsewhere, one.datasets, best_first, [str(row[name]) for name in SETUP]
