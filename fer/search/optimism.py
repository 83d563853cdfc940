"""How much too good the chosen trial's score is, for having been chosen: from the stored validation answers alone.

The best of many scores on the same faces is partly luck (Cawley & Talbot 2010). Bootstrap bias correction (Tsamardinos,
Greasidou & Borboudakis 2018, "Bootstrapping the out-of-sample predictions for efficient and accurate
cross-validation"): the choice is made again on faces drawn with replacement, and scored on those that were not drawn.
Nothing is trained again. Groups of related pictures are drawn whole.

Of scores that depend on the number of rows (macro-F1 on few of them), what all trials lose together on the faces that
were not drawn is taken out. Measured beside half splits, ten folds and Tibshirani & Tibshirani (2009) on planted
answers: docs/search.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer.metrics.metrics import METRICS, count_columns, counts_of_sums
from fer.statistics.bootstrap import GroupDraws, draw_groups

RESAMPLES = 200
FEWEST_GROUPS = 20
METHOD = "bootstrap bias correction (Tsamardinos et al. 2018)"


@dataclass(frozen=True)
class Answers:
    """One trial's answers to one set of rows: labels, predicted int64[N], and each row's group [N].

    `share`: what the score of this set weighs in the trial's score.
    """

    labels: np.ndarray
    predicted: np.ndarray
    groups: np.ndarray
    classes: int
    share: float = 1.0


@dataclass(frozen=True)
class Optimism:
    """`score` of the chosen, `corrected`: what its like scores on faces that did not choose; `same`: see below.

    `same` is the share of resamples that choose the same trial: near 1, the choice is clear.
    """

    score: float
    corrected: float
    same: float
    trials: int
    rows: int

    @property
    def drop(self) -> float:
        """By how much the chosen score is too good."""
        return self.score - self.corrected


def choice_optimism(trials: Sequence[Sequence[Answers]], metric: str) -> Optimism | None:
    """What choosing among `trials` by `metric` is worth in luck; every trial answers the same sets in the same order.

    None for fewer than two trials, or fewer than FEWEST_GROUPS groups of a set.
    """
    if len(trials) < 2 or min(len(np.unique(one.groups)) for one in trials[0]) < FEWEST_GROUPS:
        return None
    shape = RESAMPLES, len(trials)
    drawn, left, whole = np.zeros(shape), np.zeros(shape), np.zeros(len(trials))
    for place, first in enumerate(trials[0]):
        draws = draw_groups(first.groups, RESAMPLES)
        undrawn = GroupDraws((draws.weights == 0).astype(np.uint8), draws.group_of)
        for number, answers in enumerate(trials):
            one = answers[place]
            columns = count_columns(one.labels, one.predicted, one.classes)
            drawn[:, number] += one.share * _scores(draws.sums(columns), metric)
            left[:, number] += one.share * _scores(undrawn.sums(columns), metric)
            whole[number] += one.share * float(_scores(columns.sum(0), metric))
    chosen = drawn.argmax(1)
    lost_by_all = (left - whole).mean(1)
    corrected = float((left[np.arange(RESAMPLES), chosen] - lost_by_all).mean())
    same = float((chosen == whole.argmax()).mean())
    rows = sum(len(one.labels) for one in trials[0])
    return Optimism(float(whole.max()), corrected, same, len(trials), rows)


def _scores(sums: np.ndarray, metric: str) -> np.ndarray:
    """The score of summed columns [..., 3 C]; what is undefined counts as worst, as in the trials."""
    of_counts = METRICS[metric].counts
    assert of_counts is not None  # PRIMARY_METRIC is one of counts
    return np.nan_to_num(of_counts(counts_of_sums(sums)), nan=-1.0)
