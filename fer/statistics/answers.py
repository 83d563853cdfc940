"""A test set as every trained network answered it: rows, groups, shared resamples, scores.

The folds of a repeat are one answer to all rows (fer.results.pooling). Where folds answer the same rows (another
dataset's official test set), each is an answer, and all of one seed count as that seed: they share its luck and most
of their training pictures. All repeats use the same pictures: their deviation says nothing of other pictures, the
intervals over groups do; nor does it say anything of other seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from evaluation import Predictions
from fer.data.folds import repeat_of
from fer.data.whole_sets import dataset_of
from fer.metrics.metrics import compared_by, counted
from fer.results.study_files import PredictionEntry, StoredRun, StoredStudy, read_predictions
from fer.runs.run import ORACLE
from fer.statistics.bootstrap import GroupDraws, draw_groups, resampled_scores, scores_once
from fer.statistics.groups import read_row_facts
from fer.statistics.significance import EffectiveSize, Resampled, effective_size
from utils import InputError, log


@dataclass(frozen=True, order=True)
class Setup:
    """A run without its seed and fold: what is repeated over seeds."""

    train_on: str
    variant: str
    model: str
    balance: str
    mixing: str
    selection: str

    @property
    def is_oracle(self) -> bool:
        """True when the epoch was chosen on the test set."""
        return self.selection == ORACLE


def setup_of(run: StoredRun) -> Setup:
    """The setup of a stored run."""
    return Setup(run.train_on, *(str(run.run[name]) for name in ("variant", "model", "balance", "mixing", "selection")))


@dataclass(frozen=True)
class Rows:
    """Rows of a test set in order of sample_id, with draws of their groups shared by all who answered them."""

    sample_ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def draws(self) -> GroupDraws:
        """Resamples of the groups, always the same for the same rows."""
        return draw_groups(self.groups)

    @cached_property
    def sizes(self) -> dict[str, EffectiveSize]:
        """Effective size for each score."""
        return {score: effective_size(score, self.labels, self.groups) for score in counted()}


@dataclass(frozen=True)
class Answer:
    """What one training answered to `rows`, or the folds of one repeat together. `probabilities` [N, C]."""

    setup: Setup
    seed: int
    folds: tuple[str, ...]
    entry: PredictionEntry
    test_variant: str
    tta: str
    rows: Rows
    probabilities: np.ndarray

    @cached_property
    def predicted(self) -> np.ndarray:
        """Most probable class of each row, int64[N]."""
        return self.probabilities.argmax(axis=1)

    @property
    def run(self) -> str:
        """Folder name of the run; of pooled folds, their name in results.csv."""
        return self.entry.run.name

    @property
    def repeat(self) -> str:
        """The repeat the folds belong to."""
        return repeat_of(self.folds[0])

    @cached_property
    def scores(self) -> dict[str, float]:
        """Every metric of counts."""
        return scores_once(self.rows.labels, self.predicted, self.probabilities.shape[1])

    @cached_property
    def resampled(self) -> dict[str, np.ndarray]:
        """The same in every resample of the rows, float32[B] each."""
        found = resampled_scores(self.rows.draws, self.rows.labels, self.predicted, self.probabilities.shape[1])
        return {name: values.astype(np.float32) for name, values in found.items()}


def resampled_of(answers: list[Answer], score: str) -> Resampled:
    """One score of trainings that answered the same rows: a value a seed, the mean over its repeats and folds."""
    by_seed = [[one for one in answers if one.seed == seed] for seed in sorted({one.seed for one in answers})]
    values = np.array([np.mean([one.scores[score] for one in seed]) for seed in by_seed])
    return Resampled(values, np.stack([np.mean([one.resampled[score] for one in seed], axis=0) for seed in by_seed]))


def paired_in_order(first: list[Answer], second: list[Answer]) -> tuple[list[Answer], list[Answer]]:
    """The trainings both sides have, in the same order: those of equal seed and folds."""
    by_training = {(answer.seed, answer.folds): answer for answer in second}
    both = [answer for answer in first if (answer.seed, answer.folds) in by_training]
    return both, [by_training[answer.seed, answer.folds] for answer in both]


@dataclass
class TestSet:
    """All answers to one test set. `single`: one per training; `pooled`: folds of a repeat joined, others as they are.

    `facts`: what groups.read_row_facts knows of the rows. `scores`: the metrics by which answers are compared.
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    name: str
    facts: pd.DataFrame
    scores: tuple[str, ...]
    single: list[Answer] = field(default_factory=list)
    pooled: list[Answer] = field(default_factory=list)


