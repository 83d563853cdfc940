"""The layouts in which datasets lie on disk, with one reader each.

A reader lists folders and parses label files; it decodes nothing. Every line of a label file and every
picture in a class folder ends in `Reading.samples` or, with a reason, in `Reading.rejected`. To add a
layout, write a reader and add its entry to LAYOUTS at the end.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fer.layouts.emotions import EMOTIONS
from fer.layouts.file_states import file_state
from fer.layouts.label_sheets import LabelSheet, Place, refuse_odd_table, reject
from fer.layouts.pictures import table_columns
from utils import InputError

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm",
)  # fmt: skip
BOX_COLUMNS = ["box_left", "box_top", "box_right", "box_bottom"]  # pixels in the source picture

CLASS_NAMES = {
    "angry": ("angry", "anger"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "fearful", "afraid", "scared"),
    "happy": ("happy", "happiness", "joy"),
    "sad": ("sad", "sadness"),
    "surprise": ("surprise", "surprised"),
    "neutral": ("neutral", "neutrality"),
}
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
NAMED_CLASSES = {name: EMOTIONS.index(emotion) for emotion, names in CLASS_NAMES.items() for name in names}
SPLIT_OF_NAME = {name: split for split, names in SPLIT_NAMES.items() for name in names}
# Verified in four independent readers of RAF-DB: 1 is surprise.
RAFDB_ORDER = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
RAFDB_CLASSES = {str(number): EMOTIONS.index(emotion) for number, emotion in enumerate(RAFDB_ORDER, 1)}


@dataclass
class Reading:
    """What a reader hands back: tables with some or all columns of Listing's, in any order."""

    samples: pd.DataFrame
    rejected: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# ---------------------------------------------------------------- folders


def visible_folders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, sorted; none if it is not there."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _is_folder(entry)]
    return sorted(name for name in names if not name.startswith((".", "__MACOSX")))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def dead_entries(folder: Path, known: Mapping[str, object], place: Place, split: str = "") -> list[dict[str, str]]:
    """A rejected row for each entry of `folder` that is called like a folder of `known` but is none: a dead link."""
    folders = {*visible_folders(folder)}
    rejected = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        if entry.name.strip().lower() in known and entry.name not in folders:
            path = place.relative(entry)
            reason = file_state(entry).problem or "no folder but a file"
            rejected.append(reject(f"{place.name}/{path}", path, reason, split=split))
    return rejected


def _pictures(folder: Path) -> list[str]:
    """Names of the picture files in `folder`, by suffix; editor backups and ._ files are left out."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES)]
    return sorted(name for name in names if not name.startswith("."))


def _picture_index(place: Place, *folders: str) -> dict[str, str]:
    """File name to path relative to the root, over several folders; the first that has a name wins."""
    index: dict[str, str] = {}
    for folder in reversed(folders):
        prefix = place.relative(place.base / folder)
        try:
            names = _pictures(place.base / folder)
        except OSError as error:
            raise InputError(f"{place.name}: {place.base / folder} cannot be opened: {error.strerror}.") from error
        index |= {name: f"{prefix}/{name}" for name in names}
    return {name.lower(): path for name, path in index.items()} | index


def _look_up(index: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Paths of the named files, "" where there is none; .JPG on disk answers to .jpg in a list."""
    return [index.get(name) or index.get(name.lower(), "") for name in names]


# ---------------------------------------------------------------- RAF-DB

RAFDB_LABELS = "EmoLabel/list_patition_label.txt"  # the authors' spelling


def _read_rafdb_original(place: Place) -> Reading:
    """`train_00001.jpg 5`; `path` is the aligned crop, `original_path` the photo if faces = "whole"."""
    sheet = LabelSheet(place, place.base / RAFDB_LABELS, ("file", "label"))
    starts = [file.partition("_")[0] if "_" in file else "" for file in sheet.rows["file"].to_list()]
    sheet.rows["split"] = [start if start in ("train", "test") else "" for start in starts]
    sheet.make_numbers(["label"])
    _refuse_compound(place, sheet.rows["label"])
    sheet.reject(~sheet.rows["label"].isin(range(1, 8)), "label {label:g} is not one of 1 to 7")
    sheet.reject(sheet.rows["split"] == "", "{file!r:.60} starts with neither train_ nor test_")
    crops = ["_aligned.".join(file.rsplit(".", 1)) for file in sheet.rows["file"].to_list()]
    sheet.rows["path"] = _look_up(_picture_index(place, "Image/aligned", "Image/aligned/aligned"), crops)
    sheet.reject(sheet.rows["path"] == "", "the aligned crop of {file!r:.60} is not in Image/aligned/")
    sheet.reject_repeated(["path"])
    files = sheet.rows["file"].to_list()
    samples = sheet.rows[["path", "split"]].assign(
        label=[RAFDB_CLASSES[f"{label:g}"] for label in sheet.rows["label"]],
    )
    if place.row.faces != "whole":
        return Reading(samples, sheet.rejected)
    samples["original_path"] = _look_up(_picture_index(place, "Image/original"), files)
    without = int((samples["original_path"] == "").sum())
    note = f"{without} of {len(samples)} faces have no photo in Image/original/; detected in the aligned crop"
    return Reading(samples, sheet.rejected, [note] if without else [])


