"""FER2013: its tables of pixels and Kaggle's folders."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from fer.layouts.class_names import NAMED_CLASSES
from fer.layouts.folders import Reading, read_class_folders
from fer.layouts.known_datasets import RESPLIT_COUNTS
from fer.layouts.label_sheets import Place, refuse_odd_table, reject
from fer.layouts.pictures import table_columns
from utils import InputError

FER2013_TABLES = ("fer2013.csv", "icml_face_data.csv")
FER2013_USAGE = {"training": "train", "publictest": "val", "privatetest": "test"}


def read_fer2013_table(place: Place) -> Reading:
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


def read_fer2013_folders(place: Place) -> Reading:
    """`train/<class>/Training_1.jpg`, `test/<class>/PublicTest_1.jpg`: the file name tells the split."""
    splits = {place.base / split: split for split in ("train", "test")}
    reading = read_class_folders(place, splits, NAMED_CLASSES)
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


# Kaggle jonathanoheix/face-expression-recognition-dataset
RESPLIT_TRAIN, RESPLIT_VAL = (28821, 28822, 28823), 7066  # copies differ by two pictures


def read_fer2013_resplit(place: Place) -> Reading:
    """`images/train/<class>/`, `images/validation/<class>/`: the Usage of each picture is lost."""
    splits = {place.base / "train": "train", place.base / "validation": "val"}
    reading = read_class_folders(place, splits, NAMED_CLASSES)
    reading.expected = RESPLIT_COUNTS
    reading.notes.append(
        "FER2013's pictures in another split: not to be compared with the official one; there is no test set"
    )
    return reading


def refuse_resplit(place: Place, samples: pd.DataFrame) -> None:
    """Raise InputError where plain class folders are that copy, by its two counts: it must not pass for another set."""
    counts = samples["split"].value_counts()
    if counts.get("train", 0) in RESPLIT_TRAIN and counts.get("val", 0) == RESPLIT_VAL:
        raise InputError(
            f"{place.name}: {place.base} has {counts['train']} and {RESPLIT_VAL} pictures: Kaggle's jonathanoheix "
            'copy, which is FER2013 split anew. Say so: "layout": "fer2013_resplit" in its row of DATASETS.'
        )