def datasets_of(study: StoredStudy, test_on: str) -> list[str]:
    """Names of the datasets a test set holds: itself, the dataset of `<dataset>@all`, or the parts of a union "a+b"."""
    test_on = dataset_of(test_on)
    return [test_on] if test_on in study.datasets else test_on.split("+")


def read_test_sets(study: StoredStudy, damaged: list[str], split: str = "test") -> Iterator[TestSet]:
    """Every test set of the plan, one after the other; with `split` "val" the validation rows of every dataset.

    What cannot be used is named in the log and in `damaged`.
    """
    entries: dict[str, list[PredictionEntry]] = {}
    for entry in study.predictions:
        if entry.split == split:
            entries.setdefault(entry.test_on, []).append(entry)
    for name in sorted(entries):
        try:
            facts = _facts(study, name)
        except InputError as error:
            _leave_out(error, damaged)
            continue
        found = TestSet(name, facts, compared_by(study.primary_metric))
        _fill(found, entries[name], damaged)
        yield found


def _facts(study: StoredStudy, test_on: str) -> pd.DataFrame:
    parts = []
    for name in datasets_of(study, test_on):
        part = read_row_facts(study.output, name)
        parts.append(part.assign(group=name + "/" + part["group"].astype(int).astype(str)))
    return pd.concat(parts)


def _leave_out(error: InputError, damaged: list[str]) -> None:
    log.warning("left out of the statistics: %s", error)
    damaged.append(str(error))


def _fill(test_set: TestSet, entries: list[PredictionEntry], damaged: list[str]) -> None:
    known: dict[Any, Rows] = {}
    for entry in entries:
        try:
            found = read_predictions(entry)
            answer = _answer(entry, found, test_set.facts, known)
        except InputError as error:
            _leave_out(error, damaged)
            continue
        if not entry.run.folds:
            test_set.single.append(answer)
        if entry.rows != "fold":
            test_set.pooled.append(answer)


def _answer(entry: PredictionEntry, found: Predictions, facts: pd.DataFrame, known: dict[Any, Rows]) -> Answer:
    rows = _rows_of(entry, found, facts, known)
    pooled = entry.parts if entry.how == "folds" else (entry,)
    folds = tuple(str(part.run.run["split"]) for part in pooled)
    seed = int(entry.run.run["seed"])
    return Answer(setup_of(entry.run), seed, folds, entry, entry.test_variant, entry.tta, rows, found.probabilities)


def _rows_of(entry: PredictionEntry, found: Predictions, facts: pd.DataFrame, known: dict[Any, Rows]) -> Rows:
    """The rows of a predictions file; the same object for the same rows, so that draws are made once."""
    key = _rows_key(found.sample_ids, found.labels)
    if key in known:
        return known[key]
    places = facts.index.get_indexer(pd.Index(found.sample_ids))
    if (places < 0).any():
        raise InputError(
            f"{entry.path}: {(places < 0).sum()} of {len(places)} rows are not in the samples table, "
            f"{found.sample_ids[places < 0][0]} among them. Run main.py: it scores the present rows."
        )
    groups = facts["group"].to_numpy(dtype=str)[places]
    return known.setdefault(key, Rows(found.sample_ids, found.labels, groups))


def _rows_key(sample_ids: np.ndarray, labels: np.ndarray) -> tuple[bytes, bytes]:
    return sample_ids.tobytes(), labels.tobytes()
