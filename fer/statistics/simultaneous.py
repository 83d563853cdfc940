"""Several comparisons at once: p-values and intervals that hold together, and agree with each other.

Single-step, by the smallest p (Westfall & Young 1993, Resampling-Based Multiple Testing; as max-|t| in Hothorn, Bretz
& Westfall 2008, Biometrical Journal 50): where no pair differs, how small is the smallest of all p-values? Differences
on the same pictures move together when groups are resampled, so that is found from shared draws, and is never more
cautious than Bonferroni. An interval at the level found leaves out 0 exactly where the adjusted p is below 0.05. Holm's
step-down test rejects a little more now and then, but no two-sided intervals go with it (Strassburger & Bretz 2008).

Several families at once: Benjamini & Bogomolov (2014, JRSS B 76). Benjamini and Hochberg's procedure selects families
by their smallest adjusted p; R of m selected, each is judged at 5 % · R / m. Of the families in which a difference is
then shown, at most 5 % on average hold a false one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer.statistics.significance import ALPHA, Difference


@dataclass(frozen=True)
class Together:
    """A family: `p` float64[M], adjusted for it, and `smallest` [B], sorted smallest p-values where nothing differs."""

    p: np.ndarray
    smallest: np.ndarray

    def level(self, alpha: float = ALPHA) -> float:
        """The level at which `Difference.interval` holds for all at once with probability 1 - alpha."""
        return critical_level(len(self.p), self.smallest, alpha)


def together(differences: Sequence[Difference], same_rows: bool = True) -> Together:
    """A family of differences; `same_rows` False: they share no resamples, and Bonferroni's correction is made."""
    p = np.array([one.p for one in differences], dtype=float)
    if len(p) < 2:
        return Together(p, np.zeros(0))
    smallest = np.sort(_smallest_p(differences)) if same_rows else np.zeros(0)
    return Together(adjusted_p(p, smallest), smallest)


def over_families(families: Sequence[Together]) -> tuple[list[np.ndarray], float]:
    """The p-values of each family adjusted for all families too, and the alpha at which each family's intervals hold.

    An adjusted p is the smallest rate of errors at which the pair would be shown to differ; never below that within
    its family. Needs a family, and a pair in each.
    """
    from scipy.stats import false_discovery_control

    smallest = np.sort([one.p.min() for one in families])
    count = len(families)
    times = count / np.arange(1, count + 1)
    adjusted = [(np.maximum(one.p[:, None], smallest) * times).min(axis=1).clip(max=1.0) for one in families]
    selected = int((false_discovery_control(smallest) < ALPHA).sum())
    return adjusted, ALPHA * max(selected, 1) / count


def adjusted_p(p: np.ndarray, smallest: np.ndarray) -> np.ndarray:
    """`p` [M] against the sorted smallest p-values [B] where nothing differs; without any, Bonferroni's."""
    bonferroni = len(p) * p
    if not len(smallest):
        return bonferroni.clip(max=1.0)
    as_small = (1 + np.searchsorted(smallest, p, side="right")) / (len(smallest) + 1)
    return np.minimum(bonferroni, np.maximum(p, as_small)).clip(max=1.0)


def critical_level(count: int, smallest: np.ndarray, alpha: float = ALPHA) -> float:
    """The p below which one of `count` comparisons has an adjusted p below alpha; arguments as in `adjusted_p`."""
    bonferroni = alpha / count
    place = int(np.ceil(alpha * (len(smallest) + 1))) - 2
    return max(bonferroni, min(float(smallest[place]), alpha)) if 0 <= place < len(smallest) else bonferroni


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
