"""MIXUP and CUTMIX: pictures of a batch mixed in pairs, their targets in the same shares.

timm.data.Mixup does the same, and is not used: it refuses batches of odd size, takes labels only, and draws from the
global generator of numpy, which a resumed training does not find where it was. Here draws follow from (seed, epoch,
batch).
"""

from __future__ import annotations

import numpy as np
import torch

from fer.runs.losses import as_shares
from fer.runs.run import Hyperparameters

STREAM = 3  # keeps these draws apart from those of order and augmentation, which begin with the same numbers


def mixed(
    pixels: torch.Tensor, target: torch.Tensor, hyper: Hyperparameters, key: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each picture of a batch mixed with another one of it; with MIXUP and CUTMIX both set a batch has one of them.

    `pixels` float32 [B, C, S, S], changed or not, is returned; `target` as in fer/runs/losses.py, returned as shares
    [B, classes]. `key`: seed, epoch, number of the batch.
    """
    draws = np.random.default_rng((*key, STREAM))
    cut = hyper.cutmix > 0 and (hyper.mixup == 0 or draws.random() < 0.5)
    alpha = hyper.cutmix if cut else hyper.mixup
    own = draws.beta(alpha, alpha)
    order = torch.from_numpy(draws.permutation(len(pixels))).to(pixels.device)
    if cut:
        top, bottom, left, right = _box(draws, pixels.shape[-1], 1 - own)
        pixels[:, :, top:bottom, left:right] = pixels[order, :, top:bottom, left:right]
        own = 1 - (bottom - top) * (right - left) / pixels.shape[-1] ** 2
    else:
        pixels = torch.lerp(pixels[order], pixels, own)
    shares = as_shares(target, hyper.classes)
    return pixels, torch.lerp(shares[order], shares, own)


def _box(draws: np.random.Generator, side: int, area: float) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of a square of that share of the picture around any point of it, cut at its edge.

    As Yun et al. (2019) draw it.
    """
    half = side * area**0.5 / 2
    y, x = draws.uniform(0, side, 2)
    top, bottom, left, right = (round(min(max(edge, 0), side)) for edge in (y - half, y + half, x - half, x + half))
    return top, bottom, left, right
