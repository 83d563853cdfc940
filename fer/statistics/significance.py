"""Intervals and tests on plain arrays: Wilson, McNemar, paired resampling, Friedman and Nemenyi.

What each is for, and where it stops: Wilson takes rows as independent, so it is too narrow where many rows
share a group; the bootstrap over groups (fer.statistics.bootstrap) is not. McNemar compares two trained networks, not
two architectures. For architectures `compare` resamples seeds as well, and needs three networks a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fer.metrics.metrics import METRICS
from fer.statistics.bootstrap import LEVEL

# Fewer trained networks than this say nothing about an architecture, only about themselves.
ENOUGH_SEEDS = 3
# Fewer data sets than this have no use for a test over data sets (Demšar 2006).
ENOUGH_DATASETS = 6
ALPHA = 1 - LEVEL


def wilson_interval(correct: ArrayLike, n: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """95 % Wilson interval of `correct` out of `n` independent rows (Wilson 1927), elementwise; NaN where n is 0."""
    from statsmodels.stats.proportion import proportion_confint

    correct, n = np.broadcast_arrays(np.asarray(correct, dtype=float), np.asarray(n, dtype=float))
    low, high = proportion_confint(correct, np.where(n > 0, n, np.nan), alpha=ALPHA, method="wilson")
    # exact where rounding would leave 3e-17 in a table
    return np.where((correct == 0) & (n > 0), 0.0, low), np.where((correct == n) & (n > 0), 1.0, high)


def accuracy_with_interval(
    labels: np.ndarray, predicted: np.ndarray, mask: np.ndarray | None = None
) -> dict[str, float | int]:
    """Accuracy on the rows of `mask` (bool[N]; all rows without one): value, low, high (Wilson), n, correct.

    On no row at all the first three are NaN.
    """
    hits = (labels == predicted)[slice(None) if mask is None else mask]
    n, correct = len(hits), int(hits.sum())
    low, high = wilson_interval(correct, n)
    value = correct / n if n else float("nan")
    return {"value": value, "low": float(low), "high": float(high), "n": n, "correct": correct}


def mcnemar_p(correct_a: np.ndarray, correct_b: np.ndarray) -> float:
    """Two-sided exact McNemar p-value of two answers to the same rows, bool[N] each.

    Binomial on the rows where exactly one is right; exact however many there are, since that costs nothing.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    only_a, only_b = int((correct_a & ~correct_b).sum()), int((~correct_a & correct_b).sum())
    return min(float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue), 1.0) if only_a + only_b else 1.0


# ---------------------------------------------------------------- differences


@dataclass(frozen=True)
class Difference:
    """First minus second, with its standard error, degrees of freedom and two-sided p.

    `weights_only`: about these trained networks alone. `deviations` [B]: how far resampled groups move it, in units of
    its standard deviation, and `share`: their part of the variance (the rest is seeds). `discordant`: rows only the
    first, only the second got right, and all rows, where p is also that of McNemar's test; else None.
    """

    value: float
    error: float
    freedom: float
    p: float
    weights_only: bool
    method: str
    deviations: np.ndarray
    share: float = 1.0
    discordant: tuple[int, int, int] | None = None

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.interval()[1]

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """The 1 - alpha interval, which leaves out 0 exactly where p < alpha; within -1 to 1.

        Student's t. With `discordant` the hull of that and of McNemar's: Clopper and Pearson's (1934) interval for the
        share of the first among the rows that differ.
        """
        from scipy.special import betaincinv, stdtrit

        reach = float(stdtrit(self.freedom, 1 - alpha / 2)) * self.error
        low, high = self.value - reach, self.value + reach
        if self.discordant is not None and self.discordant[:2] != (0, 0):
            first, second, n = self.discordant
            least = float(betaincinv(first, second + 1, alpha / 2)) if first else 0.0
            most = float(betaincinv(first + 1, second, 1 - alpha / 2)) if second else 1.0
            ends = [(2 * share - 1) * (first + second) / n for share in (least, most)]
            low, high = min(low, ends[0]), max(high, ends[1])
        return max(low, -1.0), min(high, 1.0)


@dataclass(frozen=True)
class Resampled:
    """One score by seed on one test set: `values` [S], and `draws` [S, B] on shared resamples."""

    values: np.ndarray
    draws: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class EffectiveSize:
    """How far resampled groups can be trusted: degrees of freedom, and what to multiply their variance by."""

    freedom: float
    inflation: float


def effective_size(metric: str, labels: np.ndarray, groups: np.ndarray) -> EffectiveSize:
    """Effective size of a test set for a metric of counts; labels and groups [N].

    All groups, as of accuracy. Metrics that average classes rest on the groups of the rarest: each class enters with
    1 / its groups (Satterthwaite 1946), and resampling n groups finds (n - 1)/n of their variance.
    """
    if not METRICS[metric].averages_classes:
        counts = np.array([len(np.unique(groups))])
    else:
        counts = np.array([len(np.unique(groups[labels == label])) for label in np.unique(labels)])
    rest = np.maximum(counts - 1, 1)
    freedom = (1 / counts).sum() ** 2 / (1 / (counts**2 * rest)).sum()
    return EffectiveSize(float(freedom), float((1 / rest).sum() / (1 / counts).sum()))


