"""Pictures to measure with, drawn like those of three datasets; no real face is needed.

A few hundred faces are drawn; where more files are wanted, they are drawn ones with noise of their own, so that no two
files are alike. Each kind is a Pictures record: where the files lie, one row a face, and its label.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fer.layouts.label_sheets import BOX_COLUMNS
from fer.settings.settings import EMOTIONS, Settings, check_settings

DRAWN = 210  # faces drawn anew; 30 a class


@dataclass(frozen=True)
class Pictures:
    """`files` has columns path (relative to `root`), face and the four box columns (NaN: the whole picture)."""

    root: Path
    files: pd.DataFrame
    labels: np.ndarray
    gray: bool

    def __len__(self) -> int:
        return len(self.files)


@lru_cache(maxsize=1)
def _faces(count: int) -> list[np.ndarray]:
    """Aligned faces, RGB uint8 [100, 100, 3]; face i shows emotion i modulo 7."""
    from fer.sample_faces.scenes import aligned, studio_picture

    found = []
    for number in range(count):
        pixels, face = studio_picture(np.random.default_rng((5, number)), number % len(EMOTIONS))
        found.append(aligned(pixels, face))
    return found


def some_faces(count: int, side: int) -> np.ndarray:
    """Aligned drawn faces, gray uint8 [count, side, side]."""
    return np.stack([np.asarray(Image.fromarray(face).convert("L").resize((side, side))) for face in _faces(count)])


def _noisy(pixels: np.ndarray, number: int) -> np.ndarray:
    noise = np.random.default_rng((6, number)).integers(-6, 7, pixels.shape, dtype=np.int16)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _crops(root: Path, count: int, side: int, mode: str) -> Pictures:
    """`count` JPEG files, `side` pixels a side, in `root`/<class>/."""
    base = [np.asarray(Image.fromarray(f).convert(mode).resize((side, side))) for f in _faces(min(DRAWN, count))]
    labels = np.arange(count) % len(base) % len(EMOTIONS)
    paths = [f"{EMOTIONS[label]}/{number:06d}.jpg" for number, label in enumerate(labels)]
    for emotion in EMOTIONS:
        (root / emotion).mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        if not (root / path).exists():
            Image.fromarray(_noisy(base[number % len(base)], number)).save(root / path, quality=92)
    return Pictures(root, _table(paths, None), labels, mode == "L")


def _table(paths: list[str], boxes: list[tuple[float, ...]] | None) -> pd.DataFrame:
    table = pd.DataFrame({"path": paths, "face": [f"{path}:{i}" for i, path in enumerate(paths)]})
    table[BOX_COLUMNS] = np.nan if boxes is None else np.array(boxes, dtype=float)
    return table


def raf_like(folder: Path, count: int) -> Pictures:
    """Aligned colour faces of 100 pixels, as RAF-DB delivers them."""
    return _crops(folder / "raf_like", count, 100, "RGB")


def fer2013_like(folder: Path, count: int) -> Pictures:
    """Gray faces of 48 pixels, as FER2013's folders hold them."""
    return _crops(folder / "fer2013_like", count, 48, "L")


def expw_like(folder: Path, count: int) -> Pictures:
    """Colour photos 300 to 450 pixels wide with one to three boxed faces each; `count` faces in all."""
    from fer.sample_faces.scenes import wild_picture

    root = folder / "expw_like"
    root.mkdir(parents=True, exist_ok=True)
    paths: list[str] = []
    boxes: list[tuple[float, ...]] = []
    labels: list[int] = []
    while len(paths) < count:
        number = len(paths)
        draws = np.random.default_rng((7, number))
        shown = draws.integers(0, len(EMOTIONS), draws.choice((1, 2, 3), p=(0.68, 0.22, 0.1))).tolist()
        pixels, faces = wild_picture(draws, shown)
        Image.fromarray(pixels).save(root / f"{number:06d}.jpg", quality=88)
        for face in faces:
            paths.append(f"{number:06d}.jpg")
            boxes.append(face.box)
            labels.append(face.label)
    return Pictures(root, _table(paths[:count], boxes[:count]), np.array(labels[:count]), False)


def photos(folder: Path, count: int) -> Pictures:
    """Colour portraits 220 to 300 pixels a side, one face each, no box: as RAF-DB's originals."""
    from fer.sample_faces.scenes import studio_picture

    root = folder / "photos"
    root.mkdir(parents=True, exist_ok=True)
    paths = [f"{number:06d}.jpg" for number in range(count)]
    labels = np.arange(count) % len(EMOTIONS)
    for number, (path, label) in enumerate(zip(paths, labels.tolist(), strict=True)):
        pixels, _ = studio_picture(np.random.default_rng((8, number)), label)
        Image.fromarray(pixels).save(root / path, quality=92)
    return Pictures(root, _table(paths, None), labels, False)


KINDS: dict[str, Callable[[Path, int], Pictures]] = {
    "RAF-like 100 px": raf_like,
    "FER2013-like 48 px": fer2013_like,
    "ExpW-like boxes": expw_like,
}


def class_folders(root: Path, count: int, side: int = 48) -> Path:
    """`count` gray pictures of `side` pixels as train/<class>/ and test/<class>/, every seventh for the test."""
    pictures = _crops(root / "all", count, side, "L")
    for number, path in enumerate(pictures.files["path"]):
        target = root / ("test" if number // len(EMOTIONS) % 7 == 3 else "train") / path
        target.parent.mkdir(parents=True, exist_ok=True)
        (pictures.root / path).rename(target)
    shutil.rmtree(pictures.root)
    return root


def study_of(dataset: Path, output: Path, layout: str = "folders", size: int = 48, **changes: Any) -> Settings:
    """One dataset of cropped faces, one small network, one epoch without workers; `changes`: other settings."""
    network = {"batch_size": 64, "weights": None, "input_size": size, "channels": 1}
    return check_settings({
        "ACTIVE_DATASETS": ("measured",),
        "DATASETS": {"measured": {"path": str(dataset), "layout": layout, "faces": "cropped"}},
        "OUTPUT_DIR": str(output), "DATASETS_DIR": str(output / "prepared"), "FACE_SIZE": size,
        "VARIANTS": ("raw",), "EXPERIMENTS": ("individual",), "MODEL_CONFIG": {"tiny_plain": network},
        "EPOCHS": 1, "LEARNING_RATE": 1e-3, "DEVICE": "cpu", "WORKERS": 0,
    } | changes)  # fmt: skip
