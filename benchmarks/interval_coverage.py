"""Are the intervals and tests of fer/ right? Simulated predictions whose true scores are known.

    python benchmarks/interval_coverage.py [--simulations 2000]

Prints how often a 95 % interval holds the true value, and how often a comparison of two networks or architectures
that are truly equal finds a difference (nominal: 5 %); the same for families of comparisons at once, and for the worst
of equal groups. About twenty minutes on one core with 2,000 simulations.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import confint_proportions_2indep

sys.path.insert(0, str(Path(__file__).parents[1]))

from fer.metrics.metrics import compared_by, counts_of_sums, scores_of
from fer.statistics.bootstrap import (
    GroupDraws,
    draw_groups,
    percentile_interval,
    resampled_scores,
    scores_once,
)
from fer.statistics.calibration import ece_interval, reliability
from fer.statistics.groups import results_by_group
from fer.statistics.significance import Resampled, compare, effective_size, mcnemar_p, wilson_interval
from fer.statistics.simultaneous import together
from utils import log

SCORES = compared_by("macro_f1")
# Rows per class of a test set, on average.
LARGE = np.array([500, 500, 500, 500, 500, 500, 500])
FER2013 = np.array([491, 55, 528, 879, 594, 416, 626])  # PrivateTest
RARE = np.array([100, 8, 60, 300, 100, 40, 150])
CLASSES = len(LARGE)


@dataclass(frozen=True)
class World:
    """A test set to be drawn: mean rows per class, rows a group (a group answers alike), and a network's habits.

    `answers` [C, C]: probability of each answer given the class.
    """

    sizes: np.ndarray
    answers: np.ndarray
    group_size: int = 1

    def truth(self) -> dict[str, float]:
        """The scores on endlessly many rows."""
        expected = self.answers * self.sizes[:, None]
        counts = np.concatenate([np.diag(expected), self.sizes, expected.sum(axis=0)])
        return {name: float(value) for name, value in scores_of(counts_of_sums(counts)).items()}

    def groups(self) -> np.ndarray:
        """Group of each row."""
        return np.arange(self.sizes.sum()) // self.group_size

    def labels(self, rng: np.random.Generator) -> np.ndarray:
        """Labels of one drawn test set; a group holds one class."""
        per_group = rng.choice(CLASSES, self.groups()[-1] + 1, p=self.sizes / self.sizes.sum())
        return per_group[self.groups()]

    def predict(self, labels: np.ndarray, rng: np.random.Generator, luck: np.ndarray | None = None) -> np.ndarray:
        """Answers to the rows; `luck` [groups] in 0 … 1 decides them, and shared luck makes networks alike."""
        groups = self.groups()
        luck = rng.random(groups[-1] + 1) if luck is None else luck
        return (luck[groups][:, None] > self.answers.cumsum(axis=1)[labels]).sum(axis=1).clip(max=CLASSES - 1)


def habits(recall: np.ndarray | float) -> np.ndarray:
    """Answers of a network that is right with probability `recall` and spreads its errors evenly."""
    recall = np.broadcast_to(recall, CLASSES).astype(float)
    wrong = (1 - recall)[:, None] / (CLASSES - 1)
    return np.where(np.eye(CLASSES, dtype=bool), recall[:, None], wrong)


RECALLS = np.array([0.55, 0.5, 0.4, 0.85, 0.5, 0.75, 0.65])


# ---------------------------------------------------------------- intervals


def cover_scores(world: World, simulations: int, resamples: int = 1000, seed: int = 1) -> dict[str, float]:
    """Share of simulated test sets whose interval holds the truth: Wilson for accuracy, bootstrap for all scores."""
    rng, truth = np.random.default_rng(seed), world.truth()
    draws = draw_groups(world.groups(), resamples)
    held = {"accuracy (Wilson)": 0} | {f"{name} (bootstrap)": 0 for name in SCORES}
    for _ in range(simulations):
        labels = world.labels(rng)
        predicted = world.predict(labels, rng)
        low, high = wilson_interval((labels == predicted).sum(), len(labels))
        held["accuracy (Wilson)"] += bool(low <= truth["accuracy"] <= high)
        resampled = resampled_scores(draws, labels, predicted, CLASSES)
        for name in SCORES:
            low, high = percentile_interval(resampled[name])
            held[f"{name} (bootstrap)"] += bool(low <= truth[name] <= high)
    return {name: count / simulations for name, count in held.items()}


def cover_recall(rows: int, recall: float, simulations: int, seed: int = 2) -> float:
    """Coverage of Wilson's interval for the recall of one class of `rows` test pictures."""
    hits = np.random.default_rng(seed).binomial(rows, recall, simulations)
    low, high = wilson_interval(hits, rows)
    return float(((low <= recall) & (recall <= high)).mean())


