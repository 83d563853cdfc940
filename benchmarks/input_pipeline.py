"""Training samples a second, up to the normalised float batch at 224 pixels that a network receives.

    python benchmarks/input_pipeline.py

Ours: packed pictures, batches from data_loader, enlarged and normalised on the device. Theirs: torchvision and Pillow,
picture by picture (plain.py). "same list": both sides make the same changes with the same probabilities (ours by
albumentations, at the size of the source). "own default": ours is the strong set, one of ten changes to four pictures
of five; theirs keeps its list. Ours decodes the files once, into a pack; "pack s" is what that took, "pays after" the
number of epochs after which the whole has been faster.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch
from made_pictures import KINDS, Pictures
from plain import MEAN, SIDE, STD, plain_loader, training_list

from data_loader import BatchSource, FaceRows, NetworkInput, make_loader, to_network_input
from fer.faces.augmentation import augment_images
from fer.faces.packs import pack_or_load
from fer.layouts.pictures import crop_box, open_picture

DEFAULT = {"kind": "strong", "strength": 1.0, "probability": 0.8}
EXPECTED = NetworkInput(SIDE, 3, MEAN, STD)
AIMS: dict[str, dict[str, float | None]] = {  # times as fast; none is set for boxes in photos
    "own default": {"RAF-like 100 px": 5, "FER2013-like 48 px": 10, "ExpW-like boxes": None},
    "same list": {"RAF-like 100 px": 3, "FER2013-like 48 px": 4, "ExpW-like boxes": None},
}


def same_list() -> Any:
    """plain.training_list by albumentations, without what follows on the device (resizing, normalising)."""
    import albumentations as a

    return a.Compose([
        a.HorizontalFlip(p=0.5),
        a.Rotate(limit=15, p=1),
        a.ColorJitter(0.2, 0.2, 0.2, 0.05, p=1),
        a.Affine(translate_percent=(-0.1, 0.1), scale=(0.9, 1.1), p=1),
        a.Perspective(scale=(0.05, 0.1), p=0.5),
        a.CoarseDropout((1, 1), (0.14, 0.32), (0.14, 0.32), p=0.5),
    ])  # fmt: skip


@dataclass
class SameListSource(BatchSource):
    """BatchSource whose pictures go through `same_list`."""

    def _augment(self, pixels: np.ndarray, key: tuple[int, ...], first: int) -> np.ndarray:
        if not self._transforms:
            self._transforms[0] = same_list()
        return augment_images(pixels, self._transforms[0], key, first)


def packed(pictures: Pictures, cache: Path) -> FaceRows:
    """The pictures as variant raw packs them: at the smaller of source and network size."""
    side = 0
    for path, *box in pictures.files.itertuples(index=False):
        picture = open_picture(pictures.root, path)
        face = picture if np.isnan(box[1:]).any() else crop_box(picture, tuple(box[1:]))
        side = max(side, *face.size)
        if side >= SIDE:
            break
    pack = pack_or_load(pictures.files, pictures.root, min(side, SIDE), pictures.gray, cache, pictures.root.name)
    return FaceRows.from_pack(pack, np.arange(len(pictures)), pictures.labels, list(pictures.files["face"]))


def our_epoch(source: BatchSource, workers: int) -> Callable[[], int]:
    """A function that runs one epoch to the network's input and returns the number of pictures."""
    loader = make_loader(source, workers)
    device = torch.device("cpu")

    def work() -> int:
        loader.sampler.epoch += 1  # type: ignore[union-attr, attr-defined, unused-ignore]
        return sum(len(to_network_input(chunks, EXPECTED, device)[0]) for chunks in loader)

    return work


def their_epoch(pictures: Pictures, batch: int, workers: int) -> Callable[[], int]:
    """The same of the other side."""
    loader = plain_loader(pictures, training_list(SIDE), batch, workers, shuffle=True)

    def work() -> int:
        return sum(len(pixels) for pixels, _ in loader)

    return work


def measure(kind: str, pictures: Pictures, folder: Path, options: dict[str, Any]) -> list[harness.Row]:
    """Rows of one kind of pictures: each list, each number of workers."""
    faces, packing = harness.timed(partial(packed, pictures, folder / "cache"), len(pictures))
    rows = []
    for workers in options["workers"]:
        batch = options["batch"]
        sides = {
            "same list": our_epoch(SameListSource(faces, batch, 1, shuffle=True, augmentation=DEFAULT), workers),
            "own default": our_epoch(BatchSource(faces, batch, 1, shuffle=True, augmentation=DEFAULT), workers),
            "theirs": their_epoch(pictures, batch, workers),
        }
        found = harness.in_turn(sides, options["rounds"])
        for name, aims in AIMS.items():
            row: harness.Row = {"pictures": kind, "list": name, "workers": workers} | harness.compared(
                found[name], found["theirs"]
            )
            saved = 1 / row["theirs/s"] - 1 / row["ours/s"]
            more = {"pack s": packing.wall, "pays after": packing.wall / len(pictures) / saved if saved > 0 else np.inf}
            aim = aims[kind]
            rows.append(row | {"aim": aim, "reached": None if aim is None else row["times"] >= aim} | more)
    return rows


def run(options: dict[str, Any]) -> list[harness.Row]:
    """Every row of the table. `options`: images, rounds, batch, workers (list of numbers)."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, make in KINDS.items():
            rows += measure(kind, make(Path(folder), options["images"]), Path(folder), options)
    return rows


def main() -> None:
    """The command."""
    title = f"Input pipeline: training samples/s at {SIDE} px, drawn faces, batch {{batch}}"
    harness.command("input_pipeline", __doc__, title, run, images=320, rounds=3, batch=64, workers=(0, 1, 2))


if __name__ == "__main__":
    main()
