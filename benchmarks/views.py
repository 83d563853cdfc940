"""Test-time augmentation: three views against one, and its data path against the image-by-image way.

    python benchmarks/views.py

First table: `evaluation.predict` with three views against plain, same network; aim: at most 3.1 times the time.
Second: the data path alone, the network replaced by a constant. Ours: packed pictures, views as tensor algebra,
normalisation included. Theirs, as in the system this project replaces: every picture is opened and made a tensor, each
tensor goes back to a Pillow picture, and that through one transform a view, image by image.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import numpy as np
import timm
import torch
from input_pipeline import packed
from made_pictures import KINDS, Pictures
from plain import MEAN, SIDE, STD, plain_loader
from torchvision import transforms as t

from data_loader import FaceRows, NetworkInput
from evaluation import TTA_POLICIES, predict
from fer.faces.packs import pack_or_load

CPU = torch.device("cpu")
NETWORKS = (("resnet18", 64), ("mobilenetv3_small_050", 96))
MOST_TIMES, DATA_AIM = 3.1, 10.0


class Constant(torch.nn.Module):
    """A network that looks at nothing: logits 0 to 6 for every picture."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits [B, 7]."""
        return torch.arange(7.0).expand(len(pixels), 7)


# ---------------------------------------------------------------- the other side


def view_list(view: str, side: int) -> Any:
    """The transform of one view for a Pillow picture, with the views' own geometry."""
    margin = max(round(side * 0.05), 1)
    change = {
        "identity": [],
        "flip": [t.RandomHorizontalFlip(1.0)],
        "crop": [t.CenterCrop(side - 2 * margin), t.Resize((side, side))],
    }[view]
    return t.Compose([*change, t.ToTensor(), t.Normalize(MEAN, STD)])


def image_by_image(network: torch.nn.Module, pictures: Pictures, side: int, batch: int) -> np.ndarray:
    """Mean probabilities [N, 7] over the three views: tensor, Pillow picture, transform, for each image and view."""
    views = [view_list(view, side) for view in TTA_POLICIES["three_views"]]
    to_picture, found = t.ToPILImage(), []
    loading = t.Compose([t.Resize((side, side)), t.ToTensor()])
    with torch.inference_mode():
        for tensors, _ in plain_loader(pictures, loading, batch, 0, shuffle=False):
            every = []
            for view in views:
                changed = torch.stack([view(to_picture(tensor)) for tensor in tensors])
                every.append(network(changed).softmax(1))
            found.append(torch.stack(every).mean(0).numpy())
    return np.concatenate(found)


# ---------------------------------------------------------------- measuring


def evaluation(network: torch.nn.Module, faces: FaceRows, side: int, policy: str, batch: int) -> Callable[[], int]:
    """A function that predicts under one policy and returns the number of pictures."""
    expected = NetworkInput(side, 3, MEAN, STD)

    def work() -> int:
        return len(predict(network, expected, faces, (policy,), batch, CPU)[policy])

    return work


def three_over_one(pictures: Pictures, folder: Path, options: dict[str, Any]) -> list[harness.Row]:
    """Rows of the first table: one a network."""
    rows = []
    for name, side in NETWORKS:
        network = timm.create_model(name, num_classes=7).to(memory_format=torch.channels_last).eval()
        pack = pack_or_load(pictures.files, pictures.root, min(side, 100), False, folder / "cache", name)
        ids = list(pictures.files["face"])
        faces = FaceRows.from_pack(pack, np.arange(len(pictures)), pictures.labels, ids)
        sides = {p: evaluation(network, faces, side, p, options["batch"]) for p in ("none", "three_views")}
        found = harness.in_turn(sides, options["rounds"])
        row = harness.compared(found["none"], found["three_views"])
        names = {"ours/s": "plain/s", "theirs/s": "three views/s"}
        row = {names.get(key, key): value for key, value in row.items()}
        rows.append({"network": name, "px": side} | row | {"aim": MOST_TIMES, "reached": row["times"] <= MOST_TIMES})
    return rows


def data_path(kind: str, pictures: Pictures, folder: Path, options: dict[str, Any]) -> harness.Row:
    """Row of the second table for one kind of pictures."""
    network, faces = Constant(), packed(pictures, folder / "cache")
    sides = {
        "ours": evaluation(network, faces, SIDE, "three_views", options["batch"]),
        "theirs": lambda: len(image_by_image(network, pictures, SIDE, options["batch"])),
    }
    found = harness.in_turn(sides, options["rounds"])
    row: harness.Row = {"pictures": kind} | harness.compared(found["ours"], found["theirs"])
    return row | {"aim": DATA_AIM, "reached": row["times"] >= DATA_AIM}


def run(options: dict[str, Any]) -> tuple[list[harness.Row], list[harness.Row]]:
    """Rows of both tables. `options`: images, rounds, batch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = {kind: make(folder, options["images"]) for kind, make in KINDS.items()}
        first = three_over_one(sets["RAF-like 100 px"], folder, options)
        return first, [data_path(kind, pictures, folder, options) for kind, pictures in sets.items()]


def main() -> None:
    """The command."""
    options = harness.options_of(__doc__, images=256, rounds=5, batch=64)
    output = options.pop("output")
    harness.started("views")
    first, second = run(options)
    harness.report("views", "Evaluation: time of three views over plain, images/s, drawn faces", first, options, output)
    title = f"The data path of three views alone, {SIDE} px: ours against image by image, images/s, drawn faces"
    harness.report("views_data_path", title, second, options, output)


if __name__ == "__main__":
    main()
