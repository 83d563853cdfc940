"""Small datasets of faces and of noise, and the way through preprocessing, for several test modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fer.faces.prepared as prepared
import preprocessing
from fer.layouts.label_sheets import BOX_COLUMNS
from fer.layouts.pictures import content_hash, open_picture
from fer.sample_faces.datasets import STUDIO, draw_face, write_studio, write_wild
from fer.settings.settings import DatasetRow, Settings, check_settings
from preprocessing import preprocess_or_load

PROJECT = Path(preprocessing.__file__).parent
HAPPY = 3


def face_settings(folder: Path, **changes: Any) -> Settings:
    """Settings that prepare small faces under `folder`/prepared, in this process."""
    values = {"DATASETS_DIR": str(folder / "prepared"), "FACE_SIZE": 48, "WORKERS": 0}
    return check_settings(values | changes)


def rows_for(faces: str) -> DatasetRow:
    return DatasetRow(path="any", layout="expw", faces=faces)  # type: ignore[arg-type]


def table(root: Path, paths: list[str], **columns: Any) -> pd.DataFrame:
    """Samples of pictures below `root`, each with its box where the columns given have one."""
    base: dict[str, Any] = {
        "sample_id": [f"set/{path}" for path in paths], "path": paths, "original_path": "", "photo_content": "",
        "label": HAPPY, "dataset": "set", "split": "train",
        "content": [content_hash(open_picture(root, path)) for path in paths],
        "box_left": np.nan, "box_top": np.nan, "box_right": np.nan, "box_bottom": np.nan,
    }  # fmt: skip
    rows = pd.DataFrame(base | columns)
    boxes = [",".join(f"{edge:g}" for edge in box) for box in rows[BOX_COLUMNS].to_numpy(dtype=float)]
    face = rows["content"] + ":" + pd.Series(boxes, index=rows.index)
    return rows.assign(face=rows["content"].where(rows["box_left"].isna(), face))


def noise_pictures(root: Path, count: int, side: int = 48) -> pd.DataFrame:
    """Samples of gray noise: for everything but detection."""
    root.mkdir(exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number:03d}.png")
    return table(root, [f"{number:03d}.png" for number in range(count)])


def prepare(samples: pd.DataFrame, root: Path, faces: str, settings: Settings) -> tuple[Path, pd.DataFrame]:
    return preprocess_or_load(samples, root, rows_for(faces), settings, "set")


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a picture was made again")

    monkeypatch.setattr(preprocessing, "prepare_face", refuse)
    monkeypatch.setattr(prepared, "_make_missing", refuse)


def studio_face(path: Path, seed: int = 3, turned: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = draw_face(np.random.default_rng(seed), HAPPY, STUDIO)
    picture.rotate(turned, resample=Image.Resampling.BICUBIC, fillcolor=(120, 120, 120)).save(path)
    return path


def study_settings(folder: Path, **changes: Any) -> Settings:
    """Two sets of drawn faces, whole photos and boxes, and a cropped one; small colour networks."""
    write_studio(folder / "studio", 7, 120)
    write_wild(folder / "wild", 7, 120)
    rows = {
        "studio": {"path": str(folder / "studio"), "layout": "rafdb", "faces": "whole"},
        "wild": {"path": str(folder / "wild"), "layout": "expw", "faces": "box"},
    }
    values = {
        "ACTIVE_DATASETS": ("studio", "wild"), "DATASETS": rows, "DATASETS_DIR": str(folder / "prepared"),
        "OUTPUT_DIR": str(folder / "out"), "VARIANTS": ("raw", "preprocessed"), "EXPERIMENTS": ("combined",),
        "MODEL_CONFIG": {"tiny_plain": {"batch_size": 16, "weights": None, "input_size": 40, "channels": 3}},
        "EPOCHS": 1, "FACE_SIZE": 32, "DEVICE": "cpu", "WORKERS": 0, "TTA": ("none", "three_views"),
        "VAL_FRACTION": 0.2, "LIMIT_PER_SPLIT": 21, "GRAYSCALE": False, "SAVE_FORMAT": "jpeg",
    }  # fmt: skip
    return check_settings(values | changes)
