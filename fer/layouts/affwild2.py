"""Aff-Wild2, seven expressions: cropped frames of videos and a number a frame. The video becomes the subject.

The test set is not public: the validation videos are the test set here, and validation is taken from training.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fer.layouts.class_names import NAMED_CLASSES
from fer.layouts.folders import Reading, pictures, visible_files, visible_folders
from fer.layouts.label_sheets import Place, refuse_odd_table, reject
from utils import InputError

AFFWILD2_LABELS = ("EXPR_Classification_Challenge", "annotations/EXPR_Classification_Challenge")
AFFWILD2_SPLITS = {"train": "train", "valid": "test"}  # how the names of its two folders begin
NOT_ANNOTATED = "-1"


def read_affwild2(place: Place) -> Reading:
    """`cropped_aligned/<video>/00001.jpg`; line 1 of `<video>.txt` names the numbers, each later line is a frame."""
    labels = next(place.base / name for name in AFFWILD2_LABELS if (place.base / name).is_dir())
    reading, rows, unannotated = Reading(pd.DataFrame()), [], 0
    for folder in visible_folders(labels):
        split = next((split for start, split in AFFWILD2_SPLITS.items() if folder.lower().startswith(start)), "")
        for name in visible_files(labels / folder) if split else []:
            if name.lower().endswith(".txt"):
                taken, rejected, skipped = _read_video(place, labels / folder / name, split)
                rows += taken
                unannotated += skipped
                reading.rejected += rejected
    reading.samples = pd.DataFrame(rows, columns=["path", "label", "split", "subject"])
    every = place.row.every_frame
    reading.notes = [f"every_frame = {every}: one frame in {every} is used; {unannotated} of these are not annotated"]
    reading.notes.append("the validation videos are the test set here; validation is taken from training")
    return reading


def _read_video(
    place: Place, file: Path, split: str
) -> tuple[list[tuple[str, int, str, str]], list[dict[str, str]], int]:
    """Rows (path, label, split, subject), rejected rows, and how many frames have no annotation."""
    refuse_odd_table(place, file)
    header, *lines = file.read_bytes().decode("utf-8-sig", errors="replace").split("\n")
    classes = _classes(place, file, header)
    folder, person = place.base / "cropped_aligned" / file.stem, file.stem.removesuffix("_left").removesuffix("_right")
    frames = {Path(name).stem: name for name in pictures(folder)}
    rows, rejected, skipped = [], [], 0
    for frame in range(1, len(lines) + 1, place.row.every_frame):
        cell, stem = lines[frame - 1].strip(), f"{frame:05d}"
        path = place.relative(folder / frames.get(stem, f"{stem}.jpg"))
        label = classes.get(cell)
        if cell in ("", NOT_ANNOTATED):
            skipped += cell != ""
        elif label is None:
            why = (
                "other, none of the seven expressions"
                if cell in classes
                else f"label {cell[:20]!r} has no name in line 1"
            )
            rejected.append(reject(f"{place.name}/{path}", path, why, split=split))
        elif stem not in frames:
            rejected.append(
                reject(f"{place.name}/{path}", path, "no crop of this frame: no face was found", split=split)
            )
        else:
            rows.append((path, label, split, person))
    return rows, rejected, skipped


def _classes(place: Place, file: Path, header: str) -> dict[str, int | None]:
    """The edition of 2020 names seven classes, later ones an eighth, Other; the order is the file's own."""
    names = [name.strip().lower() for name in header.split(",")]
    unknown = [name for name in names if name not in NAMED_CLASSES and name != "other"]
    if unknown:
        raise InputError(
            f"{place.name}: line 1 of {file} should name the classes, Neutral,Anger,…; it is {header[:60]!r}."
        )
    return {str(number): NAMED_CLASSES.get(name) for number, name in enumerate(names)}
