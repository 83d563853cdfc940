"""Random changes of whole batches on their device: the rows of AUGMENTATIONS, faster than picture by picture.

Every draw comes from the CPU and is fixed by a key and the name of the transform, so it is the same on every device
and whatever else a row holds. A change is worked out for the pictures it acts on, and for no others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from fer.settings.augmentation_rows import PLACES, TRANSFORMS, AugmentationRow, grouped, row_of
from utils import derived_seed

if TYPE_CHECKING:
    import torch

    Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Raise when the same key and row change a batch in another way.
BATCH_AUGMENTATION_VERSION = 3  # 1 heeded neither kind nor probability; 2 had ranges of its own, and no row
STREAMS = ("flip", "changed", "which", *TRANSFORMS)  # append only: its place here is a transform's stream
HOLES = 3  # at most


class Draws:
    """What is drawn for a batch: which pictures each transform of a row acts on, and how far it goes."""

    def __init__(self, row: AugmentationRow, seed_key: Sequence[int], count: int):
        import torch

        self.changes, self.count = row.changes(), count
        self._key = seed_key
        self.flipped = torch.rand(count, generator=self.stream("flip")) < row.flip
        changed = torch.rand(count, generator=self.stream("changed")) < row.probability
        groups = grouped(row)
        which = torch.randint(max(len(groups), 1), (count,), generator=self.stream("which"))
        self.acting, self.values = {}, {}
        for number, group in enumerate(groups):
            for name in group:
                draws = self.stream(name)
                drawn = which == number if row.apply == "one" else self._often(name, draws)
                low, high = self.changes[name].range
                self.acting[name] = changed & drawn
                self.values[name] = low + (high - low) * torch.rand(2, count, generator=draws)

    def _often(self, name: str, draws: torch.Generator) -> torch.Tensor:
        import torch

        return torch.rand(self.count, generator=draws) < self.changes[name].probability

    def stream(self, name: str, part: int = 0) -> torch.Generator:
        """A generator from the start of a transform's stream: 0 for what the batch draws, 1 for what its pixels do."""
        import torch

        return torch.Generator().manual_seed(derived_seed(*self._key, STREAMS.index(name), part))

    def far(self, name: str, axis: int = 0) -> torch.Tensor:
        """How far a transform goes, float [B]; 0 where it does not act. Shift and crop have two axes."""
        import torch

        if name not in self.changes:
            return torch.zeros(self.count)
        return self.values[name][axis] * self.acting[name]


def augment_batch(batch: torch.Tensor, augmentation: dict[str, Any], seed_key: Sequence[int]) -> torch.Tensor:
    """Change square pictures [B, C, S, S], uint8 or float of 0 to 255, as a row of AUGMENTATIONS (`described`) says.

    The dtype is kept; uint8 is rounded after every change. All that changes places is one bilinear resampling, or none
    where only flip and crop do. Beyond the edge a picture is mirrored. Strength 0 leaves the batch as it is.
    Raises ValueError for pictures that are not square.
    """
    if batch.ndim != 4 or batch.shape[2] != batch.shape[3]:
        raise ValueError(f"augment_batch needs square pictures [B, C, S, S], not {list(batch.shape)}")
    row = row_of(augmentation)
    if row.strength == 0 or len(batch) == 0:
        return batch
    draws = Draws(row, seed_key, len(batch))
    pixels = _where(batch, draws.flipped, lambda some, _: some.flip(-1))
    for names, change in STEPS:
        if acting := [draws.acting[name] for name in names if name in draws.acting]:
            who = acting[0] if len(acting) == 1 else _any(acting)
            pixels = _where(pixels, who, partial(change, draws=draws))
    return pixels


def _any(masks: list[torch.Tensor]) -> torch.Tensor:
    """Where any of the masks holds."""
    import torch

    return torch.stack(masks).any(0)


