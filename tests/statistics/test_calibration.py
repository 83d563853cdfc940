"""Promises about probabilities: known values, known temperatures, known priors, nothing that depends on row order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss

from fer.results.study_files import StoredRun
from fer.statistics.bootstrap import draw_groups
from fer.statistics.calibration import (
    brier_score,
    ece_interval,
    fit_temperature,
    negative_log_likelihood,
    prior_corrected,
    reliability,
    risk_coverage,
    thinned,
    with_temperature,
)
from fer.statistics.calibration_tables import class_priors

CLASSES = 7


def world(rows: int, sharpness: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(z), and softmax(sharpness · z)."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(rows, CLASSES))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    shown = np.exp(sharpness * logits)
    return labels, shown / shown.sum(axis=1, keepdims=True)


def test_scores_of_probabilities_are_known() -> None:
    labels, probabilities = world(500)
    assert negative_log_likelihood(labels, probabilities) == pytest.approx(log_loss(labels, probabilities))
    uniform = np.full((4, 4), 0.25)
    assert brier_score(np.arange(4), uniform) == pytest.approx(0.75**2 + 3 * 0.25**2)
    assert brier_score(np.arange(4), np.eye(4)) == 0
    assert brier_score(np.arange(4), np.eye(4)[::-1]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_what_sharpened(sharpness: float) -> None:
    labels, probabilities = world(20_000, sharpness)
    assert fit_temperature(labels, probabilities) == pytest.approx(sharpness, rel=0.05)
    np.testing.assert_allclose(with_temperature(probabilities, sharpness), world(20_000)[1], atol=1e-3)


def test_temperature_keeps_the_answers_and_takes_votes() -> None:
    labels, probabilities = world(200)
    votes = np.eye(CLASSES, dtype=np.float32)[probabilities.argmax(axis=1)]  # zeros: a hard vote of one
    temperature = fit_temperature(labels, votes)
    recalibrated = with_temperature(votes, temperature)
    assert np.isfinite(recalibrated).all()
    assert np.array_equal(recalibrated.argmax(axis=1), votes.argmax(axis=1))
    assert negative_log_likelihood(labels, recalibrated) < negative_log_likelihood(labels, votes)


def test_prior_correction_is_bayes_rule() -> None:
    rng = np.random.default_rng(0)
    likelihood = rng.random((50, 3))
    natural, even = np.array([700, 200, 100]), np.array([500, 500, 500])
    expected = likelihood * natural
    trained = likelihood / likelihood.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(prior_corrected(trained, natural, even), expected / expected.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(prior_corrected(trained, natural, natural * 3), trained)


def test_a_class_nobody_trained_on_keeps_its_share() -> None:
    corrected = prior_corrected(np.array([[0.4, 0.4, 0.2]]), np.array([3, 1, 0]), np.array([2, 2, 0]))
    np.testing.assert_allclose(corrected, np.array([[0.6, 0.2, 0.2]]))


def test_bins_hold_equally_many_rows_and_their_means() -> None:
    labels, probabilities = world(1500)
    found = reliability(labels, probabilities)
    assert found.n.tolist() == [100] * 15
    assert (np.diff(found.confidence) > 0).all()
    first = np.sort(probabilities.max(axis=1))[:100]
    assert found.confidence[0] == pytest.approx(first.mean())
    assert found.ece == pytest.approx(np.abs(found.accuracy - found.confidence).mean())


@pytest.mark.parametrize(("rows", "bins"), [(30, 3), (79, 3), (200, 10), (300, 15), (7000, 15)])
def test_there_are_as_many_bins_as_rows_bear(rows: int, bins: int) -> None:
    assert len(reliability(*world(rows)).n) == bins


def test_equal_confidences_share_a_bin() -> None:
    probabilities = np.repeat([[0.5, 0.5, 0.0], [0.8, 0.1, 0.1]], [60, 40], axis=0)
    labels = np.zeros(100, dtype=int)
    found = reliability(labels, probabilities)
    assert found.n.tolist() == [60, 40]
    assert found.ece == pytest.approx(0.6 * 0.5 + 0.4 * 0.2)


def test_ece_grows_with_what_is_wrong() -> None:
    well, badly = (reliability(*world(20_000, sharpness)).ece for sharpness in (1.0, 2.5))
    assert well < 0.015 < 0.1 < badly


def test_the_interval_of_a_good_ece_reaches_zero_and_of_a_bad_one_does_not() -> None:
    draws = draw_groups(np.arange(1000))
    for sharpness in (1.0, 2.5):
        found = reliability(*world(1000, sharpness))
        low, high = ece_interval(found, draws)
        assert low <= found.ece <= high
        assert (low == 0) == (sharpness == 1.0)


def test_risk_and_coverage_of_a_known_order() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    curve = risk_coverage(np.array([0, 0, 1, 0]), probabilities)
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert curve.area == pytest.approx((1 / 3 + 1 / 4) / 4)


def test_risk_does_not_depend_on_the_order_of_equal_rows() -> None:
    labels = np.array([0, 1, 0, 1, 1, 0])
    probabilities = np.tile([0.7, 0.3], (6, 1))
    curve = risk_coverage(labels, probabilities)
    assert curve.risk.tolist() == pytest.approx([0.5] * 6)


def test_a_thinned_curve_keeps_its_end() -> None:
    curve = risk_coverage(*world(1234))
    coverage, risk = thinned(curve)
    assert len(coverage) == 100
    assert (coverage[-1], risk[-1]) == (1.0, curve.risk[-1])
    assert len(thinned(risk_coverage(*world(7)))[0]) == 7


NATURAL = [50, 20, 10, 10, 5, 5, 0]


@pytest.mark.parametrize(
    ("balance", "hyper", "trained"),
    [
        ("none", {}, None),
        ("weights", {}, [1, 1, 1, 1, 1, 1, 0]),
        # n (1 - 0.5) / (1 - 0.5^n): weights of nearly one but for the two classes of five
        ("effective_number", {"effective_beta": 0.5}, [n / (1 - 0.5**n) if n else 0 for n in NATURAL]),
        ("none", {"loss": "logit_adjustment"}, [1, 1, 1, 1, 1, 1, 0]),
        ("none", {"loss": "logit_adjustment", "logit_tau": 0.5}, [n**0.5 for n in NATURAL]),
    ],
)
def test_the_shares_trained_on_follow_balance_and_loss(
    balance: str, hyper: dict[str, Any], trained: list[float] | None
) -> None:
    counts = {"studio": {"original": NATURAL, "balanced": NATURAL}}
    run = StoredRun("run", Path("run"), {"balance": balance, "mixing": "natural", "hyper": hyper}, counts, {})
    found = class_priors(run)
    if trained is None:
        assert found is None
    else:
        assert found is not None and found[0] == pytest.approx(np.array(NATURAL) / 100)
        assert found[1] == pytest.approx(np.array(trained) / sum(trained))
