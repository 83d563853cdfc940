"""Random changes of training faces: two albumentations sets, and one for whole batches on the device.

Expressions are fragile. Nothing here mirrors a face top to bottom or bends it: small rotations, shifts and
scalings, light, slight blur and noise, in the strong set also small holes and a slight change of viewpoint.
Every draw is fixed by the integers of a key (seed, epoch, batch, …) and the place in the batch, so results
do not depend on worker count, on how a batch is divided, or on what was drawn before.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from utils import derived_seed, random_streams

if TYPE_CHECKING:
    import albumentations
    import torch

# Raise when the same key and setting change a picture in another way.
AUGMENTATION_VERSION = 1

# The batch engine's ranges at strength 1: degrees, and shares of the side.
BATCH_ROTATION, BATCH_SCALE, BATCH_SHIFT = 9.0, 0.12, 0.10

Images = TypeVar("Images", np.ndarray, list[np.ndarray])


# ---------------------------------------------------------------- albumentations


def _albumentations() -> Any:
    """The package, not looking for newer versions; OpenCV on one thread, since workers share the cores."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations
    import cv2

    cv2.setNumThreads(0)
    return albumentations


def make_transform(kind: Literal["light", "strong"], strength: float, probability: float) -> albumentations.Compose:
    """The set called `kind`: see `light_transform` and `strong_transform`."""
    return {"light": light_transform, "strong": strong_transform}[kind](strength, probability)


def light_transform(strength: float, probability: float) -> albumentations.Compose:
    """A flip, and with `probability` one small change, for offline copies.

    Takes uint8 [H, W, C] with C 1 or 3. `strength` 0..2 multiplies the ranges; at 0 nothing changes at all.
    """
    a = _albumentations()
    changes = [
        *_geometry(a, strength, degrees=8, shift=0.05, scale=0.06),
        *_light(a, strength, brightness=0.15, contrast=0.15, gamma=20),
        a.GaussianBlur(blur_limit=0, sigma_limit=_range(0.3, 0.7, strength), p=1),
        a.GaussNoise(std_range=_range(0.01, 0.03, strength), p=1),
    ]
    return _compose(a, changes, strength, probability)


def strong_transform(strength: float, probability: float) -> albumentations.Compose:
    """A flip, and with `probability` one larger change, drawn anew online; otherwise as `light_transform`."""
    a = _albumentations()
    changes = [
        *_geometry(a, strength, degrees=15, shift=0.08, scale=0.12),
        *_light(a, strength, brightness=0.3, contrast=0.3, gamma=40),
        a.GaussianBlur(blur_limit=0, sigma_limit=_range(0.4, 1.1, strength), p=1),
        a.GaussNoise(std_range=_range(0.02, 0.06, strength), p=1),
        a.Perspective(scale=_range(0.02, 0.05, strength), border_mode=_replicate(), p=1),
        a.CoarseDropout(
            num_holes_range=(1, 3),
            hole_height_range=_range(0.06, 0.16, strength),
            hole_width_range=_range(0.06, 0.16, strength),
            fill=0,
            p=1,
        ),
    ]
    return _compose(a, changes, strength, probability)


def _geometry(a: Any, strength: float, degrees: float, shift: float, scale: float) -> list[Any]:
    turn, move, zoom = degrees * strength, shift * strength, scale * strength
    edge = {"border_mode": _replicate(), "p": 1}
    return [
        a.Affine(rotate=(-turn, turn), **edge),
        a.Affine(translate_percent={"x": (-move, move), "y": (-move, move)}, scale=(1 - zoom, 1 + zoom), **edge),
    ]


def _light(a: Any, strength: float, brightness: float, contrast: float, gamma: float) -> list[Any]:
    change = gamma * strength
    return [
        a.RandomBrightnessContrast(brightness * strength, contrast * strength, p=1),
        a.RandomGamma((100 - change, 100 + change), p=1),
    ]


def _range(low: float, high: float, strength: float) -> tuple[float, float]:
    return low * strength, high * strength


def _replicate() -> int:
    import cv2

    return cv2.BORDER_REPLICATE


def _compose(a: Any, changes: list[Any], strength: float, probability: float) -> albumentations.Compose:
    if strength == 0:
        return a.Compose([])
    return a.Compose([a.HorizontalFlip(p=0.5), a.OneOf(changes, p=probability)])


def augment_images(
    images: Images, transform: albumentations.Compose, seed_key: tuple[int, ...], first: int = 0
) -> Images:
    """Change uint8 images [H, W, C], a list of them or one array [B, H, W, C]; returns the same kind.

    Image i draws from the streams of (*seed_key, first + i) alone, so that a batch may be handed over in
    parts. The streams of NumPy and of Python are set separately: albumentations' own seeding gives every
    transform the same numbers, and two of probability 0.5 would always act together.
    """
    changed = []
    for number, image in enumerate(images, first):
        transform.set_random_state(*random_streams(*seed_key, number))
        changed.append(transform(image=image)["image"].reshape(image.shape))
    return np.stack(changed) if isinstance(images, np.ndarray) and changed else changed  # type: ignore[return-value]


# ---------------------------------------------------------------- whole batches


def augment_batch(batch: torch.Tensor, seed_key: Sequence[int], strength: float = 1.0) -> torch.Tensor:
    """Flip, turn, scale and shift square pictures [B, C, S, S] on their device, in one bilinear resampling.

    Flip with p = 0.5; rotation ±9°, scale ±12 %, shift ±10 % of the side, each times `strength`; 0 leaves the
    batch as it is. Beyond the edge the picture is mirrored. The dtype is kept (uint8 is rounded). Draws come
    from the CPU, so they are the same on every device. Raises ValueError for pictures that are not square.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    if batch.ndim != 4 or batch.shape[2] != batch.shape[3]:
        raise ValueError(f"augment_batch needs square pictures [B, C, S, S], not {list(batch.shape)}")
    if strength == 0 or len(batch) == 0:
        return batch
    pixels = batch if batch.is_floating_point() else batch.float()
    grid = affine_grid(_draw_views(len(batch), seed_key, strength).to(pixels), list(batch.shape), align_corners=False)
    moved = grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return moved if batch.is_floating_point() else moved.round().clamp(0, 255).to(torch.uint8)


def _draw_views(count: int, seed_key: Sequence[int], strength: float) -> torch.Tensor:
    """Affine maps from output to input coordinates (-1 to 1), float32 [count, 2, 3]."""
    import torch

    draws = torch.Generator().manual_seed(derived_seed(*seed_key))
    flip = torch.where(torch.rand(count, generator=draws) < 0.5, -1.0, 1.0)
    turn, zoom, right, down = (2 * torch.rand(4, count, generator=draws) - 1) * strength
    angle = turn * math.radians(BATCH_ROTATION)
    size = 1 + zoom * BATCH_SCALE
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    # Coordinates span 2 over the side, hence twice the share.
    rows = [flip * cos, -sin, 2 * right * BATCH_SHIFT, flip * sin, cos, 2 * down * BATCH_SHIFT]
    return torch.stack(rows, dim=1).view(count, 2, 3)
