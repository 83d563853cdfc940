"""Views of a batch at test time, and the policies that average them.

To add a policy, add its entry to TTA_POLICIES; settings takes every name that stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x


def _flip(x: torch.Tensor) -> torch.Tensor:
    return x.flip(-1)


def _crop(x: torch.Tensor) -> torch.Tensor:
    """The central 90 % of each side, enlarged back."""
    from torch.nn.functional import interpolate

    size = x.shape[-1]
    margin = max(round(size * 0.05), 1)
    inner = x[..., margin : size - margin, margin : size - margin]
    return interpolate(inner, (size, size), mode="bilinear")


VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "identity": _identity,
    "flip": _flip,
    "crop": _crop,
}
TTA_POLICIES: dict[str, tuple[str, ...]] = {
    "none": ("identity",),
    "flip": ("identity", "flip"),
    "three_views": ("identity", "flip", "crop"),
}
