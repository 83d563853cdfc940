"""How near estimates of a search's optimism come to the truth, on planted answers.

Trials answer faces rightly with a probability of their own, and share part of what makes a face hard. The truth: the
chosen trial's share of right answers minus its probability. Accuracy, no groups; 60 draws a row.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[1]))
from fer.search.optimism import Answers, choice_optimism

# Trials, faces, standard deviation of the trials' true accuracies, correlation of their answers.
ROWS = ((200, 500, 0.0, 0.0), (200, 500, 0.03, 0.0), (200, 500, 0.02, 0.8), (50, 1000, 0.02, 0.0))
MEAN, REPEATS = 0.6, 10


def planted(rng: np.random.Generator, trials: int, faces: int, sd: float, shared: float) -> tuple[np.ndarray, ...]:
    """The true accuracy of each trial [T], and which answers are right, bool[T, N]."""
    true = np.clip(MEAN + sd * rng.standard_normal(trials), 0.01, 0.99)
    own, common = rng.standard_normal((trials, faces)), rng.standard_normal(faces)
    return true, np.sqrt(shared) * common + np.sqrt(1 - shared) * own < norm.ppf(true)[:, None]


def bootstrap(right: np.ndarray, _rng: np.random.Generator) -> float:
    """This project's."""
    faces = np.arange(right.shape[1])
    labels = np.zeros(len(faces), dtype=np.int64)
    found = choice_optimism([[Answers(labels, (~one).astype(np.int64), faces, 2)] for one in right], "accuracy")
    assert found is not None
    return found.drop


def parts(count: int) -> Callable[[np.ndarray, np.random.Generator], float]:
    """Chosen on all parts but one, scored on that one; the mean over the parts of ten divisions."""

    def estimate(right: np.ndarray, rng: np.random.Generator) -> float:
        scores = []
        for _ in range(REPEATS):
            part = rng.permutation(right.shape[1]) % count
            for number in range(count):
                held = part == number
                scores.append(right[right[:, ~held].mean(1).argmax()][held].mean())
        return float(right.mean(1).max() - np.mean(scores))

    return estimate


def tibshirani(right: np.ndarray, rng: np.random.Generator) -> float:
    """Tibshirani & Tibshirani 2009: how far the chosen lies behind the best of each of ten folds."""
    part = rng.permutation(right.shape[1]) % 10
    folds = np.stack([right[:, part == number].mean(1) for number in range(10)])
    return float((folds.max(1) - folds[:, right.mean(1).argmax()]).mean())


ESTIMATES = {"bootstrap": bootstrap, "half splits": parts(2), "ten folds": parts(10), "T&T 2009": tibshirani}


def main() -> None:
    """Print a row per setting: the mean truth, then mean ± standard deviation of each estimate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=60)
    draws = parser.parse_args().draws
    rng = np.random.default_rng(0)
    for row in ROWS:
        truth: list[float] = []
        found: dict[str, list[float]] = {name: [] for name in ESTIMATES}
        for _ in range(draws):
            true, right = planted(rng, *row)
            best = right.mean(1).argmax()
            truth.append(float(right[best].mean() - true[best]))
            for name, estimate in ESTIMATES.items():
                found[name].append(estimate(right, rng))
        told = ", ".join(f"{name} {np.mean(values):.3f} ± {np.std(values):.3f}" for name, values in found.items())
        print(f"{row}: true {np.mean(truth):.3f}; {told}", flush=True)


if __name__ == "__main__":
    main()
