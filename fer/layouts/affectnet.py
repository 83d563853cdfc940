"""AffectNet: the older lists in CSV, the files of numbers of 2021, and folders 0 to 7 as Kaggle's copies have them.

Its test set is not public, so the validation set is what everybody reports: it is the test set here, and validation
is carved from training. The numbers that are no expression (none, uncertain, no face) are left out, and so is contempt
unless the row keeps it as the eighth class or counts it as another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fer.layouts.class_names import ClassMap, left_out, numbered
from fer.layouts.folders import Reading, pictures, read_class_folders
from fer.layouts.known_datasets import AFFECTNET_CONTEMPT, AFFECTNET_CONTEMPT_2021, AFFECTNET_COUNTS, with_contempt
from fer.layouts.label_sheets import BOX_COLUMNS, CsvSheet, Place, reject

AFFECTNET_IMAGES = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images")
AFFECTNET_LISTS = ("", "Manually_Annotated_file_lists/")
AFFECTNET_VAL = ("val_set", "valid_set")
LIST_COLUMNS = {
    "path": ("subDirectory_filePath",), "label": ("expression",), "left": ("face_x",), "top": ("face_y",),
    "width": ("face_width",), "height": ("face_height",),
}  # fmt: skip
NO_EXPRESSION: ClassMap = {"8": None, "9": None, "10": None}
VAL_IS_TEST = "the validation set is the test set here, as in the literature; validation is taken from training"


def _classes(place: Place) -> ClassMap:
    return {**numbered("affectnet", place.row.contempt), **NO_EXPRESSION}


def _reading(
    place: Place, samples: pd.DataFrame, rejected: list[dict[str, str]], contempt: Mapping[str, int]
) -> Reading:
    """`contempt`: how many rows of it are known, by split; they are expected where it counts as another expression."""
    expected = with_contempt(AFFECTNET_COUNTS, place.row.contempt, contempt)
    return Reading(samples, rejected, [VAL_IS_TEST], expected)


def read_affectnet_lists(place: Place) -> Reading:
    """training.csv and validation.csv: `689/<hash>.jpg`, the face's box, the number of the expression."""
    images = next(name for name in AFFECTNET_IMAGES if (place.base / name).is_dir())
    prefix, tables, rejected = place.relative(place.base / images), [], []
    for name, split in (("training.csv", "train"), ("validation.csv", "test")):
        file = next(
            place.base / f"{start}{name}" for start in AFFECTNET_LISTS if (place.base / f"{start}{name}").exists()
        )
        sheet = CsvSheet(place, file, LIST_COLUMNS, tuple(LIST_COLUMNS))
        sheet.rows["split"] = split
        _take_list(sheet, prefix, _classes(place))
        tables.append(sheet.rows)
        rejected += sheet.rejected
    return _reading(
        place,
        pd.concat(tables, ignore_index=True)[["path", "label", "split", *BOX_COLUMNS]],
        rejected,
        AFFECTNET_CONTEMPT,
    )


def _take_list(sheet: CsvSheet, prefix: str, classes: ClassMap) -> None:
    sheet.make_numbers(["left", "top", "width", "height"])
    numbers = sheet.rows["label"].to_list()
    found = [classes.get(number) for number in numbers]
    sheet.rows["why"] = [left_out(f"expression {number}", number, classes) for number in numbers]
    sheet.rows["label"] = [-1 if label is None else label for label in found]
    sheet.reject(sheet.rows["label"] == -1, "{why}")
    sheet.reject((sheet.rows["width"] <= 0) | (sheet.rows["height"] <= 0), "empty box: {width:g} x {height:g}")
    rows = sheet.rows
    sheet.rows = rows.assign(
        path=prefix + "/" + rows["path"], box_left=rows["left"], box_top=rows["top"],
        box_right=rows["left"] + rows["width"], box_bottom=rows["top"] + rows["height"],
    )  # fmt: skip
    sheet.reject_repeated(["path"])


def read_affectnet_arrays(place: Place) -> Reading:
    """`train_set/images/<id>.jpg` with `train_set/annotations/<id>_exp.npy`, a number or its text; crops."""
    rows, rejected, classes = [], [], _classes(place)
    for folder, split in (("train_set", "train"), *((name, "test") for name in AFFECTNET_VAL)):
        for name in pictures(place.base / folder / "images"):
            path = place.relative(place.base / folder / "images" / name)
            file = place.base / folder / "annotations" / f"{Path(name).stem}_exp.npy"
            label, why = _read_array(file, classes)
            if label is None:
                rejected.append(reject(f"{place.name}/{path}", path, why, split=split))
            else:
                rows.append((path, label, split))
    return _reading(place, pd.DataFrame(rows, columns=["path", "label", "split"]), rejected, AFFECTNET_CONTEMPT_2021)


def _read_array(file: Path, classes: ClassMap) -> tuple[int | None, str]:
    """The label, or None and why. Never unpickles: an array of objects is refused."""
    try:
        number = f"{float(str(np.load(file, allow_pickle=False).item())):g}"
    except (OSError, ValueError, EOFError) as error:
        return None, f"annotations/{file.name} cannot be read: {str(error)[:80] if file.exists() else 'no such file'}"
    return classes.get(number), left_out(f"expression {number}", number, classes)


def read_affectnet_folders(place: Place) -> Reading:
    """`train/0..7/` and `val/0..7/` (or test/), AffectNet's numbers; 7 is contempt."""
    names = {"train": "train", "val": "test", "valid": "test", "test": "test"}
    splits = {place.base / name: split for name, split in names.items() if (place.base / name).is_dir()}
    if (place.base / "test").is_dir() and len(splits) > 2:
        splits = {folder: "val" if folder.name.startswith("val") else split for folder, split in splits.items()}
    reading = read_class_folders(place, splits, _classes(place))
    has_own_test = (place.base / "test").is_dir()
    return Reading(reading.samples, reading.rejected, reading.notes + ([] if has_own_test else [VAL_IS_TEST]))
