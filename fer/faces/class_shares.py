"""How likely the rows of each class are drawn, and how much each class weighs: BALANCE without new rows."""

from __future__ import annotations

import numpy as np


def even_chances(labels: np.ndarray) -> np.ndarray:
    """The chance of each row with which every class there is is equally likely, float64 [N]."""
    counts = np.bincount(labels)
    return 1 / (np.count_nonzero(counts) * counts[labels])


def even_counts(labels: np.ndarray, classes: int) -> list[int]:
    """Rows of each class that N draws with `even_chances` give on the mean, as whole numbers that add up to N."""
    there = np.unique(labels)
    counts = np.zeros(classes, dtype=int)
    counts[there] = np.diff(np.linspace(0, len(labels), len(there) + 1).astype(int))
    return counts.tolist()


def class_weights(balance: str, counts: np.ndarray, beta: float) -> np.ndarray | None:
    """Weight of each class in the loss by its rows, float64 [C], 0 for a class without any; None: none are asked for.

    `counts` [C], whole or not: of the rows an epoch draws. "weights": inverse frequency, with a mean of one over the
    rows. "effective_number": (1 - β) / (1 - β^n) of n rows (Cui et al. 2019, eq. 4), with a mean of one over the
    classes that are there.
    """
    if balance not in ("weights", "effective_number"):
        return None
    there = counts > 0
    weights = np.zeros(len(counts))
    if balance == "weights":
        weights[there] = counts.sum() / (there.sum() * counts[there])
        return weights
    weights[there] = (1 - beta) / (1 - beta ** counts[there].astype(float))
    return weights * there.sum() / weights.sum()
