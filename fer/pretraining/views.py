"""Random views of faces for learning without labels: whole batches, on their device, fast for small gray faces.

Crop and mirror image, then brightness and contrast, then blur, as in SimCLR (Chen et al. 2020); colours are left as
they are, since faces are gray here as a rule. What is drawn depends on the key alone, so results depend on no worker.
Whoever changes a view raises VIEWS_VERSION in fer/pretraining/rates.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn.functional import affine_grid, grid_sample, pad

from utils import derived_seed

RATIO = 4 / 3  # most a crop's sides differ, either way
LIGHT = 0.4  # brightness and contrast change by up to this share
LIGHT_PROBABILITY, BLUR_PROBABILITY = 0.8, 0.5
BLUR = 0.02  # widest blur: standard deviation as a share of the side, 1 pixel of 48


def random_views(pixels: torch.Tensor, key: Sequence[int], crop: float) -> torch.Tensor:
    """A changed view of each picture, float32 [B, C, S, S] in 0..255, same shape as `pixels`, which stay as they are.

    `crop`: smallest share of the picture's area that a view shows. Draws come from the CPU: the same on every device.
    """
    draws = torch.Generator().manual_seed(derived_seed(*key))
    views = grid_sample(
        pixels,
        affine_grid(_crops(len(pixels), crop, draws).to(pixels), list(pixels.shape), align_corners=False),
        mode="bilinear", padding_mode="border", align_corners=False,
    )  # fmt: skip
    return _blurred(_lit(views, draws), draws)


def _crops(count: int, smallest: float, draws: torch.Generator) -> torch.Tensor:
    """Affine maps from view to picture, coordinates -1 to 1, float32 [count, 2, 3]: crops, half of them mirrored."""
    area = smallest + (1 - smallest) * torch.rand(count, generator=draws)
    ratio = torch.exp((2 * torch.rand(count, generator=draws) - 1) * math.log(RATIO) / 2)
    width, height = (area.sqrt() * ratio).clamp(max=1), (area.sqrt() / ratio).clamp(max=1)
    right, down = 2 * torch.rand(2, count, generator=draws) - 1
    mirror = torch.where(torch.rand(count, generator=draws) < 0.5, -1.0, 1.0)
    none = torch.zeros(count)
    rows = [mirror * width, none, right * (1 - width), none, height, down * (1 - height)]
    return torch.stack(rows, 1).view(count, 2, 3)


def _lit(pixels: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """Brightness and contrast of most pictures changed, in 0..255."""
    count = len(pixels)
    change = (2 * torch.rand(2, count, generator=draws) - 1) * LIGHT
    change *= torch.rand(count, generator=draws) < LIGHT_PROBABILITY
    brightness, contrast = (1 + change).to(pixels).view(2, count, 1, 1, 1)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    return ((pixels - mean) * contrast + mean * brightness).clamp_(0, 255)


def _blurred(pixels: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
    """Gaussian blur of half the pictures, each of its own width; a sum of shifted pictures, first down, then across."""
    chosen = torch.rand(len(pixels), generator=draws) < BLUR_PROBABILITY
    sigma = (0.1 + 0.9 * torch.rand(len(pixels), generator=draws))[chosen] * BLUR * pixels.shape[-1]
    reach = min(max(math.ceil(2 * BLUR * pixels.shape[-1]), 1), pixels.shape[-1] - 1)
    if not chosen.any():
        return pixels
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).to(pixels)
    changed, side = pixels.clone(), pixels.shape[-1]
    some = pixels[chosen.to(pixels.device)]
    for dim, margin in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        wide = pad(some, margin, mode="reflect")
        some = torch.zeros_like(some)
        for place in range(len(offsets)):
            some += wide.narrow(dim, place, side) * weights[:, place, None, None, None]
    changed[chosen.to(pixels.device)] = some
    return changed
