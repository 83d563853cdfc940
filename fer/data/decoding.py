"""Every delivered picture decoded once: what identifies it, its size, whether it is gray, and what cannot be read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from fer.layouts.file_states import file_state
from fer.layouts.label_sheets import BOX_COLUMNS
from fer.layouts.pictures import UnreadablePicture, content_hash, crop_box, open_picture
from utils import file_fingerprint, in_threads, progress

LEAST_CONTRAST = 5.0  # standard deviation in gray levels; a weak JPEG of one tone has less


def decode_all(rows: pd.DataFrame, root: Path, refuse_blank: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode every picture once; add content, face, width, height, gray.

    Returns the readable rows and the unreadable ones with step and reason; with `refuse_blank`, pictures of one tone
    count as unreadable.
    """
    names = rows.groupby("path", sort=False).indices
    boxes = rows[BOX_COLUMNS].to_numpy(dtype=float)
    facts: dict[int, dict] = {}
    decode = partial(_decode_picture, root, refuse_blank)
    jobs = in_threads(decode, names, (boxes[i] for i in names.values()))
    for positions, found in zip(names.values(), progress(jobs, f"reading {root.name}", len(names)), strict=True):
        facts.update(zip(positions, found, strict=True))
    table = pd.concat([rows, pd.DataFrame([facts[i] for i in range(len(rows))], index=rows.index)], axis=1)
    table["photo_content"] = _photo_contents(rows["original_path"], root)
    bad = table["reason"] != ""
    return table[~bad].drop(columns=["reason"]), table[bad].assign(step="readable")


def _photo_contents(photos: pd.Series, root: Path) -> pd.Series:
    """Checksum of each photo's file, read once; its pixels are decoded only where faces are looked for in it."""
    names = sorted(set(photos) - {""})
    found = dict(zip(names, in_threads(_photo_content, [root / name for name in names]), strict=True))
    return photos.map({**found, "": ""}).astype("str")


def _photo_content(file: Path) -> str:
    return "" if file_state(file).problem else file_fingerprint(file, 32)


def _decode_picture(root: Path, refuse_blank: bool, path: str, boxes: np.ndarray) -> list[dict]:
    """Facts about each face (row of `boxes` [K, 4], NaN for the whole picture) of one picture."""
    unread = {"content": "", "face": "", "width": 0, "height": 0, "gray": False}
    try:
        picture = open_picture(root, path)
    except UnreadablePicture as error:
        return [unread | {"reason": str(error)}] * len(boxes)
    if refuse_blank and np.asarray(picture.convert("L")).std() < LEAST_CONTRAST:
        return [unread | {"reason": "blank: a picture of one tone"}] * len(boxes)
    content, facts = content_hash(picture), []
    for box in boxes:
        try:
            face = picture if np.isnan(box).any() else crop_box(picture, tuple(box))
        except UnreadablePicture as error:
            facts.append(unread | {"reason": str(error)})
            continue
        place = "" if face is picture else ":" + ",".join(f"{side:g}" for side in box)
        pixels = np.asarray(face)
        gray = pixels.ndim == 2 or bool((pixels == pixels[..., :1]).all())
        facts.append(
            {
                "content": content,
                "face": content + place,
                "width": face.width,
                "height": face.height,
                "gray": gray,
                "reason": "",
            }
        )
    return facts


def prepared_contents(rows: pd.DataFrame) -> pd.Series:
    """What identifies each prepared face, its recipe aside: `face`, and the photo it is looked for in."""
    photo = rows["photo_content"]
    return rows["face"] + ("@" + photo).where(photo != "", "")