def cover_ece(rows: int, sharpness: float, simulations: int, resamples: int = 500, seed: int = 3) -> float:
    """Coverage of the ECE's interval; the truth is the ECE of 400,000 rows. `sharpness` 1: perfectly calibrated."""
    rng = np.random.default_rng(seed)
    truth = reliability(*_probabilities(400_000, sharpness, rng)).ece
    draws = draw_groups(np.arange(rows), resamples)
    held = 0
    for _ in range(simulations):
        low, high = ece_interval(reliability(*_probabilities(rows, sharpness, rng)), draws)
        held += low <= truth <= high
    return held / simulations


def _probabilities(rows: int, sharpness: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(z), probabilities softmax(sharpness · z)."""
    logits = 2 * rng.normal(size=(rows, CLASSES))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    shown = np.exp(sharpness * (logits - logits.max(axis=1, keepdims=True)))
    return labels, shown / shown.sum(axis=1, keepdims=True)


# ---------------------------------------------------------------- false alarms


def false_alarms_networks(world: World, alike: float, simulations: int, resamples: int = 1000, seed: int = 4) -> dict:
    """Share of comparisons of two equally good networks with p < 0.05; `alike`: share of groups both answer alike."""
    rng, draws = np.random.default_rng(seed), draw_groups(world.groups(), resamples)
    alarms = {"accuracy (McNemar)": 0} | {f"{name} (bootstrap)": 0 for name in SCORES}
    alarms |= {"accuracy (larger p of both)": 0}
    for _ in range(simulations):
        labels = world.labels(rng)
        luck = rng.random((2, draws.n_groups))
        luck[1] = np.where(rng.random(draws.n_groups) < alike, luck[0], luck[1])
        first, second = (world.predict(labels, rng, one) for one in luck)
        mcnemar = mcnemar_p(first == labels, second == labels)
        p = _p_values(draws, labels, [[first], [second]])
        alarms["accuracy (McNemar)"] += mcnemar < 0.05
        alarms["accuracy (larger p of both)"] += max(mcnemar, p["accuracy"]) < 0.05
        for name in SCORES:
            alarms[f"{name} (bootstrap)"] += p[name] < 0.05
    return {name: count / simulations for name, count in alarms.items()}


def false_alarms_architectures(
    world: World, seeds: int, seed_sd: float, simulations: int, resamples: int = 1000, seed: int = 5
) -> dict[str, float]:
    """The same for two equal architectures of `seeds` trainings each, whose recalls differ by `seed_sd` by luck."""
    rng, draws = np.random.default_rng(seed), draw_groups(world.groups(), resamples)
    alarms = dict.fromkeys(SCORES, 0)
    for _ in range(simulations):
        labels, shared = world.labels(rng), rng.random(draws.n_groups)
        p = _p_values(draws, labels, [_trainings(world, labels, shared, seeds, seed_sd, rng) for _ in range(2)])
        for name in SCORES:
            alarms[name] += p[name] < 0.05
    return {name: count / simulations for name, count in alarms.items()}


def cover_family(
    world: World, networks: int, simulations: int, seeds: int = 1, resamples: int = 1000, seed: int = 6
) -> dict[str, float]:
    """Share of families of `networks` equal networks all of whose intervals hold the truth, 0; seeds vary by 0.01.

    As corrected for the family, and with each interval alone. A family that does not is one with a false alarm.
    """
    rng, draws = np.random.default_rng(seed), draw_groups(world.groups(), resamples)
    held = {f"{name} ({how})": 0 for name in SCORES for how in ("together", "each alone")}
    for _ in range(simulations):
        labels, shared = world.labels(rng), rng.random(draws.n_groups)
        answers = [_trainings(world, labels, shared, seeds, 0.01 if seeds > 1 else 0.0, rng) for _ in range(networks)]
        for name, sides in _resampled(draws, labels, answers).items():
            size = effective_size(name, labels, draws.group_of)
            found = [compare(first, second, size) for first, second in combinations(sides, 2)]
            level = together(found).level()
            held[f"{name} (together)"] += all(low <= 0 <= high for low, high in (one.interval(level) for one in found))
            held[f"{name} (each alone)"] += all(one.low <= 0 <= one.high for one in found)
    return {name: count / simulations for name, count in held.items()}


def false_alarms_groups(groups: int, rows: int, accuracy: float, simulations: int, seed: int = 7) -> dict[str, float]:
    """Share of simulations in which one of `groups` equally good groups of `rows` pictures is called the worst."""
    rng, names = np.random.default_rng(seed), pd.Series(np.repeat([f"g{n}" for n in range(groups)], rows))
    alarms = {"worst group": 0, "worst group (each pair alone)": 0}
    for _ in range(simulations):
        right = (rng.random(groups * rows) < accuracy).astype(int)
        found = results_by_group("made up", names, np.ones(groups * rows, dtype=int), right)
        alarms["worst group"] += any(row["is_worst"] for row in found)
        best, worst = (pick(found, key=lambda row: row["accuracy"]) for pick in (max, min))
        counts = best["correct"], rows, worst["correct"], rows
        low, _ = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
        alarms["worst group (each pair alone)"] += low > 0
    return {name: count / simulations for name, count in alarms.items()}


def _trainings(
    world: World, labels: np.ndarray, shared: np.ndarray, seeds: int, seed_sd: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Answers of several trainings of one architecture; half the groups are as hard for all of them."""
    found = []
    for _ in range(seeds):
        recall = np.diag(world.answers) + rng.normal(0, seed_sd)
        luck = np.where(rng.random(len(shared)) < 0.5, shared, rng.random(len(shared)))
        found.append(World(world.sizes, habits(recall.clip(0, 1)), world.group_size).predict(labels, rng, luck))
    return found


def _p_values(draws: GroupDraws, labels: np.ndarray, answers: list[list[np.ndarray]]) -> dict[str, float]:
    """p of each score for two sides, each the answers of its networks."""
    return {
        name: compare(*sides, effective_size(name, labels, draws.group_of)).p
        for name, sides in _resampled(draws, labels, answers).items()
    }


def _resampled(draws: GroupDraws, labels: np.ndarray, answers: list[list[np.ndarray]]) -> dict[str, list[Resampled]]:
    """Each score of every side, a side being the answers of its networks."""
    once = [[scores_once(labels, one, CLASSES) for one in networks] for networks in answers]
    again = [[resampled_scores(draws, labels, one, CLASSES) for one in networks] for networks in answers]
    return {
        name: [
            Resampled(np.array([one[name] for one in values]), np.stack([one[name] for one in resampled]))
            for values, resampled in zip(once, again, strict=True)
        ]
        for name in SCORES
    }


# ---------------------------------------------------------------- all of it


def studies(simulations: int) -> Iterator[tuple[str, str, Callable[[], dict[str, float]]]]:
    """What is simulated: kind, setting, and the function that does it."""
    worlds = {
        "7 classes of 500": World(LARGE, habits(RECALLS)),
        "FER2013's test classes (55 to 879)": World(FER2013, habits(RECALLS)),
        "rare classes (8 to 300)": World(RARE, habits(RECALLS)),
        "7 classes of 500, groups of 4": World(LARGE, habits(RECALLS), 4),
    }
    for name, world in worlds.items():
        yield "coverage", name, lambda world=world: cover_scores(world, simulations)
    for rows in (8, 55, 500):
        for recall in (0.5, 0.9):
            setting = f"recall {recall}, class of {rows}"
            yield "coverage", setting, lambda r=rows, p=recall: {"recall (Wilson)": cover_recall(r, p, 20_000)}
    for rows in (500, 3500):
        for sharpness in (1.0, 1.6):
            setting = f"{rows} rows, sharpness {sharpness}"
            yield "coverage", setting, lambda r=rows, s=sharpness: {"ECE": cover_ece(r, s, simulations // 2)}
    for name, world in worlds.items():
        for alike in (0.0, 0.7):
            setting = f"{name}; networks {alike:.0%} alike"
            yield "false alarms", setting, lambda w=world, a=alike: false_alarms_networks(w, a, simulations)
    for seeds in (3, 5):
        for sd in (0.0, 0.005, 0.02):
            setting = f"FER2013's classes; {seeds} seeds, sd {sd}"
            world = worlds["FER2013's test classes (55 to 879)"]
            yield (
                "false alarms",
                setting,
                lambda w=world, n=seeds, s=sd: false_alarms_architectures(w, n, s, simulations // 2),
            )
    for name, world in worlds.items():
        for seeds in (1, 3):
            setting = f"{name}; all 10 pairs of 5 equal networks, {seeds} seeds"
            yield "together", setting, lambda w=world, s=seeds: cover_family(w, 5, simulations // 4, s)
    for groups in (4, 12):
        for rows in (40, 300):
            setting = f"{groups} equal groups of {rows}"
            yield "false alarms", setting, lambda g=groups, r=rows: false_alarms_groups(g, r, 0.6, simulations)


def run(options: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each setting and number: percent of the simulations. `options`: simulations."""
    rows = []
    for kind, setting, simulate in studies(options["simulations"]):
        found = simulate()
        rows += [{"kind": kind, "setting": setting, "what": what, "percent": 100 * v} for what, v in found.items()]
        log.info("%s, %s: %s", kind, setting, ", ".join(f"{what} {v:.1%}" for what, v in found.items()))
    return rows


def main() -> None:
    """The command."""
    from harness import command  # here, as tests import this module from elsewhere

    command("interval_coverage", __doc__, "Coverage and false alarms, {simulations} simulations", run, simulations=2000)


if __name__ == "__main__":
    main()