def compare(first: Resampled, second: Resampled, size: EffectiveSize, paired: bool = False) -> Difference:
    """Mean score of the first networks minus that of the second, on resamples they share.

    Student's t on value / standard error, for interval and p alike. Fewer than three networks a side: the error of
    drawing other groups, with `size`'s degrees of freedom; about these weights only. Three or more: about the
    architecture, so seeds vary too. The variance is then that of resampled groups, plus on each side the variance
    between seeds as far as rows do not explain it, over their number; degrees of freedom as in `freedom_of_seeds`,
    since three seeds tell little of their own spread. (Plainly resampling seeds and groups at once counts what
    seed and rows do together three times over, Owen 2007, Ann. Appl. Stat. 1: it found true differences too rarely
    in simulation.) `paired`: network i of both sides is one training: a policy against none, an oracle against
    the epoch chosen on validation.
    """
    if paired:
        first, second = _one_side(first, second)
    value = float(first.values.mean() - second.values.mean())
    by_groups = first.draws.mean(axis=0) - second.draws.mean(axis=0)
    moved = _standardised(by_groups)
    groups = float(by_groups.var(ddof=1)) * size.inflation
    count = len(first) if paired else min(len(first), len(second))
    if count < ENOUGH_SEEDS:
        return difference_of(value, groups, size.freedom, True, "bootstrap over groups", moved, 1.0)
    sides = [first] if paired else [first, second]
    seeds = sum(_between_seeds(side) for side in sides)
    parts = [(side.values.var(ddof=1) / len(side), len(side) - 1.0) for side in sides] + [(groups, size.freedom)]
    share = groups / (groups + seeds) if groups + seeds > 0 else 1.0
    freedom = freedom_of_seeds(parts)
    return difference_of(value, groups + seeds, freedom, False, "seeds and resampled groups", moved, share)


def _standardised(values: np.ndarray) -> np.ndarray:
    sd = values.std(ddof=1)
    return (values - values.mean()) / sd if sd > 0 else np.zeros(len(values))


def _one_side(first: Resampled, second: Resampled) -> tuple[Resampled, Resampled]:
    """The paired differences as one side, nothing as the other."""
    nothing = Resampled(np.zeros(1), np.zeros((1, first.draws.shape[1])))
    return Resampled(first.values - second.values, first.draws - second.draws), nothing


def _between_seeds(side: Resampled) -> float:
    """Variance of the mean of networks due to their seeds: what is left when the rows' share is taken away."""
    count = len(side)
    own = side.draws - side.draws.mean(axis=0)  # what a seed does on some rows that the others do not
    by_rows = float(own.var(axis=1, ddof=1).sum()) / (count - 1)
    return max(float(side.values.var(ddof=1)) - by_rows, 0.0) / count


def freedom_of_seeds(parts: list[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, from (variance, its freedom), the last being that of groups.

    Welch and Satterthwaite's (Welch 1947, Biometrika 34), but never more than the seeds have, S1 + S2 - 2 as in
    Student's test on their values. Where seeds resemble each other by luck, Satterthwaite takes the error, small by
    the same luck, for one known from thousands of groups; far out in the tails, where families of comparisons are
    judged, such false alarms were two to four times as many as promised. Too cautious where seeds truly vary little.
    """
    denominator = sum(part**2 / freedom for part, freedom in parts)
    welch = sum(part for part, _ in parts) ** 2 / denominator if denominator > 0 else parts[-1][1]
    return min(welch, sum(freedom for _, freedom in parts[:-1]))


def difference_of(
    value: float,
    variance: float,
    freedom: float,
    weights_only: bool,
    method: str,
    moved: np.ndarray | None = None,
    share: float = 1.0,
) -> Difference:
    """A difference from its value, variance and degrees of freedom; `moved`: its `deviations`, where they are known."""
    from scipy.special import stdtr

    moved = np.zeros(0) if moved is None else moved

    error = float(np.sqrt(variance))
    p = 2 * float(stdtr(freedom, -abs(value) / error)) if error > 0 else 1.0 if value == 0 else 0.0
    return Difference(value, error, freedom, p, weights_only, method, moved, share)


# ---------------------------------------------------------------- several seeds, several data sets


def spread(values: Sequence[float] | np.ndarray) -> dict[str, float | int]:
    """mean, sd (n - 1 in the denominator; NaN for one value), n, min, max."""
    array = np.asarray(values, dtype=float)
    sd = float(array.std(ddof=1)) if len(array) > 1 else float("nan")
    return {
        "mean": float(array.mean()),
        "sd": sd,
        "n": len(array),
        "min": float(array.min()),
        "max": float(array.max()),
    }


def friedman_nemenyi(scores: pd.DataFrame) -> tuple[float, pd.DataFrame]:
    """Friedman's p over `scores` (a row a data set, a column a model), and Nemenyi's p of every pair of models.

    Demšar 2006, JMLR 7. Raises ValueError with fewer than six data sets or three models.
    """
    if len(scores) < ENOUGH_DATASETS or scores.shape[1] < 3:
        raise ValueError(f"{len(scores)} data sets and {scores.shape[1]} models; six and three are the fewest.")
    from scikit_posthocs import posthoc_nemenyi_friedman
    from scipy.stats import friedmanchisquare

    p = float(friedmanchisquare(*scores.to_numpy().T).pvalue)
    pairs = posthoc_nemenyi_friedman(scores.to_numpy())
    return p, pd.DataFrame(np.asarray(pairs), index=scores.columns, columns=scores.columns)
