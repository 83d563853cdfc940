"""Resampling the groups of a test set: the same draws for every network, without a loop over rows.

A group (same subject, same photo, same picture) is drawn whole, with replacement, as many groups as there are
(Efron & Tibshirani 1993, chapter 8; Field & Welsh 2007 for clusters). Every metric used here is a function of
sums over rows, so one matrix product of draws × groups with groups × sums gives all resamples at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fer.metrics.metrics import count, count_columns, counts_of_sums, scores_of

RESAMPLES = 2000
LEVEL = 0.95
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


# ---------------------------------------------------------------- scores


def scores_once(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    """Every metric of counts on the rows as they are."""
    return {name: float(value) for name, value in scores_of(count(labels, predicted, classes)).items()}


def resampled_scores(
    draws: GroupDraws, labels: np.ndarray, predicted: np.ndarray, classes: int
) -> dict[str, np.ndarray]:
    """Every metric of counts in every resample, float64[B] each."""
    return scores_of(counts_of_sums(draws.sums(count_columns(labels, predicted, classes))))


# ---------------------------------------------------------------- intervals


def percentile_interval(resampled: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of the resampled values [B]: for scores, whose bootstrap is centred on the value."""
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
