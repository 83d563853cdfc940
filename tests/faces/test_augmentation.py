"""Promises of augmentation: independent draws fixed by their key, and no change that could bend an expression."""

from __future__ import annotations

import pickle
import random
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest

from fer.faces.augmentation import augment_batch, augment_images, light_transform, make_transform, strong_transform

KINDS: tuple[Literal["light", "strong"], ...] = ("light", "strong")
KEY = (42, 3, 17)


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
    images, transform = faces(20), strong_transform(1.0, 0.8, 48)
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
    changed = augment_images(images, light_transform(1.0, 1.0, 48), KEY).astype(int)
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
        change(light_transform(0.5, 1.0, 48))
        < change(light_transform(1.0, 1.0, 48))
        < change(strong_transform(1.0, 1.0, 48))
    )


# ---------------------------------------------------------------- whole batches


def batch(count: int, side: int = 48, channels: int = 1) -> Any:
    import torch

    return torch.from_numpy(faces(count, side, channels).transpose(0, 3, 1, 2).copy())


def as_images(tensor: Any) -> np.ndarray:
    return tensor.numpy().transpose(0, 2, 3, 1)


def test_batch_draws_are_fixed_by_the_key() -> None:
    import torch

    pixels = batch(16)
    first = augment_batch(pixels, KEY, 1.0)
    torch.manual_seed(99)
    assert torch.equal(augment_batch(pixels, KEY, 1.0), first)
    assert not torch.equal(augment_batch(pixels, (42, 3, 18), 1.0), first)
    assert (first.dtype, first.shape) == (torch.uint8, pixels.shape)
    exact = augment_batch(pixels.float(), KEY, 1.0)
    assert exact.dtype == torch.float32
    assert (exact - first.float()).abs().max() <= 0.5 + 1e-3


@pytest.mark.slow
def test_batch_flips_half_and_turns_nothing_upside_down() -> None:
    right, up = lean(as_images(augment_batch(batch(600), KEY, 1.0)))
    assert 0.44 < (right < 0).mean() < 0.56
    assert (up > 0).all()


def test_batch_at_strength_zero_and_nearly_zero() -> None:
    pixels = batch(32)
    assert augment_batch(pixels, KEY, 0.0) is pixels
    images, changed = as_images(pixels), as_images(augment_batch(pixels, KEY, 1e-5))
    flipped = (lean(changed)[0] < 0)[:, None, None, None]
    assert (changed == np.where(flipped, images[:, :, ::-1], images)).all()
    assert flipped.any() and not flipped.all()


@pytest.mark.slow
def test_the_batch_engine_honours_kind_and_probability() -> None:
    """Light and strong differ, and the share of pictures that is only mirrored is the probability's rest."""
    import torch

    pixels = batch(400)
    images = as_images(pixels)
    light, strong = (as_images(augment_batch(pixels, KEY, 1.0, kind, 1.0)) for kind in KINDS)
    changes = [np.abs(changed.astype(int) - images).mean() for changed in (light, strong)]
    assert changes[0] < changes[1]
    for probability in (0.0, 0.3, 1.0):
        changed = as_images(augment_batch(pixels, KEY, 1.0, "strong", probability))
        flipped = (lean(changed)[0] < 0)[:, None, None, None]
        same = (changed == np.where(flipped, images[:, :, ::-1], images)).all(axis=(1, 2, 3))
        assert same.mean() == pytest.approx(1 - probability, abs=0.08)
    assert torch.equal(augment_batch(pixels, KEY, 1.0, "strong", 1.0), augment_batch(pixels, KEY, 1.0))


def test_batch_moves_stay_in_their_ranges() -> None:
    """A white square in the middle: its centre, area and tilt tell shift, scale and rotation."""
    import torch

    pixels = torch.zeros(200, 1, 96, 96)
    pixels[:, :, 36:60, 36:60] = 255
    moved = augment_batch(pixels, KEY, 1.0)[:, 0].double()
    mass = moved.sum((1, 2))
    place = torch.arange(96, dtype=torch.double)
    x = (moved.sum(1) * place).sum(1) / mass - 47.5
    y = (moved.sum(2) * place).sum(1) / mass - 47.5
    scale = (mass / (255 * 24 * 24)).sqrt()
    reach = 0.10 * 96 * 1.13  # a shift is scaled and turned along
    assert x.abs().max() < reach and y.abs().max() < reach
    assert x.abs().max() > 0.75 * 9.6 and y.abs().max() > 0.75 * 9.6
    assert 0.87 < scale.min() < 0.91 and 1.09 < scale.max() < 1.13


def test_batch_draws_are_uncorrelated() -> None:
    from fer.faces.augmentation import _draw_views

    views = _draw_views(4000, KEY, 1.0).numpy().astype(float)
    flip = np.sign(views[:, 0, 0])
    size = 1 / np.hypot(views[:, 0, 1], views[:, 1, 1])
    angle = np.arctan2(-views[:, 0, 1], views[:, 1, 1])
    draws = np.stack([flip, size, angle, views[:, 0, 2], views[:, 1, 2]])
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 0.06
    assert np.degrees(np.abs(angle)).max() == pytest.approx(9, abs=0.1)
    assert size.max() == pytest.approx(1.12, abs=0.01)
    assert np.abs(views[:, :, 2]).max() == pytest.approx(0.2, abs=0.01)  # of a width of 2: a tenth


def test_batch_refuses_what_is_not_square() -> None:
    import torch

    with pytest.raises(ValueError, match=r"square pictures .* not \[2, 1, 48, 40\]"):
        augment_batch(torch.zeros(2, 1, 48, 40), KEY, 1.0)
