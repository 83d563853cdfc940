"""Parquet files with a picture and a label a row, as dataset repositories of Hugging Face hold them.

`data/train-00000-of-00002.parquet`, `data/test-00000-of-00001.parquet`, or `default/train/0000.parquet` as the hub
itself converts other repositories. Class names stand in the files; pictures are read where they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer.layouts.class_names import SPLIT_OF_NAME, classes_of, left_out
from fer.layouts.file_states import file_state
from fer.layouts.folders import Reading, visible_files, visible_folders
from fer.layouts.label_sheets import Place, reject
from fer.layouts.parquet_rows import features, picture_columns
from utils import InputError

if TYPE_CHECKING:
    import pyarrow as pa

LABEL_NAMES = ("label", "labels", "emotion", "expression", "class")  # "columns" in the row of DATASETS names others
SUBJECT_NAMES = ("subject", "person")
NAMED = ("path", "label", "subject")  # what "columns" may name here
PARQUET_FILES = ("*.parquet", *(f"{split}/*.parquet" for split in SPLIT_OF_NAME))


def read_parquet(place: Place) -> Reading:
    """One row a face, `<file>#<row>`; the split stands in the name of the file or of its folder."""
    odd = sorted(set(place.row.columns) - set(NAMED))
    if odd:
        raise InputError(f'{place.name}: "columns" names {", ".join(odd)}; layout "parquet" has {", ".join(NAMED)}.')
    rows = pd.concat([_rows_of(place, file) for file in _files(place.base)], ignore_index=True)
    taken, rejected = _labelled(place, rows)
    about_splits = _settle_splits(taken)
    taken, unknown = _of_known_splits(place, taken)
    notes = about_splits if place.row.role == "train" else []
    return Reading(taken.drop(columns="given"), [*rejected, *unknown], notes)


def _files(base: Path) -> list[Path]:
    folders = [base, *(base / name for name in visible_folders(base) if name.lower() in SPLIT_OF_NAME)]
    return [folder / name for folder in folders for name in visible_files(folder) if name.lower().endswith(".parquet")]


def _rows_of(place: Place, file: Path) -> pd.DataFrame:
    """Columns path, given (the label, None where there is none), subject, split. Pictures are not read."""
    from pyarrow import parquet

    problem = file_state(file).problem
    if problem:
        raise InputError(f"{place.name}: {file} {problem}.")
    try:
        with parquet.ParquetFile(file) as table:
            picture, label, subject = _columns(place, file, table.schema_arrow)
            wanted = [column for column in (label, subject) if column]
            cells = table.read(columns=wanted, use_threads=False)
            names = features(table.schema_arrow).get(label, {}).get("names")
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise InputError(
            f"{place.name}: {file} is no whole parquet file ({error}). Fetch it anew; a clone by git without LFS puts "
            "a few lines of text in its place."
        ) from error
    given = [_class_name(value, names) for value in cells.column(label).to_pylist()]
    column = f"#{picture}" if picture else ""
    digits = len(str(len(given)))  # of one length, so that rows are sorted, and read, in the order of the file
    paths = [f"{place.relative(file)}{column}#{row:0{digits}d}" for row in range(len(given))]
    subjects = ["" if who is None else str(who) for who in cells.column(subject).to_pylist()] if subject else ""
    labels = pd.Series(given, dtype=object)
    return pd.DataFrame({"path": paths, "given": labels, "subject": subjects, "split": _split_of(place, file)})


def _columns(place: Place, file: Path, schema: pa.Schema) -> tuple[str, str, str]:
    """Names of the columns: the picture's ("" for the only one), the label's, the subject's ("" for none)."""
    named, pictures = place.row.columns, picture_columns(schema)
    picture = named.get("path", "")
    label = named.get("label") or _first(schema, LABEL_NAMES)
    subject = named.get("subject") or _first(schema, SUBJECT_NAMES)
    problems = [f'no column "{named[name]}"' for name in NAMED if name in named and named[name] not in schema.names]
    if not pictures or (picture in schema.names and picture not in pictures):
        problems.append(f'no pictures in its column "{picture}"' if picture else "no column with pictures")
    elif len(pictures) > 1 and not picture:
        problems.append(f"pictures in several columns ({', '.join(pictures)})")
    if not label:
        problems.append(f"no column with labels ({' or '.join(LABEL_NAMES)})")
    if problems:
        raise InputError(
            f"{place.name}: {file} has {', '.join(problems)}; its columns are {', '.join(schema.names)[:200]}. "
            'Name them in the row of DATASETS: "columns": {"path": "…", "label": "…"}.'
        )
    return picture, label, subject


def _first(schema: pa.Schema, spellings: Iterable[str]) -> str:
    """The column called so, case ignored; "" where there is none."""
    there = {name.lower(): name for name in reversed(schema.names)}
    return next((there[name] for name in spellings if name in there), "")


def _class_name(value: Any, names: list[str] | None) -> str | None:
    """A label's name, or its number as text; None for none, which Hugging Face also writes as -1."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # whole numbers with gaps, as other programs write them
    if value is None or value != value or (names and value == -1):
        return None
    return names[value] if names and isinstance(value, int) and 0 <= value < len(names) else str(value)


def _split_of(place: Place, file: Path) -> str:
    """By the folder, or by a word in the name of the file; "" where neither says it."""
    if file.parent != place.base:
        return SPLIT_OF_NAME[file.parent.name.lower()]
    words = re.split(r"[\W_]+", file.stem.lower())
    return next((SPLIT_OF_NAME[word] for word in words if word in SPLIT_OF_NAME), "")


def _labelled(place: Place, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """The rows of the seven expressions, with `label`; the others, rejected."""
    classes, labels, rejected = classes_of(place.row), [], []
    for path, given, split in zip(rows["path"], rows["given"], rows["split"], strict=True):
        label = None if given is None else classes.get(given.strip().lower())
        if label is None:
            why = "it has no label" if given is None else left_out(f"label {given!r:.40}", given, classes)
            rejected.append(reject(f"{place.name}/{path}", path, why, split=split))
        labels.append(-1 if label is None else label)
    rows = rows.assign(label=labels)
    return rows[rows["label"] != -1].reset_index(drop=True), rejected


def _settle_splits(rows: pd.DataFrame) -> list[str]:
    """Forget the splits where all rows that can be used are training rows; what to say of the splits."""
    found = {*rows["split"]}
    if not found - {"train", ""}:
        rows["split"] = ""
        return ["no file of validation or test rows with labels: both sets are taken from all rows"]
    return [] if "test" in found else ["no row with a label is a test row: this dataset has no test set"]


def _of_known_splits(place: Place, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Without the rows of files that name no split, where others do."""
    unknown = (rows["split"] == "") & bool((rows["split"] != "").any())
    words = f"the name of its file has none of {', '.join(SPLIT_OF_NAME)}, as other files have"
    rejected = [reject(f"{place.name}/{path}", path, words) for path in rows.loc[unknown, "path"]]
    return rows[~unknown].reset_index(drop=True), rejected