def _refuse_compound(place: Place, labels: pd.Series) -> None:
    """The compound subset has the same file names, and its numbers 1 to 7 mean other expressions."""
    if {8, 9, 10, 11} <= set(labels):
        raise InputError(
            f"{place.name}: {place.base / RAFDB_LABELS} has labels up to 11: this is RAF-DB's compound "
            "subset, whose numbers mean other expressions. Give the folder that holds basic/."
        )


def _read_rafdb_kaggle(place: Place) -> Reading:
    """`train/1..7/`, `test/1..7/`: aligned crops, RAF-DB's numbers."""
    splits = {place.base / split: split for split in ("train", "test")}
    return _read_class_folders(place, splits, RAFDB_CLASSES)


# ---------------------------------------------------------------- ExpW

EXPW_LABELS = ("label/label.lst", "label.lst")
EXPW_PICTURES = ("image/origin", "image/origin/origin", "image", "origin", "origin/origin")
EXPW_COLUMNS = ("file", "face", "box_top", "box_left", "box_right", "box_bottom", "confidence", "label")


def _read_expw_original(place: Place) -> Reading:
    """label.lst: name, face id, TOP LEFT RIGHT BOTTOM, confidence, label; several faces a photo."""
    file = next(place.base / path for path in EXPW_LABELS if (place.base / path).exists())
    index = _picture_index(place, *EXPW_PICTURES)
    if not index:
        raise InputError(
            f"{place.name}: {file} is there, but no picture in {place.base} in any of "
            f"{', '.join(EXPW_PICTURES)}. Unpack origin.7z.001 to .008 into image/origin/."
        )
    sheet = LabelSheet(place, file, EXPW_COLUMNS)
    sheet.make_numbers(list(EXPW_COLUMNS[1:]))
    notes = _sieve_expw(sheet, index)
    paths = sheet.rows["path"].to_list()
    samples = sheet.rows[["path", "label", "confidence", *BOX_COLUMNS]].assign(
        sample_id=_face_ids(place.name, paths, sheet.rows["face"].to_list()),
        photo=[path.rpartition("/")[2] for path in paths],
    )
    return Reading(samples, sheet.rejected, notes)


def _face_ids(name: str, paths: list[str], faces: list[float]) -> list[str]:
    """`<name>/<path>#<face>`; a face id given twice in one photo (with another box) gets `.2` behind it."""
    ids, seen = [], Counter[str]()
    for path, face in zip(paths, faces, strict=True):
        sample_id = f"{name}/{path}#{int(face)}"
        seen[sample_id] += 1
        ids.append(sample_id if seen[sample_id] == 1 else f"{sample_id}.{seen[sample_id]}")
    return ids


def _sieve_expw(sheet: LabelSheet, index: Mapping[str, str]) -> list[str]:
    """Take unusable lines out of the sheet, add the column `path`; returns notes."""
    total, notes = len(sheet.rows), []
    sheet.reject(~sheet.rows["label"].isin(range(7)), "label {label:g} is not one of 0 to 6")
    sheet.reject((sheet.rows["face"] < 0) | (sheet.rows["face"] % 1 != 0), "face id {face:g} is no whole number")
    rows = sheet.rows
    empty = (rows["box_right"] <= rows["box_left"]) | (rows["box_bottom"] <= rows["box_top"])
    reason = "empty box: top {box_top:g} left {box_left:g} right {box_right:g} bottom {box_bottom:g}"
    if sheet.reject(empty, reason) > total / 20:
        notes.append("many boxes are empty: is their order top, left, right, bottom, as in label.lst?")
    sheet.rows["path"] = _look_up(index, sheet.rows["file"].to_list())
    missing = sheet.reject(sheet.rows["path"] == "", "no picture {file!r:.60} in image/origin/")
    if missing > total / 20:
        notes.append(f"{missing} of {total} faces have no picture: are origin.7z.001 to .008 all unpacked?")
    sheet.reject_repeated(["path", *BOX_COLUMNS])
    return notes


