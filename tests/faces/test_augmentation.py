"""Promises of augmentation: independent draws fixed by their key, and no change that could bend an expression."""

from __future__ import annotations

import pickle
import random
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
import torch

from fer.faces import augmentation
from fer.faces.augmentation import augment_images
from fer.faces.batch_augmentation import augment_batch
from fer.settings.augmentation_rows import AugmentationRow, described

KINDS: tuple[Literal["light", "strong"], ...] = ("light", "strong")
KEY = (42, 3, 17)
# Sums of the first six pictures' pixels.
GOLDEN = {
    "light": [384302, 384974, 410794, 395457, 384077, 383965],
    "strong": [401683, 384974, 383071, 382929, 386270, 383520],
}


def make_transform(kind: str, strength: float, probability: float, side: int) -> Any:
    """One of the two sets that keys know by name."""
    return augmentation.make_transform({"kind": kind, "strength": strength, "probability": probability}, side)


def own_transform(side: int, **row: Any) -> Any:
    """A row of one's own."""
    return augmentation.make_transform(row_in_a_key(row), side)


def row_in_a_key(row: dict[str, Any]) -> dict[str, Any]:
    return described(AugmentationRow.model_validate(row)) or {}


def faces(count: int, side: int = 48, channels: int = 1) -> np.ndarray:
    """Noise that is darker at the left and at the bottom, so that any mirroring shows: uint8 [N, S, S, C]."""
    ramp = np.linspace(0, 60, side)
    pixels = 60 + ramp[None, :] + 2 * ramp[::-1, None]
    noise = np.random.default_rng(side).integers(0, 40, (count, side, side, channels))
    return (pixels[None, :, :, None] + noise).astype(np.uint8)


def lean(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much brighter the right is than the left, and the top than the bottom, per picture [N, H, W, ...]."""
    gray = pixels.reshape(*pixels.shape[:3], -1).mean(axis=3)
    half = gray.shape[1] // 2
    right = gray[:, :, half:].mean(axis=(1, 2)) - gray[:, :, :half].mean(axis=(1, 2))
    up = gray[:, :half].mean(axis=(1, 2)) - gray[:, half:].mean(axis=(1, 2))
    return right, up


def chi_square(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's statistic of the 2x2 table of two events, 1 degree of freedom."""
    table = np.array([[np.sum((first == a) & (second == b)) for b in (False, True)] for a in (False, True)])
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    return float(((table - expected) ** 2 / expected).sum())


# ---------------------------------------------------------------- draws


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_flip_and_change_are_independent_of_each_other(kind: Literal["light", "strong"]) -> None:
    images = faces(1200, side=64)
    changed = augment_images(images, make_transform(kind, 1.0, 0.5, 64), KEY)
    flipped = lean(changed)[0] < 0
    back = np.where(flipped[:, None, None, None], changed[:, :, ::-1], changed)
    acted = (back != images).any(axis=(1, 2, 3))
    assert 0.44 < flipped.mean() < 0.56
    assert 0.44 < acted.mean() < 0.56
    assert chi_square(flipped, acted) < 10.8  # exceeded by chance once in a thousand


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_neighbouring_keys_and_pictures_draw_independently(kind: Literal["light", "strong"]) -> None:
    images, transform = faces(600, side=24), make_transform(kind, 1.0, 0.5, 24)
    keys = [(42, 0, 0), (43, 0, 0), (42, 1, 0), (42, 0, 1), (0, 42, 0)]
    flips = [lean(augment_images(images, transform, key))[0] < 0 for key in keys]
    for first, second in pairwise(flips):
        assert chi_square(first, second) < 10.8
    assert chi_square(flips[0][:-1], flips[0][1:]) < 10.8


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_key_gives_the_same_pictures_and_another_key_others(kind: Literal["light", "strong"]) -> None:
    images = faces(24)
    first = augment_images(images, make_transform(kind, 1.0, 0.8, 48), KEY)
    used = make_transform(kind, 1.0, 0.8, 48)
    augment_images(images, used, (1, 1, 1))
    assert (augment_images(images, used, KEY) == first).all()
    for other in ((43, 3, 17), (42, 4, 17), (42, 3, 18)):
        assert (augment_images(images, used, other) != first).any()


def test_draws_do_not_depend_on_how_a_batch_is_divided() -> None:
    images, transform = faces(20), make_transform("strong", 1.0, 0.8, 48)
    whole = augment_images(images, transform, KEY)
    parts = [augment_images(images[start : start + 7], transform, KEY, first=start) for start in (0, 7, 14)]
    assert (np.concatenate(parts) == whole).all()
    single = augment_images([images[13]], transform, KEY, first=13)
    assert (single[0] == whole[13]).all()


def test_a_transform_survives_the_way_to_a_spawned_worker() -> None:
    images = faces(12)
    for kind in KINDS:
        transform = make_transform(kind, 1.0, 0.8, 48)
        sent = pickle.loads(pickle.dumps(transform))
        assert (augment_images(images, sent, KEY) == augment_images(images, transform, KEY)).all()


# ---------------------------------------------------------------- what may happen to a face


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_no_face_is_turned_upside_down(kind: Literal["light", "strong"], strength: float) -> None:
    images = faces(400)
    right, up = lean(augment_images(images, make_transform(kind, strength, 1.0, 48), KEY))
    assert (up > -0.25 * lean(images)[1]).all()  # -1 upside down; too bright or too dark to tell is about 0
    assert 0.4 < (right < 0).mean() < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [16, 48, 96, 224])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type_are_kept(kind: Literal["light", "strong"], side: int, channels: int) -> None:
    images = faces(20, side, channels)
    array = augment_images(images, make_transform(kind, 1.5, 1.0, side), KEY)
    assert (array.shape, array.dtype) == (images.shape, np.uint8)
    listed = augment_images(list(images), make_transform(kind, 1.5, 1.0, side), KEY)
    assert isinstance(listed, list)
    assert (np.stack(listed) == array).all()


