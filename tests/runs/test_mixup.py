"""Promises about MixUp and CutMix: targets are in the shares the pixels are in, and draws follow from their key."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_runs import HYPER

from fer.runs.mixup import _box, mixed

# Picture i is all of brightness i and of class i: what is mixed in can be read from its pixels.
LABELS = torch.arange(7)
PICTURES = LABELS.float().view(7, 1, 1, 1).expand(7, 1, 24, 24)


def mix(batch: int, mixup: float = 0.0, cutmix: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    hyper = replace(HYPER, mixup=mixup, cutmix=cutmix)
    return mixed(PICTURES.clone(), LABELS, hyper, (5, 0, batch))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_targets_have_the_shares_that_pixels_have(mixup: float, cutmix: float) -> None:
    for batch in range(30):
        pixels, target = mix(batch, mixup, cutmix)
        assert torch.allclose(target.sum(1), torch.ones(7))
        assert torch.allclose(pixels.mean((1, 2, 3)), target @ LABELS.float(), atol=1e-4)


def test_mixup_blends_whole_pictures_and_cutmix_pastes_a_part() -> None:
    blended, pasted = (
        torch.stack([mix(batch, **how)[0] for batch in range(30)]) for how in ({"mixup": 1.0}, {"cutmix": 1.0})
    )
    assert (blended.std((3, 4)) < 1e-5).all()
    assert (pasted == pasted.round()).all() and (pasted.std((3, 4)) > 0.1).any()
    kinds = {bool((mix(batch, 1.0, 1.0)[0].std((2, 3)) > 1e-4).any()) for batch in range(30)}
    assert kinds == {True, False}  # with both set, a batch has one of them


def test_a_batch_is_mixed_the_same_way_again_and_another_one_otherwise() -> None:
    (once, targets), (again, _), (other, _) = mix(1, 0.4, 1.0), mix(1, 0.4, 1.0), mix(2, 0.4, 1.0)
    assert torch.equal(once, again) and not torch.equal(once, other) and targets.dtype == torch.float32
    np.random.seed(0)  # the global generator has no part in it
    assert torch.equal(mix(1, 0.4, 1.0)[0], once)


def test_shares_are_mixed_as_labels_are() -> None:
    hyper, votes = replace(HYPER, mixup=0.4), torch.full((3, 7), 1 / 7)
    _, target = mixed(torch.zeros(3, 1, 8, 8), votes, hyper, (0, 0, 0))
    assert torch.allclose(target, votes)


def test_a_square_has_its_area_where_the_edge_does_not_cut_it() -> None:
    draws = np.random.default_rng(0)
    boxes = np.array([_box(draws, 100, 0.04) for _ in range(2000)])
    heights, widths = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    inside = (boxes[:, [0, 2]] > 0).all(1) & (boxes[:, [1, 3]] < 100).all(1)
    assert set(heights[inside]) | set(widths[inside]) <= {19, 20, 21} and inside.mean() == pytest.approx(0.64, abs=0.05)
    assert boxes.min() >= 0 and boxes.max() <= 100
