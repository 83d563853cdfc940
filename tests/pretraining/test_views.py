"""Promises of random views: fixed by their key, of the picture's own range, a crop of it and no more."""

from __future__ import annotations

import torch

from fer.pretraining.views import _crops, random_views


def faces(count: int = 6, side: int = 24, channels: int = 1) -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    return 255 * torch.rand(count, channels, side, side, generator=draws)


def test_views_follow_from_the_key_alone() -> None:
    pixels, before = faces(), faces()
    first = random_views(pixels, (1, 2, 3, 0), 0.3)
    assert torch.equal(pixels, before)
    assert torch.equal(first, random_views(pixels, (1, 2, 3, 0), 0.3))
    assert not torch.equal(first, random_views(pixels, (1, 2, 3, 1), 0.3))


def test_views_stay_in_range_and_shape() -> None:
    for channels in (1, 3):
        found = random_views(faces(40, 20, channels), (5,), 0.2)
        assert found.shape == (40, channels, 20, 20)
        assert found.min() >= 0 and found.max() <= 255


def test_crops_keep_their_share_and_stay_inside() -> None:
    maps = _crops(2000, 0.3, torch.Generator().manual_seed(0))
    width, height = maps[:, 0, 0].abs(), maps[:, 1, 1]
    area = width * height
    assert 0.25 < float(area.min()) < 0.35 and float(area.max()) > 0.97  # sides beyond the picture are cut off
    assert float((width + maps[:, 0, 2].abs()).max()) <= 1 + 1e-6
    assert float((height + maps[:, 1, 2].abs()).max()) <= 1 + 1e-6
    assert 0.45 < float((maps[:, 0, 0] < 0).float().mean()) < 0.55  # half are mirrored


def test_a_picture_of_one_shade_is_not_blurred_or_cropped_into_another() -> None:
    found = random_views(torch.full((50, 1, 24, 24), 100.0), (3,), 0.3)
    assert float(found.std((1, 2, 3)).max()) < 1e-3  # brightness changes all of it alike
    means = found.mean((1, 2, 3))
    assert 59 <= float(means.min()) < 70 and 130 < float(means.max()) <= 141