def test_gray_in_three_channels_stays_gray_where_only_geometry_and_light_act() -> None:
    """Noise is coloured, so at most that share of pictures may lose its grayness."""
    images = np.repeat(faces(200), 3, axis=3)
    changed = augment_images(images, make_transform("light", 1.0, 1.0, 48), KEY).astype(int)
    coloured = (np.ptp(changed, axis=3) > 1).any(axis=(1, 2))
    assert coloured.mean() < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_strength_and_probability_zero(kind: Literal["light", "strong"]) -> None:
    images = faces(30)
    assert (augment_images(images, make_transform(kind, 0.0, 1.0, 48), KEY) == images).all()
    mirrored = augment_images(images, make_transform(kind, 1.0, 0.0, 48), KEY)
    flipped = lean(mirrored)[0] < 0
    assert (mirrored == np.where(flipped[:, None, None, None], images[:, :, ::-1], images)).all()
    assert flipped.any() and not flipped.all()


@pytest.mark.parametrize("kind", KINDS)
def test_blur_takes_as_much_of_a_small_face_as_of_a_large_one(kind: Literal["light", "strong"]) -> None:
    """Stripes of a sixteenth of the side keep the same share of their contrast at 64 and at 256 pixels."""
    kept = []
    for side in (64, 256):
        transform = make_transform(kind, 2.0, 1.0, side)
        blur = next(one for one in transform.transforms[1].transforms if type(one).__name__ == "GaussianBlur")
        blur.set_random_state(np.random.default_rng(0), random.Random(0))
        stripes = np.repeat(np.tile(np.array([60, 200], np.uint8), 8), side // 16)
        changed = [blur(image=np.tile(stripes, (side, 1))[..., None])["image"].std() for _ in range(60)]
        kept.append(np.mean(changed) / 70)
    assert kept[0] == pytest.approx(kept[1], abs=0.02)
    assert kept[1] < 0.97


@pytest.mark.parametrize("kind", KINDS)
def test_no_edge_is_drawn_out_into_streaks(kind: Literal["light", "strong"]) -> None:
    """Where a moved picture leaves the frame its edge pixels would repeat: the outer columns or rows be equal."""
    changed = augment_images(faces(400), make_transform(kind, 1.0, 1.0, 48), KEY)
    for view in (changed, changed.transpose(0, 2, 1, 3)):
        assert not (view[:, :, 0] == view[:, :, 1]).all(axis=(1, 2)).any()
        assert not (view[:, :, -1] == view[:, :, -2]).all(axis=(1, 2)).any()


@pytest.mark.slow
def test_strong_changes_more_than_light_and_strength_scales_both() -> None:
    images = faces(300)

    def change(transform: Any) -> float:
        changed = augment_images(images, transform, KEY).astype(int)
        flipped = (lean(changed)[0] < 0)[:, None, None, None]
        return float(np.abs(np.where(flipped, changed[:, :, ::-1], changed) - images).mean())

    assert (
        change(make_transform("light", 0.5, 1.0, 48))
        < change(make_transform("light", 1.0, 1.0, 48))
        < change(make_transform("strong", 1.0, 1.0, 48))
    )


# ---------------------------------------------------------------- rows of one's own


def test_the_shipped_sets_change_pictures_as_they_always_did() -> None:
    """Golden numbers of the code before there were rows: their keys are the same, so their pixels must be."""
    images = faces(40)
    found = {kind: augment_images(images, make_transform(kind, 1.0, 0.8, 48), KEY) for kind in KINDS}
    sums = {kind: changed.reshape(40, -1).sum(1, dtype=np.int64)[:6].tolist() for kind, changed in found.items()}
    for kind in KINDS:  # another OpenCV may round another way
        assert sums[kind] == pytest.approx(GOLDEN[kind], rel=2e-4)


def dot(side: int = 65, row: int = 32, column: int = 48) -> np.ndarray:
    """Black but for a blurred white spot: uint8 [S, S, 1]."""
    y, x = np.mgrid[:side, :side]
    return (255 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8))[..., None].astype(np.uint8)


