"""Any CSV with a path and a label a row; where it has them also a split, a person and a box."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from fer.layouts.class_names import SPLIT_OF_NAME, classes_of, left_out
from fer.layouts.folders import Reading, visible_files
from fer.layouts.label_sheets import BOX_COLUMNS, CsvSheet, Place
from utils import InputError

# What a header may call them; "columns" in the row of DATASETS names others.
COLUMNS = {
    "path": ("path", "image", "file", "filename", "image_path"),
    "label": ("label", "emotion", "expression", "class"),
    "split": ("split", "usage", "set"),
    "subject": ("subject", "person"),
    "left": ("box_left", "left", "face_x"),
    "top": ("box_top", "top", "face_y"),
    "right": ("box_right", "right"),
    "bottom": ("box_bottom", "bottom"),
    "width": ("box_width", "face_width"),
    "height": ("box_height", "face_height"),
}
CORNERS = ("left", "top", "right", "bottom")


def read_csv_table(place: Place) -> Reading:
    """One row a face; paths are relative to the table's folder."""
    names = COLUMNS | {name: (header,) for name, header in place.row.columns.items()}
    sheet = CsvSheet(place, _table(place), names, ("path", "label"))
    _take_labels(sheet, place)
    about_splits = _take_splits(sheet)
    notes = about_splits if place.row.role == "train" else []
    _take_paths(sheet)
    _take_boxes(sheet)
    repeated = sheet.rows.duplicated(["path", *BOX_COLUMNS])
    sheet.reject(repeated, "the same picture and box as in a line above")
    paths = sheet.rows["path"].to_list()
    number = sheet.rows.groupby("path").cumcount()
    alone = ~sheet.rows["path"].duplicated(keep=False)
    ids = [
        f"{place.name}/{path}" if single else f"{place.name}/{path}#{count}"
        for path, single, count in zip(paths, alone, number, strict=True)
    ]
    return Reading(sheet.rows.drop(columns="line").assign(sample_id=ids), sheet.rejected, notes)


def _table(place: Place) -> Path:
    if place.row.table is not None:
        return place.base / place.row.table
    tables = [name for name in visible_files(place.base) if name.lower().endswith(".csv")]
    if len(tables) > 1:
        raise InputError(
            f"{place.name}: {place.base} holds {len(tables)} tables: {', '.join(tables)[:200]}. "
            f'Say which one: "table": "{tables[0]}" in its row of DATASETS.'
        )
    return place.base / tables[0]


def _take_labels(sheet: CsvSheet, place: Place) -> None:
    classes = classes_of(place.row)
    names = sheet.rows["label"].to_list()
    labels = [classes.get(name.strip().lower()) for name in names]
    sheet.rows["why"] = [left_out(f"label {name!r:.40}", name, classes) for name in names]
    sheet.rows["label"] = [-1 if label is None else label for label in labels]
    sheet.reject(sheet.rows["label"] == -1, "{why}")
    sheet.rows = sheet.rows.drop(columns="why")


def _take_splits(sheet: CsvSheet) -> list[str]:
    """Splits by their usual names; a table that names training rows alone has no official split."""
    given = sheet.rows["split"]
    if (given == "").all():
        return ["no column that says the split: validation and test set are taken from all rows"]
    sheet.rows["given"] = given
    sheet.rows["split"] = [SPLIT_OF_NAME.get(name.strip().lower(), "") for name in given.to_list()]
    sheet.reject(sheet.rows["split"] == "", "split {given!r:.40} is not one of " + ", ".join(SPLIT_OF_NAME))
    sheet.rows = sheet.rows.drop(columns="given")
    named = {*sheet.rows["split"]}
    if named == {"train"}:
        sheet.rows["split"] = ""
        return ["every row is a training row: validation and test set are taken from all rows"]
    return [] if "test" in named else ["no row is a test row: this dataset has no test set"]


def _take_paths(sheet: CsvSheet) -> None:
    """Posix paths; what leaves the dataset's folder is refused, as a table must not name other files of the machine."""
    paths = [PurePosixPath(path.replace("\\", "/")) for path in sheet.rows["path"].to_list()]
    sheet.rows["given"] = sheet.rows["path"]
    sheet.rows["path"] = [str(path) for path in paths]
    outside = [_is_outside(path) for path in paths]
    sheet.reject(np.array(outside, dtype=bool), "{given!r:.60} is no path inside the dataset's folder")
    sheet.rows = sheet.rows.drop(columns="given")


def _is_outside(path: PurePosixPath) -> bool:
    """Absolute, of a Windows drive, upwards, empty, or with a zero byte, which no file system takes."""
    text = str(path)
    return path.is_absolute() or text[1:2] == ":" or ".." in path.parts or not path.parts or "\0" in text


def _take_boxes(sheet: CsvSheet) -> None:
    """Four corners, or a corner with width and height; a row without numbers there has no box."""
    sizes = [column for column in ("left", "top", "width", "height") if column in sheet.rows]
    corners = [column for column in CORNERS if column in sheet.rows]
    wanted = corners if len(corners) == 4 else sizes if len(sizes) == 4 else []
    without = (sheet.rows[wanted] == "").all(axis=1) if wanted else pd.Series(True, index=sheet.rows.index)
    if wanted:
        sheet.rows[wanted] = sheet.rows[wanted].mask(without, "0")
        sheet.rows["without"] = without
        sheet.make_numbers(wanted)
        without = sheet.rows.pop("without").astype(bool)
        if wanted == sizes:
            sheet.rows["right"] = sheet.rows["left"] + sheet.rows["width"]
            sheet.rows["bottom"] = sheet.rows["top"] + sheet.rows["height"]
    for column, corner in zip(BOX_COLUMNS, CORNERS, strict=True):
        sheet.rows[column] = sheet.rows[corner].mask(without) if wanted else np.nan
    empty = (sheet.rows["box_right"] <= sheet.rows["box_left"]) | (sheet.rows["box_bottom"] <= sheet.rows["box_top"])
    sheet.reject(empty, "empty box: {box_left:g} {box_top:g} {box_right:g} {box_bottom:g}")
    sheet.rows = sheet.rows.drop(columns=[name for name in (*CORNERS, "width", "height") if name in sheet.rows])
