"""Promises about scores: hand-computed cases, absent classes, TTA, damaged prediction files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, precision_recall_fscore_support, roc_auc_score
from test_data_loader import faces as faces  # the fixture

from data_loader import FaceRows, NetworkInput
from evaluation import (
    METRICS,
    TTA_POLICIES,
    VIEWS,
    Predictions,
    all_metrics,
    class_scores,
    hard_vote,
    load_predictions,
    predict,
    predict_batch,
    soft_vote,
    store_predictions,
)
from fer.settings.settings import Settings
from utils import InputError

EXPECTED = NetworkInput(16, 1, (0.5,), (0.25,))


def one_hot(predicted: list[int], classes: int = 4) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[predicted]


def test_metrics_against_a_hand_computed_case_with_an_absent_class() -> None:
    # Classes 0, 1, 2 occur; 3 has no row; 2 is never predicted; one row of class 0 is called 3.
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2])
    probabilities = one_hot([0, 0, 0, 3, 1, 1, 0, 1])
    scores = class_scores(labels, probabilities)
    assert np.allclose(scores["recall"], [3 / 4, 2 / 3, 0, np.nan], equal_nan=True)
    assert np.allclose(scores["precision"], [3 / 4, 2 / 3, 0, np.nan], equal_nan=True)
    assert np.allclose(scores["f1"], [3 / 4, 2 / 3, 0, np.nan], equal_nan=True)
    assert scores["support"].tolist() == [4, 3, 1, 0]
    assert np.isnan(scores["auc"][3])
    got = all_metrics(labels, probabilities)
    assert got["accuracy"] == pytest.approx(5 / 8)
    assert got["balanced_accuracy"] == pytest.approx((3 / 4 + 2 / 3) / 3)
    assert got["macro_f1"] == got["macro_precision"] == pytest.approx((3 / 4 + 2 / 3) / 3)
    expected = (4 * 4 + 3 * 3 + 1 * 0 + 0 * 1) / 64
    assert got["cohen_kappa"] == pytest.approx((5 / 8 - expected) / (1 - expected))
    assert got["n_classes"] == 3


@pytest.mark.slow
@given(st.integers(0, 10_000), st.integers(2, 60), st.booleans())
def test_scores_are_those_of_scikit_learn(seed: int, rows: int, ties: bool) -> None:
    """Also with ties, classes without a row, and classes nobody predicted."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, 5, rows)
    probabilities = draws.dirichlet(np.ones(7), rows)
    if ties:
        probabilities = probabilities.round(1)
    ours = class_scores(labels, probabilities)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, probabilities.argmax(1), labels=range(7), zero_division=0
    )
    present = support > 0
    for name, theirs in {"precision": precision, "recall": recall, "f1": f1, "support": support}.items():
        np.testing.assert_allclose(ours[name][present], theirs[present], atol=1e-12)
    for label in np.flatnonzero(present & (support < rows)):
        theirs = roc_auc_score(labels == label, probabilities[:, label])
        assert ours["auc"][label] == pytest.approx(theirs, abs=1e-12)
    assert np.isnan(ours["auc"][~present]).all()
    theirs = cohen_kappa_score(labels, probabilities.argmax(1))
    assert all_metrics(labels, probabilities)["cohen_kappa"] == pytest.approx(theirs, abs=1e-12, nan_ok=True)


def test_a_single_class_gives_nan_where_nothing_is_defined() -> None:
    got = all_metrics(np.zeros(5, dtype=int), one_hot([0] * 5))
    assert got["accuracy"] == got["macro_f1"] == 1
    assert np.isnan(got["macro_auc"])
    assert np.isnan(got["cohen_kappa"])


def test_every_metric_is_finite_on_ordinary_predictions() -> None:
    draws = np.random.default_rng(0)
    probabilities = draws.dirichlet(np.ones(7), 200).astype(np.float32)
    labels = draws.integers(0, 7, 200)
    assert all(np.isfinite(METRICS[name](labels, probabilities)) for name in METRICS)


class Lopsided(torch.nn.Module):
    """Answers by brightness of the left and right half, so that a flip changes the answer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = x[..., :8].mean((1, 2, 3)), x[..., 8:].mean((1, 2, 3))
        return torch.stack([left, right, x.amax((1, 2, 3))], 1)


def test_identity_tta_equals_plain_evaluation_and_flip_averages(faces: FaceRows) -> None:
    network, device = Lopsided(), torch.device("cpu")
    found = predict(network, EXPECTED, faces, ("none", "flip", "three_views"), 16, device)
    plain = predict(network, EXPECTED, faces, ("none",), 16, device)["none"]
    assert np.array_equal(found["none"], plain)
    assert not np.allclose(found["flip"], plain)
    assert np.allclose(found["flip"][:, 0], found["flip"][:, 1], atol=0.2)
    assert np.allclose(found["three_views"].sum(1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_predictions_do_not_depend_on_the_batch_size(faces: FaceRows, batch_size: int) -> None:
    device = torch.device("cpu")
    whole = predict(Lopsided(), EXPECTED, faces, ("none",), 65, device)["none"]
    parts = predict(Lopsided(), EXPECTED, faces, ("none",), batch_size, device)["none"]
    assert np.allclose(whole, parts, atol=1e-6)


def test_predictions_keep_the_order_of_the_rows(faces: FaceRows) -> None:
    shuffled = faces.take(np.random.default_rng(1).permutation(len(faces)))
    device = torch.device("cpu")
    ours = dict(zip(faces.sample_ids, predict(Lopsided(), EXPECTED, faces, ("none",), 9, device)["none"], strict=True))
    theirs = predict(Lopsided(), EXPECTED, shuffled, ("none",), 9, device)["none"]
    assert all(np.allclose(ours[name], row, atol=1e-6) for name, row in zip(shuffled.sample_ids, theirs, strict=True))


def test_the_crop_view_enlarges_the_centre() -> None:
    picture = torch.zeros(1, 1, 20, 20)
    picture[..., 0, :] = 1
    assert VIEWS["crop"](picture).abs().sum() == 0
    assert VIEWS["crop"](picture).shape == picture.shape


class OnePixel(torch.nn.Module):
    """Sure of class 0 where the pixel (8, 8) is lit, else of class 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lit = (x[:, 0, 8, 8] > 0).float()
        return 100 * torch.stack([lit, 1 - lit], 1)


