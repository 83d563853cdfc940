"""Random changes of training faces, picture by picture through albumentations; `batch_augmentation` does whole batches.

Which changes is a row of AUGMENTATIONS. Expressions are fragile: no shipped row turns a face far or bends it.
Every draw is fixed by the integers of a key (seed, epoch, batch, …) and the place in the batch, so results
do not depend on worker count, on how a batch is divided, or on what was drawn before.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fer.settings.augmentation_rows import Change, grouped, row_of

if TYPE_CHECKING:
    import albumentations

# Raise when the same key and setting change a picture in another way.
AUGMENTATION_VERSION = 2  # 1 drew other numbers, blurred by pixels whatever the size, and repeated edge pixels

Images = TypeVar("Images", np.ndarray, list[np.ndarray])


def _albumentations() -> Any:
    """The package, not looking for newer versions; OpenCV on one thread, since workers share the cores."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations
    import cv2

    cv2.setNumThreads(0)
    return albumentations


def make_transform(augmentation: dict[str, Any], side: int) -> albumentations.Compose:
    """What a row of AUGMENTATIONS, as `described` gives it, does to pictures of about `side` pixels.

    Takes uint8 [H, W, C] with C 1 or 3: a flip, and with the row's probability one of its changes or each of them.
    Lengths are shares of the side, so that a small face loses no more than a large one. Strength 0 changes nothing.
    """
    a, row = _albumentations(), row_of(augmentation)
    if row.strength == 0:
        return a.Compose([])
    # The two sets that keys know by name zoom width and height apart, as they always did; a row of one's own never.
    round_stays_round = "kind" not in augmentation
    groups = [{name: row.changes()[name] for name in group} for group in grouped(row)]
    transforms = [_transform(a, group, side, round_stays_round) for group in groups]
    together = a.OneOf if row.apply == "one" else a.Sequential
    acting = [together(transforms, p=row.probability)] if transforms else []
    return a.Compose([a.HorizontalFlip(p=row.flip), *acting], is_check_shapes=False)


def _transform(a: Any, changes: dict[str, Change], side: int, round_stays_round: bool) -> Any:
    """The one albumentations transform that does `changes`, all of which are of one group."""
    name, change = next(iter(changes.items()))
    (low, high), often = change.range, {"p": change.probability}
    match name:
        case "rotation" | "zoom" | "shift" | "crop":
            return _placed(a, changes, round_stays_round)
        case "brightness" | "contrast":
            ranges = [changes[one].range if one in changes else (0, 0) for one in ("brightness", "contrast")]
            return a.RandomBrightnessContrast(*ranges, **often)
        case "gamma":
            return a.RandomGamma((100 + 100 * low, 100 + 100 * high), **often)
        case "blur":
            return a.GaussianBlur(blur_limit=0, sigma_limit=(max(low * side, 1e-3), max(high * side, 1e-3)), **often)
        case "noise":
            return a.GaussNoise(std_range=change.range, **often)
        case "perspective":
            return a.Perspective(scale=change.range, border_mode=_mirrored(), **often)
        case "holes":
            sides = {"hole_height_range": change.range, "hole_width_range": change.range}
            return a.CoarseDropout(num_holes_range=(1, 3), fill=0, **sides, **often)
        case "erasing":
            return a.Erasing(scale=change.range, ratio=(0.3, 3.3), fill="random", **often)
    raise ValueError(f"there is no transform {name}")


def _placed(a: Any, changes: dict[str, Change], round_stays_round: bool) -> Any:
    """Changes of place: by albumentations' own where they always act together, as in a set of which one is drawn."""
    edge = {"border_mode": _mirrored(), "p": 1}
    if set(changes) == {"rotation"} and changes["rotation"].probability == 1:
        return a.Affine(rotate=changes["rotation"].range, **edge)
    if set(changes) <= {"zoom", "shift"} and all(change.probability == 1 for change in changes.values()):
        zoom, shift = (changes[name].range if name in changes else (0, 0) for name in ("zoom", "shift"))
        scale = (1 + zoom[0], 1 + zoom[1])
        shift_of = {"x": shift, "y": shift}
        return a.Affine(translate_percent=shift_of, scale=scale, keep_ratio=round_stays_round, **edge)
    from fer.faces.placed import Placed

    return Placed(changes)


def _mirrored() -> int:
    """Beyond its edge a picture is mirrored: repeated edge pixels draw streaks that no face has."""
    import cv2

    return cv2.BORDER_REFLECT_101


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
