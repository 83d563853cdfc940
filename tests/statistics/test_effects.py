"""Matched pairs of a whole study: who is paired with whom, and intervals that cover as often as they promise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_results import Study, with_oracles

from fer.results.ensembles import with_derived
from fer.results.study_files import read_study
from fer.results.tables import write_tables
from fer.statistics.answers import read_test_sets
from fer.statistics.effects import Cluster, Matched, matched_pairs, mean_difference, validation_scores
from fer.statistics.significance import EffectiveSize

DRAWS = 200


def pairs_of(study: Study) -> Counter[str]:
    stored = with_derived(read_study(study.output))
    validation = validation_scores(stored, "macro_f1")
    sets = [found for found in read_test_sets(stored, []) if found.name in stored.datasets]
    return Counter(pair.question for found in sets for pair in matched_pairs(found, validation))


@pytest.mark.slow
def test_every_pair_differs_in_one_thing_and_is_counted_once(tmp_path: Path) -> None:
    study = Study(tmp_path, variants=("raw", "preprocessed", "augmented"), models=("one", "two"), seeds=(1, 2))
    # a test set is met by its own and by the combined training: 2 × 2; of these per variant, model and seed
    assert pairs_of(study) == {
        "preprocessing": 4 * 2 * 2,
        "augmentation": 4 * 2 * 2,
        "combining sets": 2 * 3 * 2 * 2,
        "other dataset": 2 * 3 * 2 * 2,
        "TTA": 4 * 3 * 2 * 2,
        "ensembling": 4 * 3 * 2,
    }


@pytest.mark.slow
def test_raw_and_augmented_alone_are_a_question_of_their_own(tmp_path: Path) -> None:
    study = Study(tmp_path, train_on=(("studio",),), variants=("raw", "augmented"), tta=("none",))
    assert pairs_of(study) == {"preprocessing and augmentation": 1}


@pytest.mark.slow
def test_oracles_are_in_no_pair(tmp_path: Path) -> None:
    study = Study(tmp_path, datasets=("studio",), train_on=(("studio",),))
    before = pairs_of(study)
    with_oracles(study)
    write_tables(study.output)
    assert pairs_of(study) == before == {"TTA": 1}


# ---------------------------------------------------------------- the estimate


def simulated(
    rng: np.random.Generator, setups: int, seeds: int, sets: int, rows: int, effect: float, of_setups: float = 0.0
) -> Matched:
    """Matched differences with a planted mean: each training moves it by luck, each picture is easier for one side.

    `of_setups`: how far the effect differs between setups, on average nothing.
    """
    found = Matched()
    clusters = [Cluster((f"setup {k}",), seed) for k in range(setups) for seed in range(seeds)]
    differs = dict(zip(range(setups), of_setups * (np.arange(setups) - (setups - 1) / 2), strict=True))
    luck = {one: rng.normal(0, 0.03) + differs[k // seeds] for k, one in enumerate(clusters)}
    for test_set in range(sets):
        easier = rng.normal(0, 0.4, rows)  # for all trainings alike
        drawn = rng.multinomial(rows, np.full(rows, 1 / rows), size=DRAWS) / rows
        differences = []
        for one in clusters:
            values = effect + luck[one] + easier + rng.normal(0, 0.3, rows)  # and for this one
            differences.append((one, f"set {test_set}", float(values.mean()), drawn @ values))
        found.add(differences, EffectiveSize(rows - 1.0, rows / (rows - 1)), rows, rows)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setups", "seeds", "sets", "of_setups", "most"),
    [(1, 3, 1, 0.0, 1.0), (2, 3, 2, 0.0, 0.995), (4, 3, 2, 0.02, 0.99), (6, 1, 1, 0.0, 0.99), (8, 1, 3, 0.0, 0.99)],
)
def test_intervals_cover_the_planted_mean_as_often_as_they_promise(
    setups: int, seeds: int, sets: int, of_setups: float, most: float
) -> None:
    rng, times = np.random.default_rng(7), 400
    covered = 0
    for _ in range(times):
        found = mean_difference(simulated(rng, setups, seeds, sets, 150, 0.1, of_setups))
        assert not found.weights_only
        covered += found.low <= 0.1 <= found.high
    assert 0.925 <= covered / times <= most, covered / times  # nominal 0.95; few trainings are judged cautiously


@pytest.mark.slow
def test_treating_pairs_as_independent_would_promise_too_much() -> None:
    rng, covered = np.random.default_rng(7), 0
    for _ in range(200):
        found = simulated(rng, 2, 3, 2, 150, 0.1)
        values = np.concatenate(list(found.values.values()))
        covered += abs(values.mean() - 0.1) <= 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert covered / 200 < 0.85  # so the simulation above can fail


def test_fewer_than_three_trainings_speak_of_themselves_alone() -> None:
    found = mean_difference(simulated(np.random.default_rng(1), 1, 2, 2, 150, 0.1))
    assert found.weights_only and found.method == "bootstrap over groups"


def test_each_pair_counts_the_same() -> None:
    found = Matched()
    none = np.zeros(DRAWS)
    found.add(
        [(Cluster(("a",), 1), "x", 0.3, none), (Cluster(("a",), 1), "x", 0.1, none)], EffectiveSize(9, 1.1), 10, 10
    )
    found.add([(Cluster(("b",), 1), "y", -0.1, none)], EffectiveSize(9, 1.1), 10, 10)
    assert mean_difference(found).value == pytest.approx(0.1)
    assert found.pairs == 3 and found.n_seeds == 1 and found.n == 20
