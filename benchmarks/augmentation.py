"""Augmentation of small gray faces: the batch engine against albumentations, and what it costs a training step.

    OMP_NUM_THREADS=1 python benchmarks/augmentation.py

Ours: `augment_batch` on a uint8 batch of 48 px as training hands it over. Theirs: `augment_images` on the same
pictures, one by one, in one process. "share of a step" is the batch engine's part of augmentation and training step
together, by CPU time, of the network named in the options, in fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import timm
import torch

import fer.networks.small_networks  # noqa: F401  (registers them)
from fer.faces.augmentation import augment_images, make_transform
from fer.faces.batch_augmentation import augment_batch
from fer.settings.augmentation_rows import AUGMENTATIONS, AugmentationRow, described

SIDE, AIM = 48, 5000
ROWS: dict[str, dict[str, Any]] = {
    "flip, crop": {"flip": 0.5, "crop": 0.1},
    "flip, shift, rotation, zoom": AUGMENTATIONS["geometric"].model_dump(),
    "the same and erasing": AUGMENTATIONS["geometric"].model_dump() | {"erasing": {"range": 0.2, "probability": 0.5}},
    "light": AUGMENTATIONS["light"].model_dump(),
    "strong": AUGMENTATIONS["strong"].model_dump(),
}


def whole(batch: torch.Tensor, row: dict[str, Any]) -> Callable[[], int]:
    """A function that augments the batch as a whole."""
    how, key = described(AugmentationRow.model_validate(row)) or {}, iter(range(10**9))
    return lambda: len(augment_batch(batch, how, (1, 2, next(key))))


def one_by_one(batch: torch.Tensor, row: dict[str, Any]) -> Callable[[], int]:
    """The same through albumentations."""
    transform = make_transform(described(AugmentationRow.model_validate(row)) or {}, SIDE)
    images, key = batch.numpy().transpose(0, 2, 3, 1), iter(range(10**9))
    return lambda: len(augment_images(images, transform, (1, 2, next(key))))


def step(batch: torch.Tensor, network: torch.nn.Module) -> Callable[[], int]:
    """One training step on the batch: forward, backward, SGD."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    labels = torch.arange(len(batch)) % 7

    def work() -> int:
        optimizer.zero_grad()
        pixels = (batch.float() / 255).contiguous(memory_format=torch.channels_last)
        torch.nn.functional.cross_entropy(network(pixels), labels).backward()
        optimizer.step()
        return len(batch)

    return work


def run(options: dict[str, Any]) -> list[harness.Row]:
    """A row for each set and batch size. `options`: batches, rounds, network."""
    rows = []
    for size in options["batches"]:
        batch = torch.randint(0, 256, (size, 1, SIDE, SIDE), dtype=torch.uint8)
        network = timm.create_model(options["network"], num_classes=7, in_chans=1).to(memory_format=torch.channels_last)
        for name, row in ROWS.items():
            sides = {"ours": whole(batch, row), "theirs": one_by_one(batch, row), "step": step(batch, network)}
            found = harness.in_turn(sides, options["rounds"])
            seconds = {side: min(one.cpu / one.items for one in rounds) for side, rounds in found.items()}
            rate = 1 / seconds["ours"]
            rows.append(
                {"batch": size, "row": name} | harness.compared(found["ours"], found["theirs"])
                | {"ours/s by CPU": rate, "share of a step": seconds["ours"] / (seconds["ours"] + seconds["step"])}
                | {"aim": AIM, "reached": rate >= AIM}
            )  # fmt: skip
    return rows


def main() -> None:
    """The command."""
    title = "Augmentation: whole batches (ours) against albumentations (theirs), pictures/s, 48 px gray"
    harness.command("augmentation", __doc__, title, run, batches=(128, 256), rounds=9, network="small_residual")


if __name__ == "__main__":
    main()
