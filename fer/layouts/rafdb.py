"""RAF-DB, basic expressions: the authors' archive and Kaggle's folders 1 to 7."""

from __future__ import annotations

import pandas as pd

from fer.layouts.class_names import RAFDB_ORDER
from fer.layouts.emotions import EMOTIONS
from fer.layouts.folders import Reading, look_up, picture_index, read_class_folders
from fer.layouts.label_sheets import LabelSheet, Place
from utils import InputError

RAFDB_CLASSES = {name: EMOTIONS.index(emotion) for name, emotion in zip("1234567", RAFDB_ORDER, strict=True)}
RAFDB_LABELS = "EmoLabel/list_patition_label.txt"  # the authors' spelling


def read_rafdb_original(place: Place) -> Reading:
    """`train_00001.jpg 5`; `path` is the aligned crop, `original_path` the photo if faces = "whole"."""
    sheet = LabelSheet(place, place.base / RAFDB_LABELS, ("file", "label"))
    starts = [file.partition("_")[0] if "_" in file else "" for file in sheet.rows["file"].to_list()]
    sheet.rows["split"] = [start if start in ("train", "test") else "" for start in starts]
    sheet.make_numbers(["label"])
    _refuse_compound(place, sheet.rows["label"])
    sheet.reject(~sheet.rows["label"].isin(range(1, 8)), "label {label:g} is not one of 1 to 7")
    sheet.reject(sheet.rows["split"] == "", "{file!r:.60} starts with neither train_ nor test_")
    crops = ["_aligned.".join(file.rsplit(".", 1)) for file in sheet.rows["file"].to_list()]
    sheet.rows["path"] = look_up(picture_index(place, "Image/aligned", "Image/aligned/aligned"), crops)
    sheet.reject(sheet.rows["path"] == "", "the aligned crop of {file!r:.60} is not in Image/aligned/")
    sheet.reject_repeated(["path"])
    files = sheet.rows["file"].to_list()
    samples = sheet.rows[["path", "split"]].assign(
        label=[RAFDB_CLASSES[f"{label:g}"] for label in sheet.rows["label"]],
    )
    if place.row.faces != "whole":
        return Reading(samples, sheet.rejected)
    samples["original_path"] = look_up(picture_index(place, "Image/original"), files)
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


def read_rafdb_kaggle(place: Place) -> Reading:
    """`train/1..7/`, `test/1..7/`: aligned crops, RAF-DB's numbers."""
    splits = {place.base / split: split for split in ("train", "test")}
    return read_class_folders(place, splits, RAFDB_CLASSES)
