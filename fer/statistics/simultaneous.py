"""Several comparisons at once: p-values and intervals that hold together, and agree with each other.

Single-step, by the smallest p (Westfall & Young 1993, Resampling-Based Multiple Testing; as max-|t| in Hothorn, Bretz
& Westfall 2008, Biometrical Journal 50): where no pair differs, how small is the smallest of all p-values? Differences
on the same pictures move together when groups are resampled, so that is found from shared draws, and is never more
cautious than Bonferroni. An interval at the level found leaves out 0 exactly where the adjusted p is below 0.05. Holm's
step-down test rejects a little more now and then, but no two-sided intervals go with it (Strassburger & Bretz 2008).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fer.statistics.significance import ALPHA, Difference


def together(differences: Sequence[Difference], same_rows: bool = True) -> tuple[np.ndarray, float]:
    """Adjusted p-values of a family, float64[M], and the level at which `Difference.interval` holds for all at once.

    `same_rows` False: the differences share no resamples, and Bonferroni's correction is made.
    """
    p = np.array([one.p for one in differences], dtype=float)
    count = len(p)
    if count < 2:
        return p, ALPHA
    smallest = np.sort(_smallest_p(differences)) if same_rows else np.zeros(0)
    return adjusted_p(p, smallest), critical_level(count, smallest)


def adjusted_p(p: np.ndarray, smallest: np.ndarray) -> np.ndarray:
    """`p` [M] against the sorted smallest p-values [B] where nothing differs; without any, Bonferroni's."""
    bonferroni = len(p) * p
    if not len(smallest):
        return bonferroni.clip(max=1.0)
    as_small = (1 + np.searchsorted(smallest, p, side="right")) / (len(smallest) + 1)
    return np.minimum(bonferroni, np.maximum(p, as_small)).clip(max=1.0)


def critical_level(count: int, smallest: np.ndarray) -> float:
    """The p below which one of `count` comparisons has an adjusted p below ALPHA; arguments as in `adjusted_p`."""
    bonferroni = ALPHA / count
    place = int(np.ceil(ALPHA * (len(smallest) + 1))) - 2
    return max(bonferroni, min(float(smallest[place]), ALPHA)) if 0 <= place < len(smallest) else bonferroni


def _smallest_p(differences: Sequence[Difference]) -> np.ndarray:
    """Smallest p of each resample [B]. What seeds add is drawn for each pair alone, which errs on the cautious side."""
    from scipy.special import ndtr

    rng = np.random.default_rng(0)
    largest = np.zeros(len(differences[0].deviations))
    for one in differences:
        moved = np.sqrt(one.share) * one.deviations
        if one.share < 1:
            moved = moved + np.sqrt(1 - one.share) * rng.normal(size=len(moved))
        largest = np.maximum(largest, np.abs(moved))
    return 2 * ndtr(-largest)