def _where(pixels: torch.Tensor, who: torch.Tensor, change: Change) -> torch.Tensor:
    """`change` of the pictures of a mask [B], told their places; the others as they are, and the dtype too."""
    import torch

    places = who.nonzero().squeeze(1)
    if not len(places):
        return pixels
    everyone = len(places) == len(pixels)
    on_device = places.to(pixels.device)
    new = change(pixels if everyone else pixels[on_device], places)
    if new.dtype != pixels.dtype:
        new = new.round_().clamp_(0, 255).to(torch.uint8)
    return new if everyone else pixels.index_copy(0, on_device, new)


# ---------------------------------------------------------------- places


def _placed(some: torch.Tensor, places: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Rotation, zoom, shift, crop and perspective together; a row with none of them but crop needs no resampling."""
    only_steps = {*PLACES, "perspective"} & draws.changes.keys() == {"crop"}
    return (_stepped if only_steps else _resampled)(some, places, draws)


def _stepped(some: torch.Tensor, places: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Moved by whole pixels."""
    import torch

    side = some.shape[-1]
    right, down = ((draws.far("crop", axis)[places] * side).round().long() for axis in (0, 1))
    rows, columns = (
        _mirrored(torch.arange(side) - step[:, None], side).to(some.device) for step in (down, right)
    )  # [n, S]
    some = some.gather(2, rows[:, None, :, None].expand(some.shape))
    return some.gather(3, columns[:, None, None, :].expand(some.shape))


def _mirrored(places: torch.Tensor, side: int) -> torch.Tensor:
    """Places along a side whose picture goes on mirrored beyond both ends, brought back into it."""
    inside = places % (2 * side)
    return inside.minimum(2 * side - 1 - inside)


def _resampled(some: torch.Tensor, places: torch.Tensor, draws: Draws) -> torch.Tensor:
    """One bilinear resampling."""
    from torch.nn.functional import grid_sample

    pixels = some.float()
    grid = _grid(draws, places, some.shape[-1]).to(pixels.device)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _grid(draws: Draws, places: torch.Tensor, side: int) -> torch.Tensor:
    """Where in the old picture each pixel of the new one lies, float [n, S, S, 2] of -1 to 1, x before y."""
    import torch
    from torch.nn.functional import affine_grid

    angle, size = -torch.deg2rad(draws.far("rotation")[places]), 1 + draws.far("zoom")[places]
    # Coordinates span 2 over the side, hence twice the share.
    right, down = (
        2 * draws.far("shift", axis)[places] + 2 * (draws.far("crop", axis)[places] * side).round() / side
        for axis in (0, 1)
    )
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    rows = [cos, sin, -cos * right - sin * down, -sin, cos, sin * right - cos * down]
    grid = affine_grid(torch.stack(rows, 1).view(-1, 2, 3), [len(places), 1, side, side], align_corners=False)
    return grid / _distances(draws, places, side) if "perspective" in draws.changes else grid


def _distances(draws: Draws, places: torch.Tensor, side: int) -> torch.Tensor:
    """How far each pixel is from the eye, 1 in the middle, as if the face turned: float [n, S, S, 1].

    A distance of 1 + 2 d at an edge moves it by about the share d of the side.
    """
    import torch

    middles = (2 * torch.arange(side) + 1) / side - 1
    signs = 1 - 2.0 * torch.randint(2, (2, draws.count), generator=draws.stream("perspective", 1))
    right, down = (2 * draws.far("perspective", axis)[places] * signs[axis][places] for axis in (0, 1))
    return (1 + right[:, None, None] * middles + down[:, None, None] * middles[:, None])[..., None]


# ---------------------------------------------------------------- light, blur and noise


def _lit(some: torch.Tensor, places: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Contrast, then brightness."""
    contrast, brightness = (_of_each(draws.far(name)[places], some) for name in ("contrast", "brightness"))
    return some * (1 + contrast) + 255 * brightness


def _with_gamma(some: torch.Tensor, places: torch.Tensor, draws: Draws) -> torch.Tensor:
    return 255 * (some / 255).pow(1 + _of_each(draws.far("gamma")[places], some))


def _blurred(some: torch.Tensor, places: torch.Tensor, draws: Draws) -> torch.Tensor:
    """By a Gaussian of each picture's own width, along both sides."""
    import torch
    from torch.nn.functional import conv2d, pad

    count, channels, side, _ = some.shape
    sigma = (draws.far("blur")[places] * side).clamp(min=1e-3)
    reach = min(max(math.ceil(3 * float(sigma.max())), 1), side - 1)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0).to(some.device)[:, None, None]
    planes = pad(some.float(), (reach,) * 4, mode="reflect").view(1, count * channels, *(side + 2 * reach,) * 2)
    planes = conv2d(conv2d(planes, weights, groups=len(weights)), weights.transpose(2, 3), groups=len(weights))
    return planes.view(some.shape)


def _noisy(some: torch.Tensor, places: torch.Tensor, draws: Draws) -> torch.Tensor:
    import torch

    noise = torch.randn(some.shape, generator=draws.stream("noise", 1)).to(some.device)
    return some + 255 * _of_each(draws.far("noise")[places], some) * noise


def _of_each(values: torch.Tensor, some: torch.Tensor) -> torch.Tensor:
    """A value a picture, [n], as [n, 1, 1, 1] beside its pixels."""
    return values.view(-1, 1, 1, 1).to(some.device)


# ---------------------------------------------------------------- parts taken out


def _with_holes(some: torch.Tensor, places: torch.Tensor, draws: Draws) -> torch.Tensor:
    """One to three black rectangles."""
    import torch

    stream = draws.stream("holes", 1)
    low, high = draws.changes["holes"].range
    height, width = low + (high - low) * torch.rand(2, len(places), HOLES, generator=stream)
    there = torch.arange(HOLES) <= torch.randint(HOLES, (len(places), 1), generator=stream)
    return some.masked_fill(_rectangles(height * there, width, some.shape[-1], stream).to(some.device), 0)


def _erased(some: torch.Tensor, places: torch.Tensor, draws: Draws) -> torch.Tensor:
    """One rectangle of noise (Zhong et al., Random Erasing Data Augmentation, AAAI 2020): 0.3 to 3.3 times as wide."""
    import torch

    stream = draws.stream("erasing", 1)
    area = draws.far("erasing")[places][:, None]
    ratio = torch.exp((2 * torch.rand(area.shape, generator=stream) - 1) * math.log(3.3))
    mask = _rectangles((area / ratio).sqrt(), (area * ratio).sqrt(), some.shape[-1], stream)
    noise = torch.randint(-(2**63), 2**63 - 1, (-(-some.numel() // 8),), generator=stream).view(torch.uint8)
    noise = noise[: some.numel()].view(some.shape)
    return torch.where(mask.to(some.device), noise.to(some.device, some.dtype), some)


def _rectangles(height: torch.Tensor, width: torch.Tensor, side: int, stream: torch.Generator) -> torch.Tensor:
    """Which pixels lie in one of K rectangles of these shares of the side [n, K], each anywhere: bool [n, 1, S, S]."""
    import torch

    def span(share: torch.Tensor) -> torch.Tensor:
        length = (share * side).round().clamp(max=side)
        start = (torch.rand(share.shape, generator=stream) * (side - length + 1)).floor()
        place = torch.arange(side) - start[..., None]
        return (place >= 0) & (place < length[..., None])  # [n, K, S]

    rows, columns = span(height), span(width)
    return (rows[:, :, :, None] & columns[:, :, None, :]).any(1, keepdim=True)


STEPS: tuple[tuple[tuple[str, ...], Callable[..., Any]], ...] = (
    ((*PLACES, "perspective"), _placed),
    (("brightness", "contrast"), _lit),
    (("gamma",), _with_gamma),
    (("blur",), _blurred),
    (("noise",), _noisy),
    (("holes",), _with_holes),
    (("erasing",), _erased),
)
