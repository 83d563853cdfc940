"""Promises about several comparisons at once: interval and verdict agree, and together they hold in 95 % of cases."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import Study
from statsmodels.stats.contingency_tables import mcnemar

from benchmarks import interval_coverage as coverage
from fer.statistics.comparisons import write_statistics
from fer.statistics.groups import gap_level, results_by_group
from fer.statistics.significance import ALPHA, EffectiveSize, Resampled, compare
from fer.statistics.simultaneous import Together, adjusted_p, critical_level, over_families, together
from fer.statistics.statements import p_words, signed


def leaves_out_0(low: float, high: float) -> bool:
    return low > 0 or high < 0


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    pairs=st.integers(1, 12),
    freedom=st.floats(1.5, 2000),
    seeds=st.integers(1, 5),
    same_rows=st.booleans(),
)
def test_an_interval_leaves_out_0_exactly_where_p_is_small(
    seed: int, pairs: int, freedom: float, seeds: int, same_rows: bool
) -> None:
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.01, 300)

    def side() -> Resampled:
        values = rng.normal(0.6, 0.03) + rng.normal(0, 0.01, seeds)
        return Resampled(values, values[:, None] + shared + rng.normal(0, 0.01, (seeds, 300)))

    found = [compare(side(), side(), EffectiveSize(freedom, 1.02)) for _ in range(pairs)]
    family = together(found, same_rows)
    p, level = family.p, family.level()
    assert ALPHA / pairs <= level <= ALPHA
    assert (p >= [one.p for one in found]).all()
    assert (p <= np.array([one.p for one in found]) * pairs + 1e-12).all()
    for one, adjusted in zip(found, p, strict=True):
        assert leaves_out_0(*one.interval(level)) == (adjusted < ALPHA)
        assert leaves_out_0(one.low, one.high) == (one.p < ALPHA)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(first=st.integers(0, 60), second=st.integers(0, 60), alpha=st.floats(0.001, 0.2))
def test_an_interval_agrees_with_mcnemar(first: int, second: int, alpha: float) -> None:
    exact = min(float(mcnemar([[0, first], [second, 0]], exact=True).pvalue), 1.0) if first + second else 1.0
    n = 200
    sure = compare(Resampled(np.array([0.5]), np.full((1, 9), 0.5)), Resampled(np.array([0.5]), np.full((1, 9), 0.5)),
                   EffectiveSize(50, 1.0))  # fmt: skip
    value = (first - second) / n
    one = type(sure)(value, 0.0, 50, exact, True, "", np.zeros(9), 1.0, (first, second, n))
    if abs(exact - alpha) > 1e-9:
        assert leaves_out_0(*one.interval(alpha)) == (exact < alpha and value != 0)


def test_no_draws_is_bonferroni_and_one_pair_is_left_alone() -> None:
    p = np.array([0.01, 0.2, 0.7])
    assert adjusted_p(p, np.zeros(0)).tolist() == pytest.approx([0.03, 0.6, 1.0])
    assert critical_level(3, np.zeros(0)) == pytest.approx(ALPHA / 3)
    one = compare(Resampled(np.array([0.7]), np.random.default_rng(0).normal(0.7, 0.01, (1, 300))),
                  Resampled(np.array([0.6]), np.random.default_rng(1).normal(0.6, 0.01, (1, 300))),
                  EffectiveSize(100, 1.0))  # fmt: skip
    assert together([one]).level() == ALPHA


def test_pairs_that_move_together_cost_less_than_apart() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.01, 2000)
    other = Resampled(np.array([0.6]), np.full((1, 2000), 0.6))
    alike = [
        compare(Resampled(np.array([0.6]), 0.6 + shared[None] + rng.normal(0, 1e-4, (1, 2000))), other,
                EffectiveSize(500, 1.0))
        for _ in range(10)
    ]  # fmt: skip
    assert together(alike).level() > 0.04
    apart = [
        compare(Resampled(np.array([0.6]), 0.6 + rng.normal(0, 0.01, (1, 2000))), other, EffectiveSize(500, 1.0))
        for _ in range(10)
    ]
    assert together(apart).level() < 0.008


@pytest.mark.slow
def test_no_page_shows_an_interval_that_contradicts_its_verdict(tmp_path: Path) -> None:
    study = Study(tmp_path, models=("cnn", "vit", "resnet"), variants=("raw", "preprocessed"), seeds=(1, 2, 3))
    write_statistics(study.output)
    table = pd.read_csv(tmp_path / "statistics" / "comparisons.csv").query("family != 'models over data sets'")
    assert len(table) > 300
    shown = (table["low_adjusted"] > 0) | (table["high_adjusted"] < 0)
    assert (shown == (table["verdict"] != "no difference shown")).all()
    assert (shown == (table["p_adjusted"] < ALPHA)).all()
    text = (tmp_path / "statistics" / "statements.md").read_text()
    numbers = re.findall(r"\[([+-][\d.]+), ([+-][\d.]+)\], p (< 0.001|= [\d.]+)", text)
    assert len(numbers) > 3
    for low, high, p in numbers:
        small = p.startswith("<") or float(p[2:]) < 0.05
        assert leaves_out_0(float(low), float(high)) == small, (low, high, p)


# ---------------------------------------------------------------- the primary families of a study


def found_in_study(rng: np.random.Generator, true: int, nulls: int = 40, pairs: int = 3) -> tuple[int, int]:
    """How many true and how many null families show a difference; independent p, Bonferroni within."""
    p = rng.random((true + nulls, pairs))
    p[:true, 0] = 1e-5
    families = [Together(adjusted_p(one, np.zeros(0)), np.zeros(0)) for one in p]
    shown = np.array([one.min() < ALPHA for one in over_families(families)[0]])
    return int(shown[:true].sum()), int(shown[true:].sum())


@pytest.mark.slow
def test_a_study_in_which_nothing_differs_shows_a_primary_difference_in_five_percent() -> None:
    rng = np.random.default_rng(0)
    alarms = np.mean([found_in_study(rng, true=0)[1] > 0 for _ in range(600)])
    assert 0.02 < alarms < 0.075


@pytest.mark.slow
def test_planted_primary_differences_are_found_with_few_false_ones_among_them() -> None:
    rng = np.random.default_rng(1)
    found = [found_in_study(rng, true=8) for _ in range(300)]
    assert all(true == 8 for true, _ in found)
    assert 0.01 < np.mean([false / (true + false) for true, false in found]) < 0.06


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_level_and_p_over_families_say_the_same(seed: int, count: int) -> None:
    """And adjusting for the other families never makes a p smaller, nor one family alone larger."""
    rng = np.random.default_rng(seed)
    families = [Together(rng.random(rng.integers(1, 4)) ** 4, np.zeros(0)) for _ in range(count)]
    adjusted, alpha = over_families(families)
    for one, p in zip(families, adjusted, strict=True):
        assert ((p < ALPHA) == (one.p < alpha)).all()
        assert (p >= one.p).all()
    if count == 1:
        assert alpha == ALPHA and adjusted[0].tolist() == families[0].p.tolist()


def test_rounding_hides_no_sign() -> None:
    assert (signed(0.00012), signed(-0.0123), signed(0.0)) == ("+0.0001", "-0.012", "+0.000")
    words = ["= 0.0496", "= 0.04998", "= 0.050", "< 0.001"]
    assert [p_words(p) for p in (0.0496, 0.04998, 0.0502, 0.0001)] == words


# ---------------------------------------------------------------- truth (more: benchmarks/interval_coverage.py)


@pytest.mark.slow
def test_intervals_of_a_family_hold_together() -> None:
    world = coverage.World(coverage.LARGE // 5, coverage.habits(coverage.RECALLS))
    held = coverage.cover_family(world, networks=5, simulations=150, resamples=300)
    assert 0.89 < held["accuracy (together)"] <= 1
    assert held["accuracy (each alone)"] < 0.85


# ---------------------------------------------------------------- groups


@pytest.mark.slow
def test_the_worst_of_equal_groups_is_rarely_called_worst() -> None:
    alarms = coverage.false_alarms_groups(groups=12, rows=60, accuracy=0.6, simulations=300)
    assert alarms["worst group"] < 0.09
    assert alarms["worst group (each pair alone)"] > 0.3


def test_a_group_that_is_worse_is_found() -> None:
    groups = pd.Series(np.repeat(["a", "b", "c"], 400))
    predicted = np.concatenate([np.arange(400) < right for right in (240, 320, 330)]).astype(int)
    rows = {row["group"]: row for row in results_by_group("x", groups, np.ones(1200, dtype=int), predicted)}
    assert [name for name, row in rows.items() if row["is_worst"]] == ["a"]
    assert rows["a"]["gap_high"] < 0
    assert rows["b"]["gap_low"] < 0 < rows["b"]["gap_high"]


def test_more_groups_and_attributes_ask_for_more() -> None:
    assert gap_level(2, 1) == pytest.approx(0.05, abs=1e-6)
    assert gap_level(12, 1) < gap_level(5, 1) < 0.05
    assert gap_level(5, 6) < gap_level(5, 1)