# 4 % of 16 pixels are one pixel. Mirroring takes column c to 15 - c; a move up and left takes (r, c) to (r-1, c-1).
@pytest.mark.parametrize(
    ("row", "column", "share"),
    [
        (8, 8, 1 / 6),  # the face as it is
        (8, 7, 1 / 6),  # its mirror image
        (9, 9, 1 / 6),  # moved up and left
        (7, 7, 1 / 6),  # moved down and right
        (9, 6, 1 / 6),  # the mirror image, then up and left
        (7, 8, 1 / 6),  # the mirror image, then down and right
        (9, 7, 0),  # what no view brings there
    ],
)
def test_shifts_average_the_face_and_its_mirror_image_each_at_three_places(row: int, column: int, share: float) -> None:
    picture = np.zeros((1, 16, 16, 1), np.uint8)
    picture[0, row, column] = 255
    found = predict_batch(OnePixel(), EXPECTED, picture, "shifts", torch.device("cpu"))
    assert found[0, 0] == pytest.approx(share, abs=1e-6)


def test_ten_views_are_the_whole_face_and_its_corners_each_mirrored_too() -> None:
    """A face of 40 pixels lit in 6 x 6 at its top left: a corner keeps 36 pixels a side, enlarged to 40."""
    picture = torch.zeros(1, 1, 40, 40)
    picture[..., :6, :6] = 1
    light = {name: float(VIEWS[name](picture).sum()) for name in TTA_POLICIES["ten_views"]}
    assert len(light) == 10
    assert light["identity"] == light["flip"] == 36
    kept = {"top_left": 6 * 6, "top_right": 6 * 2, "bottom_left": 2 * 6, "bottom_right": 2 * 2}
    for corner, pixels in kept.items():
        assert light[f"corner_{corner}"] == pytest.approx(pixels / 0.9**2, rel=0.2)  # of 2 pixels edges are a lot
    assert light["flip_corner_top_right"] == pytest.approx(light["corner_top_left"])


def test_policies_are_those_a_user_can_set() -> None:
    (allowed, *_) = [a for a in get_args(Settings.model_fields["tta"].annotation) if get_args(a)]
    assert set(get_args(allowed)) == set(TTA_POLICIES)


# ---------------------------------------------------------------- votes


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_a_tied_vote_goes_to_the_higher_mean_probability(seed: int, members: int) -> None:
    """However close the means are: the answers are those of sorting by votes, then by mean."""
    probabilities = np.random.default_rng(seed).dirichlet(np.full(7, 20), (members, 50)).astype(np.float32)
    votes = np.eye(7, dtype=int)[probabilities.argmax(axis=2)].sum(axis=0)
    mean = probabilities.astype(np.float64).mean(axis=0)
    found = hard_vote(probabilities)
    assert found.argmax(axis=1).tolist() == np.lexsort((mean, votes), axis=1)[:, -1].tolist()
    np.testing.assert_allclose(found, votes / members, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("weights", [None, np.array([1.0, 1.0])])
def test_means_of_close_probabilities_stay_apart(weights: np.ndarray | None) -> None:
    close = np.float32(0.3)
    first = np.array([[close, np.nextafter(close, np.float32(1))]])
    second = np.full((1, 2), 0.7, dtype=np.float32)
    assert soft_vote(np.stack([first, second]), weights).argmax(axis=1).tolist() == [1]


PREDICTIONS = Predictions(
    "run", "alpha", "test", "raw", "none", ("a", "b"), np.array(["x", "y"]), np.array([0, 1]),
    np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32), "k",
)  # fmt: skip


def test_predictions_survive_the_disk(tmp_path: Path) -> None:
    store_predictions(tmp_path / "p.npz", PREDICTIONS)
    loaded = load_predictions(tmp_path / "p.npz")
    assert np.array_equal(loaded.probabilities, PREDICTIONS.probabilities)
    assert replace(loaded, sample_ids=0, labels=0, probabilities=0) == replace(
        PREDICTIONS, sample_ids=0, labels=0, probabilities=0
    )


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nothing", None])
def test_damaged_predictions_are_named(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "p.npz"
    store_predictions(path, PREDICTIONS)
    path.write_bytes(path.read_bytes()[:300] if damage is None else damage)
    with pytest.raises(InputError, match=r"p\.npz is damaged"):
        load_predictions(path)


@pytest.mark.parametrize("name", ["sample_ids", "labels", "probabilities", "key"])
def test_changed_predictions_are_named_and_older_ones_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "p.npz"
    store_predictions(path, PREDICTIONS)
    with np.load(path) as stored:
        fields = dict(stored)
    np.savez_compressed(path, **fields | {name: fields[name][::-1] if fields[name].ndim else np.asarray("other")})
    with pytest.raises(InputError, match="it was changed since it was written"):
        load_predictions(path)
    del fields["checksum"]
    np.savez_compressed(path, **fields)
    assert load_predictions(path).labels.tolist() == [0, 1]
