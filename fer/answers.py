"""A test set as every trained network answered it: rows, groups, shared resamples, scores.

Runs that differ only in `split` are folds (fer.folds). The k folds of one repeat, and subjects left out in turn, share
no test row: together they are one answer to all rows, pooled before any score is computed, since a mean over folds
would weigh small folds and rare classes wrongly. Where folds do answer the same rows (another dataset's official test
set) or are splits of their own (repeated splits), each is a training of its own, like a seed. Means and deviations
are then over (seed, repeat). All repeats use the same pictures: their deviation says nothing of other pictures, the
intervals over groups do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from evaluation import Predictions
from fer.bootstrap import SCORES, GroupDraws, draw_groups, resampled_scores, scores_once
from fer.groups import read_row_facts
from fer.runs import ORACLE
from fer.settings import EMOTIONS
from fer.significance import EffectiveSize, Resampled, effective_size
from fer.study_files import PredictionEntry, StoredRun, StoredStudy, read_predictions
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
        return {score: effective_size(score, self.labels, self.groups) for score in SCORES}


@dataclass(frozen=True)
class Answer:
    """What one training answered to `rows`, or the folds of one repeat together. `probabilities` float32[N, C]."""

    setup: Setup
    seed: int
    folds: tuple[str, ...]
    entries: tuple[PredictionEntry, ...]
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
        """Folder name of the run, or of the runs pooled, joined by " | "."""
        return " | ".join(entry.run.name for entry in self.entries)

    @cached_property
    def scores(self) -> dict[str, float]:
        """The scores of bootstrap.SCORES."""
        return scores_once(self.rows.labels, self.predicted, len(EMOTIONS))

    @cached_property
    def resampled(self) -> dict[str, np.ndarray]:
        """The same in every resample of the rows, float32[B] each."""
        found = resampled_scores(self.rows.draws, self.rows.labels, self.predicted, len(EMOTIONS))
        return {name: values.astype(np.float32) for name, values in found.items()}


def resampled_of(answers: list[Answer], score: str) -> Resampled:
    """One score of several trainings that answered the same rows."""
    values = np.array([answer.scores[score] for answer in answers])
    return Resampled(values, np.stack([answer.resampled[score] for answer in answers]))


def paired_in_order(first: list[Answer], second: list[Answer]) -> tuple[list[Answer], list[Answer]]:
    """The trainings both sides have, in the same order: those of equal seed and folds."""
    by_training = {(answer.seed, answer.folds): answer for answer in second}
    both = [answer for answer in first if (answer.seed, answer.folds) in by_training]
    return both, [by_training[answer.seed, answer.folds] for answer in both]


@dataclass
class TestSet:
    """All answers to one test set. `single`: one per predictions file; `pooled`: folds of a repeat joined.

    `facts`: what groups.read_row_facts knows of the rows.
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    name: str
    facts: pd.DataFrame
    single: list[Answer] = field(default_factory=list)
    pooled: list[Answer] = field(default_factory=list)


def datasets_of(study: StoredStudy, test_on: str) -> list[str]:
    """Names of the datasets a test set holds: itself, or the parts of a union "a+b"."""
    return [test_on] if test_on in study.datasets else test_on.split("+")


def read_test_sets(study: StoredStudy, damaged: list[str]) -> Iterator[TestSet]:
    """Every test set of the plan, one after the other. What cannot be used is named in the log and in `damaged`."""
    entries: dict[str, list[PredictionEntry]] = {}
    for entry in study.predictions:
        if entry.split == "test":
            entries.setdefault(entry.test_on, []).append(entry)
    for name in sorted(entries):
        try:
            facts = _facts(study, name)
        except InputError as error:
            _leave_out(error, damaged)
            continue
        found = TestSet(name, facts)
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
        test_set.single.append(answer)
    test_set.pooled = list(_pool(test_set.single, known))


def _answer(entry: PredictionEntry, found: Predictions, facts: pd.DataFrame, known: dict[Any, Rows]) -> Answer:
    rows = _rows_of(entry, found, facts, known)
    run = entry.run.run
    folds, seed = (str(run["split"]),), int(run["seed"])
    return Answer(setup_of(entry.run), seed, folds, (entry,), entry.test_variant, entry.tta, rows, found.probabilities)


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


# ---------------------------------------------------------------- folds


def _natural(name: str) -> list[Any]:
    """Order in which fold10 follows fold9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _repeat(fold: str) -> str:
    """What the folds that are pooled have in common: r2f0 and r2f1 the repeat r2, subjects that they are subjects."""
    return re.sub(r"^(r\d+)f\d+$", r"\1", re.sub(r"^subject\d+$", "subjects", fold))


def _pool(answers: Iterable[Answer], known: dict[Any, Rows]) -> Iterator[Answer]:
    """Answers with the folds of each repeat joined."""
    together: dict[tuple[Any, ...], list[Answer]] = {}
    for answer in answers:
        key = (answer.setup, answer.seed, _repeat(answer.folds[0]), answer.test_variant, answer.tta)
        together.setdefault(key, []).append(answer)
    for folds in together.values():
        for pool in _disjoint(sorted(folds, key=_fold_order)):
            yield pool[0] if len(pool) == 1 else _joined(pool, known)


def _fold_order(answer: Answer) -> list[Any]:
    return _natural(answer.folds[0])


def _disjoint(folds: list[Answer]) -> list[list[Answer]]:
    """Folds put together as long as no row comes twice, in the order of their names."""
    if len(folds) == 1:
        return [folds]
    pools: list[list[Answer]] = []
    taken: list[set[str]] = []
    for fold in folds:
        ids = set(fold.rows.sample_ids.tolist())
        place = next((i for i, others in enumerate(taken) if others.isdisjoint(ids)), None)
        if place is None:
            pools.append([fold])
            taken.append(ids)
        else:
            pools[place].append(fold)
            taken[place] |= ids
    return pools


def _joined(pool: list[Answer], known: dict[Any, Rows]) -> Answer:
    order = np.argsort(np.concatenate([fold.rows.sample_ids for fold in pool]), kind="stable")
    parts = [[getattr(fold.rows, name) for fold in pool] for name in ("sample_ids", "labels", "groups")]
    together = Rows(*(np.concatenate(part)[order] for part in parts))
    rows = known.setdefault(_rows_key(together.sample_ids, together.labels), together)
    first = pool[0]
    return Answer(
        setup=first.setup,
        seed=first.seed,
        folds=tuple(fold.folds[0] for fold in pool),
        entries=tuple(entry for fold in pool for entry in fold.entries),
        test_variant=first.test_variant,
        tta=first.tta,
        rows=rows,
        probabilities=np.concatenate([fold.probabilities for fold in pool])[order],
    )