def centre(pixels: np.ndarray) -> tuple[float, float]:
    """Row and column of the centre of mass, from the middle of the picture."""
    weights = pixels[..., 0].astype(float)
    y, x = np.mgrid[: len(weights), : len(weights)]
    middle = (len(weights) - 1) / 2
    return float((weights * y).sum() / weights.sum() - middle), float((weights * x).sum() / weights.sum() - middle)


# Where a spot 16 pixels right of the middle of a picture of 65 comes to lie: down and right of the middle.
PLACES: list[tuple[dict[str, Any], tuple[float, float]]] = [
    ({"rotation": (30, 30)}, (-8.0, 13.86)),  # against the clock
    ({"zoom": (0.25, 0.25)}, (0, 20)),
    ({"shift": (6 / 65, 6 / 65)}, (6, 22)),
    ({"crop": (0.1, 0.1)}, (6, 22)),  # whole pixels: of 6.5 the even one
    ({"zoom": (-0.25, -0.25), "shift": (6 / 65, 6 / 65)}, (6, 18)),
]


@pytest.mark.parametrize(("row", "place"), PLACES)
@pytest.mark.parametrize("apply", ["each", "one"])
def test_a_change_of_place_goes_as_far_as_its_row_says(
    row: dict[str, Any], place: tuple[float, float], apply: str
) -> None:
    changed = augment_images([dot()], own_transform(65, apply=apply, **row), KEY)[0]
    assert centre(changed) == pytest.approx(place, abs=0.3)


def test_all_changes_of_place_together_are_one_turn_one_size_and_one_shift() -> None:
    row = {"rotation": (30, 30), "zoom": (0.25, 0.25), "shift": (-6 / 65, -6 / 65)}
    changed = augment_images([dot()], own_transform(65, **row), KEY)[0]
    assert centre(changed) == pytest.approx((-10 - 6, 17.3 - 6), abs=0.2)


def widths_and_heights(changed: np.ndarray) -> np.ndarray:
    """How wide and how high a blurred spot is, of each picture [N, 2]: the roots of its second moments."""
    y, x = np.mgrid[: changed.shape[1], : changed.shape[2]]
    weights = changed[..., 0] / changed[..., 0].sum(axis=(1, 2), keepdims=True)
    middle = (changed.shape[1] - 1) / 2
    return np.sqrt(np.stack([(weights * (place - middle) ** 2).sum(axis=(1, 2)) for place in (x, y)], axis=1))


@pytest.mark.parametrize("row", [{"zoom": 0.3}, {"zoom": 0.3, "apply": "one"}, {"zoom": 0.3, "rotation": 20}])
def test_a_zoom_of_a_row_of_ones_own_leaves_a_round_spot_round(row: dict[str, Any]) -> None:
    """In the shares of its range, as in the other engine."""
    spots = np.stack([dot(65, 32, 32)] * 60)
    batch = augment_batch(torch.from_numpy(spots.transpose(0, 3, 1, 2).copy()), row_in_a_key(row), KEY)
    for changed in (augment_images(spots, own_transform(65, **row), KEY), batch.numpy().transpose(0, 2, 3, 1)):
        sizes = widths_and_heights(changed) / widths_and_heights(spots)
        assert np.abs(sizes[:, 0] - sizes[:, 1]).max() < 0.03
        assert [sizes.min(), sizes.max()] == pytest.approx([0.7, 1.3], abs=0.06)


def test_each_transform_acts_as_often_as_its_row_says() -> None:
    images = [dot() for _ in range(400)]
    row = {"shift": {"range": (0.2, 0.2), "probability": 0.3}, "zoom": {"range": (0.5, 0.5), "probability": 0.6}}
    places = np.array([centre(one)[1] for one in augment_images(images, own_transform(65, **row), KEY)])
    shifted = np.isclose(places, 16 + 13, atol=1.5) | (places > 26)
    zoomed = np.isclose(places, 24, atol=1) | (places > 29.5)
    assert shifted.mean() == pytest.approx(0.3, abs=0.08)
    assert zoomed.mean() == pytest.approx(0.6, abs=0.1)


def test_erasing_takes_one_rectangle_of_that_share_of_the_picture() -> None:
    images = np.full((60, 64, 64, 1), 255, np.uint8)
    for changed in augment_images(images, own_transform(64, erasing=(0.1, 0.2)), KEY):
        rows, columns = np.nonzero(changed[..., 0] != 255)
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert 0.08 < area / 64**2 < 0.22
        assert len(rows) > 0.97 * area  # of noise, one value in 256 is white
