"""Random changes of training faces: two albumentations sets, and one for whole batches on the device.

Expressions are fragile. Nothing here mirrors a face top to bottom or bends it: small rotations, shifts and
scalings, light, slight blur and noise, in the strong set also small holes and a slight change of viewpoint.
Every draw is fixed by the integers of a key (seed, epoch, batch, …) and the place in the batch, so results
do not depend on worker count, on how a batch is divided, or on what was drawn before.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from utils import derived_seed

if TYPE_CHECKING:
    import albumentations
    import torch

# Raise when the same key and setting change a picture in another way.
AUGMENTATION_VERSION = 2  # 1 drew other numbers, blurred by pixels whatever the size, and repeated edge pixels
BATCH_AUGMENTATION_VERSION = 2  # the same for the batch engine; 1 heeded neither kind nor probability

# The batch engine's ranges at strength 1: rotation in degrees, scale and shift as shares of the side.
BATCH_RANGES = {"light": (5.0, 0.06, 0.05), "strong": (9.0, 0.12, 0.10)}

Images = TypeVar("Images", np.ndarray, list[np.ndarray])


# ---------------------------------------------------------------- albumentations


def _albumentations() -> Any:
    """The package, not looking for newer versions; OpenCV on one thread, since workers share the cores."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations
    import cv2

    cv2.setNumThreads(0)
    return albumentations


def make_transform(
    kind: Literal["light", "strong"], strength: float, probability: float, side: int
) -> albumentations.Compose:
    """The set called `kind` for pictures of `side` pixels: see `light_transform` and `strong_transform`."""
    return {"light": light_transform, "strong": strong_transform}[kind](strength, probability, side)


def light_transform(strength: float, probability: float, side: int) -> albumentations.Compose:
    """A flip, and with `probability` one small change, for offline copies.

    Takes uint8 [H, W, C] with C 1 or 3, H and W about `side`. `strength` 0..2 multiplies the ranges; at 0 nothing
    changes at all. Lengths are shares of the side, so that a small face loses no more than a large one.
    """
    a = _albumentations()
    changes = [
        *_geometry(a, strength, degrees=8, shift=0.05, scale=0.06),
        *_light(a, strength, brightness=0.15, contrast=0.15, gamma=20),
        a.GaussianBlur(blur_limit=0, sigma_limit=_range(0.005, 0.011, strength * side), p=1),
        a.GaussNoise(std_range=_range(0.01, 0.03, strength), p=1),
    ]
    return _compose(a, changes, strength, probability)


def strong_transform(strength: float, probability: float, side: int) -> albumentations.Compose:
    """A flip, and with `probability` one larger change, drawn anew online; otherwise as `light_transform`."""
    a = _albumentations()
    changes = [
        *_geometry(a, strength, degrees=15, shift=0.08, scale=0.12),
        *_light(a, strength, brightness=0.3, contrast=0.3, gamma=40),
        a.GaussianBlur(blur_limit=0, sigma_limit=_range(0.006, 0.017, strength * side), p=1),
        a.GaussNoise(std_range=_range(0.02, 0.06, strength), p=1),
        a.Perspective(scale=_range(0.02, 0.05, strength), border_mode=_mirrored(), p=1),
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
    edge = {"border_mode": _mirrored(), "p": 1}
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


def _mirrored() -> int:
    """Beyond its edge a picture is mirrored: repeated edge pixels draw streaks that no face has."""
    import cv2

    return cv2.BORDER_REFLECT_101


def _compose(a: Any, changes: list[Any], strength: float, probability: float) -> albumentations.Compose:
    if strength == 0:
        return a.Compose([])
    return a.Compose([a.HorizontalFlip(p=0.5), a.OneOf(changes, p=probability)], is_check_shapes=False)


def augment_images(
    images: Images, transform: albumentations.Compose, seed_key: tuple[int, ...], first: int = 0
) -> Images:
    """Change uint8 images [H, W, C], a list of them or one array [B, H, W, C]; returns the same kind.

    Image i draws from the streams of `seed_key` and its number first + i alone, so that a batch may be handed
    over in parts. The streams of NumPy and of Python are set separately: albumentations' own seeding gives every
    transform the same numbers, and two of probability 0.5 would always act together.
    """
    changed = []
    for image, streams in zip(images, _streams(seed_key, first, len(images)), strict=True):
        transform.set_random_state(*streams)
        changed.append(transform(image=image)["image"].reshape(image.shape))
    return np.stack(changed) if isinstance(images, np.ndarray) and changed else changed  # type: ignore[return-value]


def _streams(key: tuple[int, ...], first: int, count: int) -> Iterator[tuple[np.random.Generator, random.Random]]:
    """A NumPy and a Python generator for each of `count` pictures from number `first` on, fixed by key and number.

    One key of NumPy's counter-based Philox serves the whole batch, and every picture starts at a counter of its
    own, 2^192 draws from the next. A seed sequence for every picture takes three times as long (benchmarks/NOTES.md).
    """
    cipher = np.random.SeedSequence(key).generate_state(2, np.uint64)
    for number in range(first, first + count):
        draws = np.random.Generator(np.random.Philox(key=cipher, counter=(0, 0, 0, number)))
        yield draws, random.Random(int(draws.integers(2**63)))


# ---------------------------------------------------------------- whole batches


def augment_batch(
    batch: torch.Tensor,
    seed_key: Sequence[int],
    strength: float = 1.0,
    kind: Literal["light", "strong"] = "strong",
    probability: float = 1.0,
) -> torch.Tensor:
    """Flip, turn, scale and shift square pictures [B, C, S, S] on their device, in one bilinear resampling.

    Flip with p = 0.5; with `probability` rotation (±9° "strong", ±5° "light"), scale (±12 %, ±6 %) and shift (±10 %,
    ±5 % of the side) together, each times `strength`; strength 0 leaves the batch as it is. Beyond the edge the
    picture is mirrored. The dtype is kept (uint8 is rounded). Draws come
    from the CPU, so they are the same on every device. Raises ValueError for pictures that are not square.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    if batch.ndim != 4 or batch.shape[2] != batch.shape[3]:
        raise ValueError(f"augment_batch needs square pictures [B, C, S, S], not {list(batch.shape)}")
    if strength == 0 or len(batch) == 0:
        return batch
    pixels = batch if batch.is_floating_point() else batch.float()
    views = _draw_views(len(batch), seed_key, strength, kind, probability)
    grid = affine_grid(views.to(pixels), list(batch.shape), align_corners=False)
    moved = grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return moved if batch.is_floating_point() else moved.round().clamp(0, 255).to(torch.uint8)


def _draw_views(
    count: int, seed_key: Sequence[int], strength: float, kind: str = "strong", probability: float = 1.0
) -> torch.Tensor:
    """Affine maps from output to input coordinates (-1 to 1), float32 [count, 2, 3]."""
    import torch

    draws = torch.Generator().manual_seed(derived_seed(*seed_key))
    flip = torch.where(torch.rand(count, generator=draws) < 0.5, -1.0, 1.0)
    moves = (2 * torch.rand(4, count, generator=draws) - 1) * strength
    turn, zoom, right, down = moves * (torch.rand(count, generator=draws) < probability)
    rotation, scale, shift = BATCH_RANGES[kind]
    angle = turn * math.radians(rotation)
    size = 1 + zoom * scale
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    # Coordinates span 2 over the side, hence twice the share.
    rows = [flip * cos, -sin, 2 * right * shift, flip * sin, cos, 2 * down * shift]
    return torch.stack(rows, dim=1).view(count, 2, 3)
