"""Resampling the groups of a test set: the same draws for every network, without a loop over rows.

A group (same subject, same photo, same picture) is drawn whole, with replacement, as many groups as there are
(Efron & Tibshirani 1993, chapter 8; Field & Welsh 2007 for clusters). Every score used here is a function of
sums over rows, so one matrix product of draws × groups with groups × sums gives all resamples at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
CHUNK = 64  # resamples multiplied at a time, which bounds the memory of 100,000 groups


@dataclass(frozen=True)
class GroupDraws:
    """How often each group stands in each resample. `weights` uint8[B, G]; `group_of` int64[N], 0 to G - 1."""

    weights: np.ndarray
    group_of: np.ndarray

    @property
    def n_groups(self) -> int:
        """Groups drawn from."""
        return self.weights.shape[1]

    def sums(self, columns: np.ndarray, resamples: int | None = None) -> np.ndarray:
        """Sum of each column over the rows of each resample (of the first `resamples`): [N, K] ▶ float32[B, K]."""
        table = self._by_group(np.asarray(columns, dtype=np.float32))
        weights = self.weights[:resamples]
        parts = [weights[i : i + CHUNK].astype(np.float32) @ table for i in range(0, len(weights), CHUNK)]
        return np.concatenate(parts)

    def _by_group(self, columns: np.ndarray) -> np.ndarray:
        order = np.argsort(self.group_of, kind="stable")
        starts = np.searchsorted(self.group_of[order], np.arange(self.n_groups))
        return np.add.reduceat(columns[order], starts, axis=0)


def draw_groups(groups: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> GroupDraws:
    """Draws for the rows whose groups are `groups` [N]: equal for equal groups and seed, whatever is scored."""
    names, group_of = np.unique(groups, return_inverse=True)
    rng, count = np.random.default_rng(seed), len(names)
    weights = np.empty((resamples, count), dtype=np.uint8)
    for row in weights:
        row[:] = np.bincount(rng.integers(0, count, count), minlength=count)
    return GroupDraws(weights, group_of)


# ---------------------------------------------------------------- scores as functions of sums


def count_columns(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Per row what the scores sum: correct, true and predicted, one column a class each, bool[N, 3 × classes]."""
    each = np.arange(classes)
    true, answered = labels[:, None] == each, predicted[:, None] == each
    return np.hstack([true & answered, true, answered])


def scores_of_counts(counts: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of SCORES from sums of `count_columns` [..., 3 × classes]; macro averages the classes present."""
    correct, true, answered = np.split(np.asarray(counts, dtype=np.float64), 3, axis=-1)
    present = true > 0
    n_classes = np.maximum(present.sum(-1), 1)
    recall = np.divide(correct, true, out=np.zeros_like(true), where=present)
    f1 = np.divide(2 * correct, true + answered, out=np.zeros_like(true), where=present)
    values = correct.sum(-1) / true.sum(-1), recall.sum(-1) / n_classes, f1.sum(-1) / n_classes
    return dict(zip(SCORES, values, strict=True))


def scores_once(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    """The scores of SCORES on the rows as they are."""
    counts = count_columns(labels, predicted, classes).sum(axis=0)
    return {name: float(value) for name, value in scores_of_counts(counts).items()}


def resampled_scores(
    draws: GroupDraws, labels: np.ndarray, predicted: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    """The scores of SCORES in every resample, float64[B] each."""
    return scores_of_counts(draws.sums(count_columns(labels, predicted, classes)))


# ---------------------------------------------------------------- intervals


def percentile_interval(resampled: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of the resampled values [B]: for scores, whose bootstrap is centred on the value."""
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