def _read_expw_folders(place: Place) -> Reading:
    """`Expw-F/<class>/`: faces cut out; boxes and confidence are lost, the photo only guessed."""
    reading = _read_class_folders(place, {place.base: ""}, NAMED_CLASSES)
    reading.samples["photo"] = [expw_photo(path) for path in reading.samples["path"].to_list()]
    return reading


def expw_photo(path: str) -> str:
    """The photo a face was cut from: `angry_actor_13` for `4angry_actor_13.jpg` or `angry_actor_13_4.jpg`.

    ExpW's photos end in one number. A number glued before the name, or a second one behind it, tells
    faces of one photo apart.
    """
    photo = re.sub(r"^\d+(?=[^\W\d])", "", Path(path).stem)
    return re.sub(r"(?<=\d)_\d+$", "", photo)


# ---------------------------------------------------------------- FER2013

FER2013_TABLES = ("fer2013.csv", "icml_face_data.csv")
FER2013_USAGE = {"training": "train", "publictest": "val", "privatetest": "test"}


def _read_fer2013_table(place: Place) -> Reading:
    """One row a face: emotion, pixels, Usage in any order; 290 MB, so read line by line as bytes."""
    file = next(place.base / name for name in FER2013_TABLES if (place.base / name).exists())
    refuse_odd_table(place, file)
    path, rows, rejected = place.relative(file), [], []
    with file.open("rb") as stream:
        columns = table_columns(stream.readline())
        absent = [column for column in ("emotion", "pixels", "usage") if column not in columns]
        if absent:
            header = ", ".join(columns)[:80]
            raise InputError(f"{place.name}: {file} lacks the columns {', '.join(absent)}; it has {header}.")
        for number, line in enumerate(stream):
            cells = [cell.strip(b' "\r\n') for cell in line.split(b",")]
            row = dict(zip(columns, cells, strict=False))
            problem = _table_problem(row, len(cells), len(columns))
            split = FER2013_USAGE.get(row.get("usage", b"").decode(errors="replace").lower(), "")
            if not problem:
                rows.append((f"{path}#{number}", int(row["emotion"]), split))
            elif line.strip():
                sample_id = f"{place.name}/{path}#{number}"
                rejected.append(reject(sample_id, path, f"line {number + 2}: {problem}", split=split))
    return Reading(pd.DataFrame(rows, columns=["path", "label", "split"]), rejected)


def _table_problem(row: Mapping[str, bytes], found: int, wanted: int) -> str:
    if found != wanted:
        return f"{found} columns instead of {wanted}"
    if row["emotion"] not in {b"0", b"1", b"2", b"3", b"4", b"5", b"6"}:
        return f"emotion {_shown(row['emotion'])} is not one of 0 to 6"
    if row["usage"].decode(errors="replace").lower() not in FER2013_USAGE:
        return f"Usage {_shown(row['usage'])} is not one of Training, PublicTest, PrivateTest"
    return "" if row["pixels"] else "no pixels"


def _shown(cell: bytes) -> str:
    return repr(cell[:40].decode(errors="replace"))


def _read_fer2013_folders(place: Place) -> Reading:
    """`train/<class>/Training_1.jpg`, `test/<class>/PublicTest_1.jpg`: the file name tells the split."""
    splits = {place.base / split: split for split in ("train", "test")}
    reading = _read_class_folders(place, splits, NAMED_CLASSES)
    names = [path.rpartition("/")[2].partition("_")[0].lower() for path in reading.samples["path"].to_list()]
    named = pd.Series([FER2013_USAGE.get(name, "") for name in names], dtype="str")
    split, unnamed = reading.samples["split"], named == ""
    moved = int((~unnamed & ((named == "train") != (split == "train"))).sum())
    lost = int((unnamed & (split == "test")).sum())
    reading.samples["split"] = named.mask(unnamed, split)
    if moved:
        reading.notes.append(f"{moved} pictures lie in another folder than their name says; the name counts")
    if lost:
        reading.notes.append(
            f"{lost} test pictures do not say PublicTest_ or PrivateTest_ in their name: all of them are "
            "test, and validation has to come from training; results differ from the official split"
        )
    return reading


# ---------------------------------------------------------------- plain class folders


