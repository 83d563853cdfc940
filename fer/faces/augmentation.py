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

from utils import derived_seed, random_streams

if TYPE_CHECKING:
    import albumentations
    import torch

# Raise when the same key and setting change a picture in another way.
AUGMENTATION_VERSION = 1
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
    return a.Compose([a.HorizontalFlip(p=0.5), a.OneOf(changes, p=probability)], is_check_shapes=False)


def augment_images(
    images: Images, transform: albumentations.Compose, seed_key: tuple[int, ...], first: int = 0
) -> Images:
    """Change uint8 images [H, W, C], a list of them or one array [B, H, W, C]; returns the same kind.

    Image i draws from the streams of (*seed_key, first + i) alone, so that a batch may be handed over in
    parts. The streams of NumPy and of Python are set separately: albumentations' own seeding gives every
    transform the same numbers, and two of probability 0.5 would always act together.
    """
    changed = []
    for image, streams in zip(images, _streams(seed_key, first, len(images)), strict=True):
        transform.set_random_state(*streams)
        changed.append(transform(image=image)["image"].reshape(image.shape))
    return np.stack(changed) if isinstance(images, np.ndarray) and changed else changed  # type: ignore[return-value]


# ---------------------------------------------------------------- random streams of a batch

# NumPy's SeedSequence (numpy/random/bit_generator.pyx), after O'Neill's seed_seq_fe: its constants and pool size.
INIT_A, MULT_A, INIT_B, MULT_B, MIX_LEFT, MIX_RIGHT = (
    np.uint32(number) for number in (0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED, 0xCA01F9DD, 0x4973F715)
)
POOL = 4
FEWEST_AT_ONCE = 12  # pictures; for fewer, one at a time is faster


def _streams(key: tuple[int, ...], first: int, count: int) -> Iterator[tuple[np.random.Generator, random.Random]]:
    """utils.random_streams(*key, first + i) for i below `count`, at a quarter of the time: hashed all at once."""
    if count < FEWEST_AT_ONCE or first + count > 2**32:
        yield from (random_streams(*key, number) for number in range(first, first + count))
        return
    states = _seed_states(key, np.arange(first, first + count, dtype=np.uint32))
    for for_numpy, for_python in zip(*states, strict=True):
        bits = np.random.PCG64(_Hashed(for_numpy))  # type: ignore[arg-type]  # any ISeedSequence, says NumPy's manual
        yield np.random.Generator(bits), random.Random(int(for_python[0]))


class _Hashed(np.random.bit_generator.ISeedSequence):
    """A seed sequence whose words are known."""

    def __init__(self, words: np.ndarray):
        self.words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> np.ndarray:
        """The words, uint64."""
        return self.words[:n_words]


def _seed_states(key: tuple[int, ...], numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """generate_state(4, uint64) of the two children of SeedSequence((*key, number)), each uint64 [len(numbers), 4]."""
    fixed = [word for part in key for word in _words(part)]
    columns = [np.full((2, len(numbers)), word, dtype=np.uint32) for word in fixed]
    columns.append(np.stack([numbers, numbers]))
    columns += [np.zeros_like(columns[0])] * (POOL - len(columns))
    columns.append(np.array([[0], [1]], dtype=np.uint32))  # the children's spawn keys
    with np.errstate(over="ignore"):
        states = _generate(_mixed(columns))
    return states[0], states[1]


def _words(number: int) -> list[int]:
    """Little-endian 32-bit words of a number of 0 or more."""
    return [number >> shift & 0xFFFFFFFF for shift in range(0, max(number.bit_length(), 1), 32)]


def _mixed(words: list[np.ndarray]) -> list[np.ndarray]:
    """SeedSequence.mix_entropy: the pool of each column."""
    constant = INIT_A

    def hashed(value: np.ndarray) -> np.ndarray:
        nonlocal constant
        value = value ^ constant
        constant = constant * MULT_A
        value = value * constant
        return value ^ value >> np.uint32(16)

    def mix(pool: list[np.ndarray], target: int, value: np.ndarray) -> None:
        mixed: np.ndarray = MIX_LEFT * pool[target] - MIX_RIGHT * hashed(value)
        pool[target] = mixed ^ mixed >> np.uint32(16)

    pool = [hashed(word) for word in words[:POOL]]
    for source in range(POOL):
        for target in range(POOL):
            if source != target:
                mix(pool, target, pool[source])
    for word in words[POOL:]:
        for target in range(POOL):
            mix(pool, target, word)
    return pool


def _generate(pool: list[np.ndarray]) -> np.ndarray:
    """SeedSequence.generate_state of eight 32-bit words, as uint64 [..., 4]."""
    constant, found = INIT_B, []
    for number in range(8):
        value: np.ndarray = pool[number % POOL] ^ constant
        constant = constant * MULT_B
        value = value * constant
        found.append((value ^ value >> np.uint32(16)).astype(np.uint64))
    return np.stack([low | high << np.uint64(32) for low, high in zip(found[::2], found[1::2], strict=True)], axis=-1)


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
