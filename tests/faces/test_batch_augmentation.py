"""Promises of augmentation of whole batches: draws fixed by their key, and every transform as far as its row says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_augmentation import KEY, PLACES, centre, chi_square, dot, faces, lean

from fer.faces import batch_augmentation
from fer.faces.batch_augmentation import Draws
from fer.settings.augmentation_rows import AUGMENTATIONS, LIMITS, AugmentationRow, described


def batch(count: int, side: int = 48, channels: int = 1) -> torch.Tensor:
    return torch.from_numpy(faces(count, side, channels).transpose(0, 3, 1, 2).copy())


def as_images(tensor: torch.Tensor) -> np.ndarray:
    return tensor.numpy().transpose(0, 2, 3, 1)


def augment_batch(pixels: torch.Tensor, key: tuple[int, ...] = KEY, **row: Any) -> torch.Tensor:
    return batch_augmentation.augment_batch(pixels, described(AugmentationRow.model_validate(row)) or {}, key)


def dots(count: int, side: int = 65) -> torch.Tensor:
    return torch.from_numpy(np.stack([dot(side)] * count).transpose(0, 3, 1, 2).copy())


GEOMETRIC = AUGMENTATIONS["geometric"].model_dump()


def test_draws_are_fixed_by_the_key() -> None:
    pixels = batch(16)
    for row in (GEOMETRIC, AUGMENTATIONS["strong"].model_dump(), {"flip": 0.5, "crop": 0.1, "erasing": 0.2}):
        first = augment_batch(pixels, **row)
        torch.manual_seed(99)
        assert torch.equal(augment_batch(pixels, **row), first)
        assert not torch.equal(augment_batch(pixels, (42, 3, 18), **row), first)
        assert (first.dtype, first.shape) == (torch.uint8, pixels.shape)


def test_pixels_may_be_floats_and_are_then_not_rounded() -> None:
    pixels = batch(16)
    exact = augment_batch(pixels.float(), **GEOMETRIC)
    assert exact.dtype == torch.float32
    assert (exact - augment_batch(pixels, **GEOMETRIC).float()).abs().max() <= 0.5 + 1e-3


def test_half_are_mirrored_and_none_is_upside_down() -> None:
    right, up = lean(as_images(augment_batch(batch(600), **GEOMETRIC)))
    assert 0.44 < (right < 0).mean() < 0.56
    assert (up > 0).all()


@pytest.mark.parametrize("row", [{"flip": 0.5}, {"flip": 0.5, "rotation": 10, "strength": 1e-6}])
def test_a_flip_alone_mirrors_exactly(row: dict[str, Any]) -> None:
    pixels = batch(64)
    changed = augment_batch(pixels, **row)
    mirrored = (changed == pixels.flip(-1)).all(3).all(2).all(1)
    assert (mirrored | (changed == pixels).all(3).all(2).all(1)).all()
    assert 0.3 < mirrored.float().mean() < 0.7


def test_strength_zero_leaves_the_batch_as_it_is() -> None:
    pixels = batch(4)
    still = {"kind": "strong", "strength": 0.0, "probability": 1.0}
    assert batch_augmentation.augment_batch(pixels, still, KEY) is pixels


TOGETHER = ({"rotation": (30, 30), "zoom": (0.25, 0.25), "shift": (-6 / 65, -6 / 65)}, (-10 - 6, 17.3 - 6))


@pytest.mark.parametrize(("row", "place"), [*PLACES, TOGETHER])
def test_a_change_of_place_goes_where_the_other_engine_takes_it(
    row: dict[str, Any], place: tuple[float, float]
) -> None:
    assert centre(as_images(augment_batch(dots(1), **row))[0]) == pytest.approx(place, abs=0.2)


def test_whole_pixels_by_index_are_those_of_the_resampling() -> None:
    """A rotation of nothing to speak of sends the same crop through the grid."""
    pixels = batch(40)
    stepped, resampled = augment_batch(pixels, crop=0.1), augment_batch(pixels, crop=0.1, rotation=1e-4)
    assert (stepped.float() - resampled.float()).abs().max() <= 1
    assert not torch.equal(stepped, pixels)


def test_each_acts_as_often_as_its_row_says_and_none_knows_of_another() -> None:
    often = {"range": 0.1, "probability": 0.4}
    row = AugmentationRow.model_validate({"flip": 0.5, "zoom": often, "shift": often, "noise": often, "holes": often})
    draws = Draws(row, KEY, 4000)
    events = [draws.flipped.numpy(), *(mask.numpy() for mask in draws.acting.values())]
    assert [event.mean() for event in events] == pytest.approx([0.5, 0.4, 0.4, 0.4, 0.4], abs=0.03)
    pairs = [(a, b) for number, a in enumerate(events) for b in events[:number]]
    assert max(chi_square(a, b) for a, b in pairs) < 15  # ten pairs; by chance once in a thousand


def test_of_one_exactly_one_acts_on_the_share_that_is_changed() -> None:
    draws = Draws(AUGMENTATIONS["strong"], KEY, 4000)
    acting = {name: mask.numpy() for name, mask in draws.acting.items()}
    together = acting["zoom"].astype(int) - acting["shift"]
    assert not together.any()  # one change, as in the other engine
    groups = [mask for name, mask in acting.items() if name not in ("shift", "contrast")]
    assert np.sum(groups, axis=0).max() == 1
    assert np.sum(groups, axis=0).mean() == pytest.approx(0.8, abs=0.02)
    assert [mask.mean() for mask in groups] == pytest.approx([0.1] * 8, abs=0.02)


def test_values_fill_their_range_and_are_uncorrelated() -> None:
    row = AugmentationRow.model_validate({name: (limits[1] / 4, limits[1] / 2) for name, limits in LIMITS.items()})
    draws = Draws(row, KEY, 4000)
    found = np.stack([draws.far(name, axis).numpy() for name in LIMITS for axis in (0, 1)])
    highest = np.repeat([limits[1] for limits in LIMITS.values()], 2)
    assert found.min(1) / highest == pytest.approx(0.25, abs=0.01)
    assert found.max(1) / highest == pytest.approx(0.5, abs=0.01)
    assert np.abs(np.corrcoef(found) - np.eye(len(found))).max() < 0.07


def test_light_is_contrast_then_brightness_then_gamma() -> None:
    gray = torch.full((1, 1, 8, 8), 100, dtype=torch.uint8)
    assert augment_batch(gray, contrast=(0.5, 0.5), brightness=(0.1, 0.1)).unique().tolist() == [176]  # 150 + 25.5
    assert augment_batch(gray, brightness=(-0.9, -0.9)).unique().tolist() == [0]
    assert augment_batch(gray, gamma=(0.5, 0.5)).unique().item() == round(255 * (100 / 255) ** 1.5)


def test_blur_keeps_the_light_and_has_the_width_of_its_row() -> None:
    """A line is blurred to a Gaussian: its variance grows by the square of 5 % of 64 pixels."""
    line = torch.zeros(1, 1, 64, 64)
    line[..., 32] = 255
    across = augment_batch(line, blur=(0.05, 0.05))[0, 0, 20].double()
    assert float(across.sum()) == pytest.approx(255, rel=1e-3)
    place = torch.arange(64) - 32.0
    assert float((across * place**2).sum() / across.sum()) == pytest.approx(3.2**2, rel=0.05)


def test_noise_has_the_deviation_of_its_row() -> None:
    gray = torch.full((4, 1, 64, 64), 128.0)
    assert float((augment_batch(gray, noise=(0.05, 0.05)) - 128).std()) == pytest.approx(0.05 * 255, rel=0.05)


def test_perspective_moves_an_edge_by_its_share_and_leaves_the_middle() -> None:
    dot_in_the_middle = torch.from_numpy(dot(65, 32, 32)).permute(2, 0, 1)[None]
    assert centre(as_images(augment_batch(dot_in_the_middle, perspective=0.1))[0]) == pytest.approx((0, 0), abs=0.3)
    places = [centre(one)[1] for one in as_images(augment_batch(dots(40), perspective=(0.1, 0.1)))]
    ends = [16 / (1 + sign * 0.2 * 16 / 32.5) for sign in (1, -1)]  # the place x with x / (1 ± 0.2 x / 32.5) = 16
    assert [min(places), max(places)] == pytest.approx(ends, abs=0.25)


def test_erasing_takes_one_rectangle_of_that_share_of_the_picture() -> None:
    white = torch.full((60, 1, 64, 64), 255, dtype=torch.uint8)
    for changed in augment_batch(white, erasing=(0.1, 0.2))[:, 0]:
        rows, columns = np.nonzero(changed.numpy() != 255)
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert 0.08 < area / 64**2 < 0.22
        assert len(rows) > 0.97 * area


def test_holes_are_one_to_three_black_rectangles() -> None:
    white = torch.full((300, 1, 50, 50), 255, dtype=torch.uint8)
    changed = augment_batch(white, holes=(0.1, 0.1)).numpy()
    assert set(np.unique(changed)) == {0, 255}
    lost = (changed == 0).sum((1, 2, 3))
    assert lost.min() == 25 and 50 < lost.max() <= 75  # of 5 by 5 pixels each


def test_what_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match=r"square pictures .* not \[2, 1, 48, 40\]"):
        augment_batch(torch.zeros(2, 1, 48, 40), flip=0.5)
