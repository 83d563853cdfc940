"""The assertion of every run: its stored validation predictions score what its kept epoch scored while training.

Whatever comes between the two (the weights' way to disk and back, the input a network expects, the rows and their
pictures, the precision) is right when the numbers agree, and some of it is wrong when they do not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluation import METRICS
from fer.columns.files import VALIDATION_SCORES
from utils import InputError, read_csv

# Of the scores of an epoch (VALIDATION_SCORES) those that runs of every version have noted.
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")
# Largest difference of a probability, and of the loss, that other kernels may make: within one machine's fp32, and
# between machines or in half precision.
ROUNDING, OTHER_ROUNDING = 1e-4, 2e-2


class ScoresDisagreeError(Exception):
    """A run's stored weights do not score what they scored while they were trained."""


def validation_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """`val_loss` and VALIDATION_SCORES, of labels int64[N] and probabilities float32[N, C]."""
    chosen = np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, None)
    return {"val_loss": float(-np.log(chosen).mean())} | {
        f"val_{name}": METRICS[name](labels, probabilities) for name in VALIDATION_SCORES
    }


def mean_scores(each: list[dict[str, float]]) -> dict[str, float]:
    """The mean over datasets of each one's own scores: what a combined run is selected by."""
    return {str(name): float(value) for name, value in pd.DataFrame(each).mean().items()}


def refuse_other_scores(
    folder: Path, facts: dict[str, Any], found: list[tuple[np.ndarray, np.ndarray]], exact: bool
) -> None:
    """Compare `found`, labels and probabilities per dataset trained on, with the kept epoch in the run's `facts`.

    Not `exact`: on a GPU, in half precision or between machines. Where answers are so close that rounding may turn
    them, only the loss is compared. Raises ScoresDisagreeError.
    """
    noted = _kept_epoch(folder, facts)
    now = mean_scores([validation_scores(*one) for one in found])
    rounding = ROUNDING if exact else OTHER_ROUNDING
    close = any(_has_close_calls(probabilities, rounding) for _, probabilities in found)
    limits = {"val_loss": rounding * (1 + abs(noted["val_loss"]))}
    limits |= {} if close else dict.fromkeys((f"val_{name}" for name in COMPARED), 1e-6)
    differing = [name for name, limit in limits.items() if abs(now[name] - noted[name]) > limit]
    if differing:
        told = ", ".join(f"{name} {noted[name]:.6f} then and {now[name]:.6f} now" for name in differing)
        raise ScoresDisagreeError(
            f"{folder}: the kept epoch scores differently on its validation rows than while it was trained: {told}. "
            "Nothing was stored. Weights, pictures or this program changed in between: delete that folder to train "
            "the run again, and report it if that does not help."
        )


def _has_close_calls(probabilities: np.ndarray, rounding: float) -> bool:
    best = np.sort(probabilities, axis=1)[:, -2:]
    return bool((best[:, 1] - best[:, 0] < 2 * rounding).any())


def _kept_epoch(folder: Path, facts: dict[str, Any]) -> dict[str, float]:
    """Scores of the kept epoch. (Oracles of older versions noted another epoch: their scores are in the history.)"""
    noted = facts["best_validation"]
    if noted["epoch"] == facts["best_epoch"]:
        return noted
    try:
        history = read_csv(folder / "history.csv").set_index("epoch")
        return history.loc[facts["best_epoch"]].to_dict()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder / 'history.csv'} is damaged ({error}). Delete its folder to train again.") from error
