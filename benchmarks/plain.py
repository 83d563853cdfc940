"""The other side: what users' scripts do. One file opened, converted, resized and changed at a time, by torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from made_pictures import Pictures
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as t

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
SIDE = 224  # pixels of the network's input


def training_list(side: int) -> Any:
    """The usual list of a training script, in its usual order."""
    return t.Compose([
        t.Resize((side, side)),
        t.RandomHorizontalFlip(0.5),
        t.RandomRotation(15),
        t.ColorJitter(0.2, 0.2, 0.2, 0.05),
        t.RandomAffine(0, translate=(0.1, 0.1), scale=(0.9, 1.1)),
        t.RandomPerspective(0.2, p=0.5),
        t.ToTensor(),
        t.RandomErasing(p=0.5, scale=(0.02, 0.1)),
        t.Normalize(MEAN, STD),
    ])  # fmt: skip


def test_list(side: int) -> Any:
    """The same without what is random."""
    return t.Compose([t.Resize((side, side)), t.ToTensor(), t.Normalize(MEAN, STD)])


class PlainDataset(Dataset):
    """One normalised float tensor [3, side, side] and its label for each row of `pictures`."""

    def __init__(self, pictures: Pictures, transform: Any):
        files = pictures.files
        self.paths = [str(pictures.root / path) for path in files["path"]]
        boxes = files[["box_left", "box_top", "box_right", "box_bottom"]].to_numpy()
        self.boxes = [None if np.isnan(box).any() else tuple(box.tolist()) for box in boxes]
        self.labels, self.transform = pictures.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        picture = Image.open(Path(self.paths[number])).convert("RGB")
        box = self.boxes[number]
        return self.transform(picture if box is None else picture.crop(box)), self.labels[number]


def plain_loader(pictures: Pictures, transform: Any, batch: int, workers: int, shuffle: bool) -> DataLoader:
    """A DataLoader as users write it; workers persist, which is kinder than the default."""
    return DataLoader(
        PlainDataset(pictures, transform), batch, shuffle, num_workers=workers, persistent_workers=workers > 0
    )