def _read_plain_folders(place: Place) -> Reading:
    """train/, val/, test/ of class folders; train/ or the class folders alone have no official split."""
    names = [name for name in visible_folders(place.base) if name.lower() in SPLIT_OF_NAME]
    splits = {place.base / name: SPLIT_OF_NAME[name.lower()] for name in names}
    official = set(splits.values()) - {"train"}
    dead = [
        row | {"split": SPLIT_OF_NAME[row["path"].rpartition("/")[2].lower()]}
        for row in dead_entries(place.base, SPLIT_OF_NAME, place)
    ]
    reading = _read_class_folders(
        place, splits if official else dict.fromkeys(splits or [place.base], ""), NAMED_CLASSES
    )
    reading.rejected += dead
    if not official:
        reading.notes.append("no folder val/ or test/: both sets are taken from all pictures")
    elif "test" not in official:
        reading.notes.append("no folder test/: this dataset has no test set")
    return reading


def _read_class_folders(place: Place, splits: Mapping[Path, str], classes: Mapping[str, int]) -> Reading:
    """Every picture in `<folder>/<class>/`, for each folder of `splits` (folder to split)."""
    reading, rows = Reading(pd.DataFrame()), []
    for folder, split in splits.items():
        reading.rejected += dead_entries(folder, classes, place, split)
        for name in visible_folders(folder):
            label = classes.get(name.strip().lower())
            paths, unusable = _class_pictures(place, folder / name, split)
            reading.rejected += unusable
            if label is None:
                reason = f"class folder {name!r} is not one of {', '.join(classes)}"
                reading.rejected += [reject(f"{place.name}/{path}", path, reason, split=split) for path in paths]
            elif paths:
                rows += [(path, label, split) for path in paths]
            elif not unusable:
                reading.notes.append(f"class folder {place.relative(folder / name)}/ holds no picture")
    reading.samples = pd.DataFrame(rows, columns=["path", "label", "split"])
    return reading


def _class_pictures(place: Place, folder: Path, split: str) -> tuple[list[str], list[dict[str, str]]]:
    """Paths of the pictures, and rejected rows: a folder that cannot be opened, names that no table could hold."""
    prefix, paths, rejected = place.relative(folder), [], []
    try:
        names = _pictures(folder)
    except OSError as error:
        reason = f"the folder, with all that is in it, cannot be opened: {error.strerror}"
        return [], [reject(f"{place.name}/{prefix}", prefix, reason, split=split)]
    for name in names:
        shown = name.encode(errors="replace").decode()
        if shown == name:
            paths.append(f"{prefix}/{name}")
        else:
            reason = "the file name is not UTF-8; rename it"
            rejected.append(reject(f"{place.name}/{prefix}/{shown}", f"{prefix}/{shown}", reason, split=split))
    return paths, rejected


# ---------------------------------------------------------------- all layouts; the first that fits is read


@dataclass(frozen=True)
class Layout:
    """`needs`: what must lie in the root, or in a folder of it named like one of `wrappers`.

    `<class>` in `needs` is any folder named in CLASS_NAMES, ` or ` separates alternatives.
    """

    family: str  # the name in config.py
    needs: tuple[str, ...]
    wrappers: tuple[str, ...]
    read: Callable[[Place], Reading]
    boxes: bool = False  # it gives boxes of faces and their confidence


LAYOUTS = {
    "rafdb original": Layout("rafdb", (RAFDB_LABELS, "Image/aligned"), ("basic",), _read_rafdb_original),
    "rafdb kaggle": Layout("rafdb", ("train/<1..7>", "test/<1..7>"), ("dataset",), _read_rafdb_kaggle),
    "expw original": Layout("expw", (" or ".join(EXPW_LABELS),), ("expw",), _read_expw_original, boxes=True),
    "expw folders": Layout("expw", ("<class>",), ("expw-f",), _read_expw_folders),
    "fer2013 table": Layout("fer2013", (" or ".join(FER2013_TABLES),), ("fer2013",), _read_fer2013_table),
    "fer2013 folders": Layout(
        "fer2013", ("train/<class>", "test/<class>"), ("fer2013", "images"), _read_fer2013_folders
    ),
    "folders": Layout("folders", ("train/<class> or training/<class> or <class>",), ("images",), _read_plain_folders),
}


def class_folders(name: str) -> Mapping[str, int] | None:
    """The class folders that a last part of `Layout.needs` stands for; None for a plain name."""
    return {"<class>": NAMED_CLASSES, "<1..7>": RAFDB_CLASSES}.get(name)
