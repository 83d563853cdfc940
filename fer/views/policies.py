"""Views of a batch at test time, and the policies that average them.

To add a policy, add its entry to TTA_POLICIES; settings takes every name that stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x


def _flip(x: torch.Tensor) -> torch.Tensor:
    return x.flip(-1)


def _crop(x: torch.Tensor, down: int = 0, right: int = 0) -> torch.Tensor:
    """90 % of each side, enlarged back: the centre, or with -1 and 1 as near as can be to that edge."""
    from torch.nn.functional import interpolate

    size = x.shape[-1]
    margin = max(round(size * 0.05), 1)
    top, left, inner = margin * (1 + down), margin * (1 + right), size - 2 * margin
    return interpolate(x[..., top : top + inner, left : left + inner], (size, size), mode="bilinear")


def _shift(x: torch.Tensor, way: int) -> torch.Tensor:
    """Moved by 4 % of the side, both down and right (1) or both up and left (-1), mirrored beyond the edge."""
    from torch.nn.functional import pad

    size = x.shape[-1]
    step = max(round(size * 0.04), 1)
    start = step * (1 - way)
    return pad(x, (step,) * 4, mode="reflect")[..., start : start + size, start : start + size]


def _mirrored(x: torch.Tensor, view: View) -> torch.Tensor:
    """A view of the mirror image."""
    return view(_flip(x))


View = Callable[["torch.Tensor"], "torch.Tensor"]
SHIFTS: dict[str, View] = {"up_left": partial(_shift, way=-1), "down_right": partial(_shift, way=1)}
CORNERS: dict[str, View] = {
    f"corner_{vertical}_{horizontal}": partial(_crop, down=down, right=right)
    for vertical, down in (("top", -1), ("bottom", 1))
    for horizontal, right in (("left", -1), ("right", 1))
}
_OF_THE_MIRROR_IMAGE: dict[str, View] = {
    f"flip_{name}": partial(_mirrored, view=view) for name, view in (SHIFTS | CORNERS).items()
}
VIEWS: dict[str, View] = {"identity": _identity, "flip": _flip, "crop": _crop} | SHIFTS | CORNERS | _OF_THE_MIRROR_IMAGE
FLIP = ("identity", "flip")
TTA_POLICIES: dict[str, tuple[str, ...]] = {
    "none": ("identity",),
    "flip": FLIP,
    "three_views": (*FLIP, "crop"),
    "shifts": (*FLIP, *SHIFTS, *(f"flip_{name}" for name in SHIFTS)),
    "ten_views": (*FLIP, *CORNERS, *(f"flip_{name}" for name in CORNERS)),
}
