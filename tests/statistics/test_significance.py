"""Promises about intervals and tests: right by other libraries, right by simulation, and honest about few seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import interval_coverage as coverage
from fer.statistics.bootstrap import draw_groups, percentile_interval, resampled_scores, scores_once
from fer.statistics.significance import (
    EffectiveSize,
    Resampled,
    accuracy_with_interval,
    compare,
    effective_size,
    friedman_nemenyi,
    mcnemar_p,
    spread,
    wilson_interval,
)

CLASSES = 7


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions and groups of 300 rows; groups of three."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, 300)
    predicted = np.where(rng.random(300) < 0.6, labels, rng.integers(0, CLASSES, 300))
    return labels, predicted, np.arange(300) // 3


# ---------------------------------------------------------------- resampled groups


def test_a_resample_holds_whole_groups(answers: tuple[np.ndarray, ...]) -> None:
    labels, predicted, groups = answers
    draws = draw_groups(groups, resamples=5)
    found = resampled_scores(draws, labels, predicted, CLASSES)
    for number, weights in enumerate(draws.weights):
        rows = np.repeat(np.arange(300), weights[groups])
        assert len(rows) == 300
        expected = scores_once(labels[rows], predicted[rows], CLASSES)
        assert {name: values[number] for name, values in found.items()} == pytest.approx(expected)


def test_draws_depend_on_groups_alone(answers: tuple[np.ndarray, ...]) -> None:
    groups = answers[2]
    names = np.array([f"person {number}" for number in groups])
    order = np.random.default_rng(0).permutation(300)
    by_name, shuffled = draw_groups(names, 4), draw_groups(groups[order], 4)
    assert np.array_equal(draw_groups(groups, 4).weights, shuffled.weights)
    assert by_name.n_groups == 100
    assert np.array_equal(shuffled.group_of, groups[order])


def test_rows_in_many_resamples_are_summed_in_parts(answers: tuple[np.ndarray, ...]) -> None:
    draws = draw_groups(answers[2], resamples=200)
    columns = np.random.default_rng(1).random((300, 2)).astype(np.float32)
    expected = draws.weights[:, answers[2]].astype(float) @ columns
    np.testing.assert_allclose(draws.sums(columns), expected, rtol=1e-5)
    np.testing.assert_allclose(draws.sums(columns, 90), expected[:90], rtol=1e-5)


# ---------------------------------------------------------------- agreement with other libraries


def test_wilson_ends_where_all_or_none_are_right() -> None:
    low, high = wilson_interval([0, 6, 0], [6, 6, 0])
    assert (low[0], high[1], np.isnan(low[2]), np.isnan(high[2])) == (0, 1, True, True)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 8), (2500, 3589)])
def test_wilson_agrees_with_scipy(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert [float(end) for end in wilson_interval(hits, n)] == pytest.approx(list(expected), abs=1e-9)


def test_accuracy_on_a_part_of_the_rows() -> None:
    labels, predicted = np.array([0, 1, 2, 3]), np.array([0, 1, 0, 0])
    assert accuracy_with_interval(labels, predicted, np.array([True, True, True, False]))["value"] == pytest.approx(
        2 / 3
    )
    assert accuracy_with_interval(labels, predicted)["correct"] == 2
    empty = accuracy_with_interval(labels, predicted, np.zeros(4, dtype=bool))
    assert empty["n"] == 0
    assert np.isnan([empty["value"], empty["low"], empty["high"]]).all()


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 1), (3, 9), (5, 5), (120, 170)])
def test_mcnemar_agrees_with_the_binomial_test(only_first: int, only_second: int) -> None:
    first = np.repeat([True, False, True], [only_first, only_second, 40])
    second = np.repeat([False, True, True], [only_first, only_second, 40])
    expected = stats.binomtest(only_first, only_first + only_second).pvalue
    assert mcnemar_p(first, second) == pytest.approx(expected)


def test_mcnemar_of_equal_answers_is_1() -> None:
    assert mcnemar_p(np.array([True, False]), np.array([True, False])) == 1.0


def test_friedman_and_nemenyi_agree_with_scipy() -> None:
    scores = pd.DataFrame(np.random.default_rng(5).random((8, 4)), columns=list("abcd"))
    scores["a"] += 0.5
    p, pairs = friedman_nemenyi(scores)
    assert p == pytest.approx(stats.friedmanchisquare(*scores.to_numpy().T).pvalue)
    ranks = scores.rank(axis=1).mean()
    q = abs(ranks["a"] - ranks["c"]) / np.sqrt(4 * 5 / (6 * 8)) * np.sqrt(2)
    assert pairs.loc["a", "c"] == pytest.approx(stats.studentized_range.sf(q, 4, np.inf), abs=1e-3)


def test_friedman_needs_six_data_sets() -> None:
    with pytest.raises(ValueError, match="5 data sets and 3 models"):
        friedman_nemenyi(pd.DataFrame(np.random.default_rng(0).random((5, 3))))


# ---------------------------------------------------------------- differences


LARGE_SET = EffectiveSize(1000, 1.0)


def networks(means: list[float], noise: float = 0.01, seed: int = 0) -> Resampled:
    draws = np.array(means)[:, None] + np.random.default_rng(seed).normal(0, noise, (len(means), 500))
    return Resampled(np.array(means), draws)


def test_two_networks_speak_for_their_weights_alone() -> None:
    found = compare(networks([0.7]), networks([0.6], seed=1), LARGE_SET)
    assert found.weights_only
    assert found.value == pytest.approx(0.1)
    assert found.low > 0
    assert found.p < 0.001
    reach = stats.norm.ppf(0.975) * np.sqrt(2) * 0.01
    assert (found.high - found.low) / 2 == pytest.approx(reach, rel=0.1)


def test_a_network_does_not_differ_from_itself() -> None:
    one = networks([0.7])
    assert compare(one, one, LARGE_SET).p == 1.0


def test_seeds_that_vary_widen_the_interval() -> None:
    steady = compare(networks([0.70, 0.70, 0.70]), networks([0.6, 0.6, 0.6], seed=1), LARGE_SET)
    unsteady = compare(networks([0.60, 0.70, 0.80]), networks([0.5, 0.6, 0.7], seed=1), LARGE_SET)
    assert not steady.weights_only
    assert steady.p < 0.05 < unsteady.p
    alone = stats.ttest_ind([0.60, 0.70, 0.80], [0.5, 0.6, 0.7], equal_var=False)
    assert unsteady.p == pytest.approx(alone.pvalue, abs=0.02)  # rows hardly matter beside such seeds


def test_seeds_alike_by_luck_lend_no_more_freedom_than_seeds_have() -> None:
    """Before, the thousands of groups were taken for the freedom of an error that is small by luck."""
    first, second = networks([0.70, 0.7001, 0.6999]), networks([0.6, 0.6001, 0.5999], seed=1)
    assert compare(first, second, LARGE_SET).freedom <= 4
    assert compare(first, second, LARGE_SET, paired=True).freedom <= 2


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_promised_far_out_in_the_tail() -> None:
    """Two equal architectures of three seeds, whose luck (sd 0.01) outweighs that of the rows: p < 0.005."""
    rng, alarms, count = np.random.default_rng(0), 0, 2500
    for _ in range(count):
        shared, drawn = rng.normal(0, 0.006), rng.normal(0, 0.006, 100)

        def side(shared: float = shared, drawn: np.ndarray = drawn) -> Resampled:
            values = 0.6 + shared + rng.normal(0, 0.01, 3) + rng.normal(0, 0.006, 3)
            return Resampled(values, values[:, None] + drawn + rng.normal(0, 0.006, (3, 100)))

        alarms += compare(side(), side(), LARGE_SET).p < 0.005
    assert alarms <= 0.005 * count


def test_paired_trainings_cancel_what_they_share() -> None:
    base = networks([0.60, 0.70, 0.80])
    better = Resampled(base.values + 0.01, base.draws + 0.01 + np.random.default_rng(1).normal(0, 1e-4, (3, 500)))
    assert compare(better, base, LARGE_SET, paired=True).p < 0.001
    assert compare(better, base, LARGE_SET).p > 0.5


def test_rare_classes_lend_few_degrees_of_freedom() -> None:
    labels = np.repeat([0, 1], [400, 5])
    groups = np.arange(405)
    assert effective_size("accuracy", labels, groups).freedom == pytest.approx(404)
    rare = effective_size("macro_f1", labels, groups)
    assert rare.freedom < 6
    assert rare.inflation == pytest.approx(5 / 4, rel=0.01)


def test_spread_over_seeds() -> None:
    assert spread([0.5, 0.6, 0.7]) == pytest.approx({"mean": 0.6, "sd": 0.1, "n": 3, "min": 0.5, "max": 0.7})
    assert np.isnan(spread([0.5])["sd"])


# ---------------------------------------------------------------- truth (more: benchmarks/interval_coverage.py)

# 250 simulations of a right 95 % interval hold the truth in 91 to 98.5 % of cases (99.9 % of the time).
SIMULATIONS = 250
RIGHT = pytest.approx(0.95, abs=0.045)


@pytest.mark.slow
def test_intervals_hold_the_truth_where_classes_are_large() -> None:
    world = coverage.World(coverage.LARGE // 2, coverage.habits(coverage.RECALLS))
    for name, held in coverage.cover_scores(world, SIMULATIONS, resamples=300).items():
        assert held == RIGHT, name


@pytest.mark.slow
def test_rows_that_come_in_groups_need_the_bootstrap() -> None:
    world = coverage.World(coverage.LARGE // 2, coverage.habits(coverage.RECALLS), group_size=4)
    held = coverage.cover_scores(world, SIMULATIONS, resamples=300)
    assert held["accuracy (bootstrap)"] == RIGHT
    assert held["accuracy (Wilson)"] < 0.85


@pytest.mark.slow
def test_equal_networks_rarely_differ() -> None:
    world = coverage.World(coverage.RARE * 2, coverage.habits(coverage.RECALLS), group_size=2)
    alarms = coverage.false_alarms_networks(world, 0.5, SIMULATIONS, resamples=300)
    assert alarms.pop("accuracy (McNemar)") > 0.1  # takes rows as independent
    assert max(alarms.values()) < 0.095


@pytest.mark.slow
def test_equal_architectures_rarely_differ() -> None:
    world = coverage.World(coverage.LARGE // 2, coverage.habits(coverage.RECALLS))
    alarms = coverage.false_alarms_architectures(world, seeds=3, seed_sd=0.02, simulations=150, resamples=300)
    assert max(alarms.values()) < 0.11


def test_an_interval_is_about_the_rows_it_was_given(answers: tuple[np.ndarray, ...]) -> None:
    labels, predicted, groups = answers
    values = scores_once(labels, predicted, CLASSES)
    for name, resampled in resampled_scores(draw_groups(groups), labels, predicted, CLASSES).items():
        low, high = percentile_interval(resampled)
        assert low < values[name] < high
