"""Promises about the optimism of a choice: near the truth where that is known, and small where the choice is clear."""

from __future__ import annotations

import numpy as np
import pytest

from fer.search.optimism import Answers, choice_optimism

CLASSES = 7


def coin_flips(rng: np.random.Generator, trials: int, rows: int, groups: int | None = None) -> list[list[Answers]]:
    """Trials that answer at random; with `groups`, all rows of a group have one label and one answer."""
    group = np.arange(rows) if groups is None else np.arange(rows) % groups
    labels = rng.integers(0, CLASSES, rows)[group]
    return [[Answers(labels, rng.integers(0, CLASSES, rows)[group], group, CLASSES)] for _ in range(trials)]


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "cohen_kappa"])
def test_of_coin_flips_nothing_is_left_but_chance(metric: str) -> None:
    """200 trials that know nothing: what the best shows above chance is the optimism, all of it."""
    found = [choice_optimism(coin_flips(np.random.default_rng(seed), 200, 600), metric) for seed in range(6)]
    chance = 0.0 if metric == "cohen_kappa" else 1 / CLASSES
    true = np.mean([one.score - chance for one in found if one])
    drop = np.mean([one.drop for one in found if one])
    assert true > 0.03
    assert drop == pytest.approx(true, rel=0.25)


def test_related_faces_are_drawn_together_and_make_the_choice_more_optimistic() -> None:
    """60 groups of ten faces are 60 answers: rows drawn one by one would leave each group on both sides."""
    few = [choice_optimism(coin_flips(np.random.default_rng(s), 60, 600, groups=60), "accuracy") for s in range(4)]
    true = np.mean([one.score - 1 / CLASSES for one in few if one])
    assert np.mean([one.drop for one in few if one]) == pytest.approx(true, rel=0.3)


def test_a_clear_choice_is_hardly_optimistic() -> None:
    rng = np.random.default_rng(0)
    trials = coin_flips(rng, 20, 400)
    labels = trials[0][0].labels
    good = np.where(rng.random(400) < 0.9, labels, (labels + 1) % CLASSES)
    found = choice_optimism([*trials, [Answers(labels, good, np.arange(400), CLASSES)]], "accuracy")
    assert found is not None
    assert found.same == 1.0
    assert abs(found.drop) < 0.01


def test_a_trial_of_two_runs_has_the_mean_of_their_scores() -> None:
    rng = np.random.default_rng(0)
    (first,), (second,) = coin_flips(rng, 2, 50)
    halves = [Answers(one.labels, one.predicted, one.groups, CLASSES, 0.5) for one in (first, second)]
    found = choice_optimism([halves, halves], "accuracy")
    assert found is not None
    shares = [(one.labels == one.predicted).mean() for one in halves]
    assert found.score == pytest.approx(np.mean(shares))
    assert found.rows == 100


def test_too_little_to_choose_from_is_no_number() -> None:
    trials = coin_flips(np.random.default_rng(0), 3, 600, groups=19)
    assert choice_optimism(trials, "accuracy") is None
    assert choice_optimism(coin_flips(np.random.default_rng(0), 1, 600), "accuracy") is None
