"""From a dataset's folder to one row a face: which layout it has, what it holds, what had to be left out.

Nothing is decoded here. The layouts themselves, one reader each, stand in layouts/, listed in layouts/layouts.py.

Columns of `Listing.samples`:

| column | meaning |
|---|---|
| sample_id | `<dataset>/<path>`, for the faces of ExpW's photos plus `#<face id>` |
| path | what the variant raw uses, posix, relative to the root; in a table with its row, `fer2013.csv#<row>` |
| original_path | the photo to detect the face in, where `path` is only a crop of it; else "" |
| label | index in ALL_EMOTIONS; -1 in the layout without labels |
| dataset | name of the row in config.py's DATASETS |
| split | train, val or test where official; "" where the dataset has no split |
| subject, photo | key of the person, key of the source photo; "" where unknown, or one photo a face |
| box_left, box_top, box_right, box_bottom | the face in `path`, pixels, may leave it; NaN where not given |
| shares | where people voted (FER+): the share of each expression, numbers in a text; else no such column |
| confidence | of the box, as the dataset gives it (ExpW: 0 to 100); NaN where not given |
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.columns.files import LISTED, SHARES
from fer.layouts.emotions import ALL_EMOTIONS
from fer.layouts.file_states import file_states
from fer.layouts.folders import visible_folders
from fer.layouts.known_datasets import Counts, how_to_get, known_counts
from fer.layouts.label_sheets import BOX_COLUMNS, Place, Row, reject
from fer.layouts.layouts import LAYOUTS, Layout, class_folders
from fer.layouts.pictures import picture_file
from fer.machine.extras import need_extra
from fer.settings.messages import did_you_mean
from fer.settings.settings import DatasetRow
from utils import InputError

FLOAT_COLUMNS = [*BOX_COLUMNS, "confidence"]
TEXT_COLUMNS = ["sample_id", "path", "original_path", "dataset", "split", "subject", "photo"]
PARTIAL = ".partial"  # end of the name of a folder that a download is not finished in
REJECTED_COLUMNS = ["sample_id", "path", "reason", "step", "split"]


@dataclass(frozen=True)
class Listing:
    """What a dataset holds: `samples` (the columns LISTED) and `rejected` (REJECTED_COLUMNS), both 0..n-1.

    `samples` is sorted by sample_id. `rejected` has step "in file" (a line or file that cannot be used)
    or "confidence", and split as far as it is known. `layout` is a key of LAYOUTS, `notes` is what a user should know,
    `expected_counts` the known number of rows per split ("" where there is none) and emotion.
    """

    samples: pd.DataFrame
    rejected: pd.DataFrame
    layout: str
    notes: list[str]
    expected_counts: Counts | None


def read_dataset(name: str, row: DatasetRow, root: Path) -> Listing:
    """List the dataset `name` that lies in `root`, without opening a picture.

    Raises InputError if the folder has no layout of `row.layout`, a package for it is not installed, or nothing in it
    can be used.
    """
    layout, base = find_layout(name, row, root)
    need_packages(row.layout)
    place = Place(name, row, root, base)
    reading = LAYOUTS[layout].read(place)
    expected = None if row.sample else reading.expected or known_counts(row.layout)
    every = _complete(reading.samples, place)
    present, absent = _take_out_unreadable(every, root)
    samples, doubtful = _apply_confidence(present, row.min_confidence)
    rejected = pd.DataFrame([*reading.rejected, *absent, *doubtful], columns=REJECTED_COLUMNS)
    if samples.empty:
        why = "; ".join(rejected["reason"].head(3)) or "no picture in it"
        raise InputError(f"{name}: no row of {base} (read as {layout}) can be used, {len(rejected)} rejected: {why}.")
    notes = [*reading.notes, *_other_layouts(place, layout), *_compare(every, expected)]
    notes += _missing_columns(row, samples)
    return Listing(samples, rejected, layout, [f"{name}: {note}" for note in notes], expected)


def find_layout(name: str, row: DatasetRow, root: Path) -> tuple[str, Path]:
    """The key in LAYOUTS that fits `root`, and the folder where it begins; the first fit wins.

    Raises InputError saying what was looked for where, what is there instead, and what would fit.
    """
    if not root.is_dir() or not any(not entry.name.startswith(".") for entry in root.iterdir()):
        raise InputError(f"{name}: {root} {_state(root)}{_unfinished(name, root)} {_ways_out(name, row)}")
    if root.name.endswith(PARTIAL):
        raise InputError(f"{name}: {root} is an unfinished download. Give the path without {PARTIAL}.")
    found = fitting_layouts(root, row.layout, row)
    if not found:
        raise InputError(_wrong_layout(name, row, root))
    return found[0]


def need_packages(family: str) -> None:
    """Raises InputError naming the extra of pyproject.toml without which a "layout" cannot be read."""
    for extra, *modules in {layout.extra for layout in LAYOUTS.values() if layout.family == family and layout.extra}:
        need_extra(extra, *modules)


def missing_datasets(active: Mapping[str, tuple[DatasetRow, Path]]) -> list[str]:
    """One problem for each active dataset (name to row and root) that is absent or has a wrong layout."""
    problems = []
    for name, (row, root) in active.items():
        try:
            find_layout(name, row, root)
        except InputError as error:
            problems += error.problems
    return problems


# ---------------------------------------------------------------- finding the layout


def fitting_layouts(root: Path, family: str | None = None, row: Row | None = None) -> list[tuple[str, Path]]:
    """Key and base folder of each layout that fits (of one family, or of all), in the order of LAYOUTS."""
    found = []
    for key, layout in LAYOUTS.items():
        if family in (None, layout.family):
            inner = _wrappers(root, layout)
            bases = [root, *inner, *(base for folder in inner for base in _wrappers(folder, layout))]
            fits = [base for base in bases if all(_holds(base, need, row) for need in layout.needs)]
            found += [(key, base) for base in fits[:1]]
    return found


def _wrappers(folder: Path, layout: Layout) -> list[Path]:
    return [folder / name for name in visible_folders(folder) if name.lower() in layout.wrappers]


def _holds(base: Path, need: str, row: Row | None) -> bool:
    return any(_holds_one(base, alternative, row) for alternative in need.split(" or "))


def _holds_one(base: Path, path: str, row: Row | None) -> bool:
    folder, _, last = path.rpartition("/")
    classes = class_folders(last, row)
    if classes is None and set(last) & set("*?["):
        present = [entry.name.lower() for entry in (base / folder).iterdir()] if (base / folder).is_dir() else []
        return any(fnmatchcase(name, last.lower()) for name in present if not name.startswith("."))
    if classes is None:
        return (base / path).exists()
    return any(name.strip().lower() in classes for name in visible_folders(base / folder))


def _state(root: Path) -> str:
    if root.is_dir():
        return "is an empty folder."
    if root.exists():
        return "is a file; give the folder that holds it."
    others = [folder for folder in visible_folders(root.parent) if not folder.endswith(PARTIAL)]
    return f"does not exist.{did_you_mean(root.name, others)}"


def partial_folder(root: Path) -> Path:
    """Where a download of the dataset that belongs into `root` goes until it is whole."""
    return root.with_name(root.name + PARTIAL)


def _unfinished(name: str, root: Path) -> str:
    if not partial_folder(root).is_dir():
        return ""
    return f" An unfinished download lies beside it: python main.py --download {name} goes on."


def _wrong_layout(name: str, row: DatasetRow, root: Path) -> str:
    lines = [f'{name}: {root} does not have a layout of the family "{row.layout}". Looked for:']
    for key, layout in LAYOUTS.items():
        if layout.family == row.layout:
            lines.append(f"  {key}: {_searched(layout)}")
    entries = sorted(entry.name for entry in root.iterdir() if not entry.name.startswith("."))
    more = f" and {len(entries) - 10} more" if len(entries) > 10 else ""
    lines.append(f"  Found instead: {', '.join(entries[:10])}{more}.")
    others = {LAYOUTS[key].family for key, _ in fitting_layouts(root) if LAYOUTS[key].labelled}
    lines += [f'  It has a layout of the family "{family}": correct "layout" in DATASETS?' for family in sorted(others)]
    return "\n".join([*lines, f"  {_ways_out(name, row)}"])


def _searched(layout: Layout) -> str:
    places = ", ".join(["this folder", *(f"{wrapper}/ in it (any case)" for wrapper in layout.wrappers)])
    return f"{' and '.join(layout.needs)}, in {places}"


def _ways_out(name: str, row: DatasetRow) -> str:
    return (
        f"To get it: {how_to_get(row.layout)} Or correct its path in DATASETS, "
        f'or take "{name}" out of ACTIVE_DATASETS (in config.py, or in the file given with --config).'
    )


def _other_layouts(place: Place, chosen: str) -> list[str]:
    others = [key for key, _ in fitting_layouts(place.root, place.row.layout, place.row) if key != chosen]
    return [f"read as {chosen}; also there, and not read: {', '.join(others)}"] if others else []


# ---------------------------------------------------------------- from a reading to a listing


def _complete(samples: pd.DataFrame, place: Place) -> pd.DataFrame:
    """Fill the columns that the reader left out, put all in order, sort."""
    ids = [f"{place.name}/{path}" for path in samples["path"].to_list()]
    filled: dict[str, Any] = dict.fromkeys(FLOAT_COLUMNS, np.nan)
    filled |= {"sample_id": ids, "original_path": "", "split": "", "subject": "", "photo": ""}
    absent = {column: value for column, value in filled.items() if column not in samples}
    if place.row.subject is not None:
        samples = samples.assign(subject=_subjects(samples["path"], place))
        absent.pop("subject", None)
    also = [SHARES] if SHARES in samples else []
    samples = samples.assign(dataset=place.name, **absent)[[*LISTED, *also]]
    types = dict.fromkeys([*TEXT_COLUMNS, *also], "str") | dict.fromkeys(FLOAT_COLUMNS, "float64") | {"label": "int64"}
    return samples.astype(types).sort_values("sample_id", ignore_index=True)


def _subjects(paths: pd.Series, place: Place) -> pd.Series:
    """The person in each file name, by the pattern of the dataset's row. Raises InputError where one has none."""
    pattern = str(place.row.subject)
    found = paths.str.rsplit("/", n=1).str[-1].str.extract(pattern, expand=False)
    if found.isna().any():
        raise InputError(
            f'{place.name}: "subject" = {pattern!r} finds nobody in {int(found.isna().sum())} file names, '
            f"{paths[found.isna()].iloc[0]} for one. Correct the pattern in DATASETS."
        )
    return found


def _take_out_unreadable(samples: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Take out the rows whose picture is anything but a file that may be read; a photo behind a crop may be."""
    files = samples["path"].map(picture_file)
    states = file_states(root, set(files))
    problems = files.map({file: state.problem for file, state in states.items()})
    bad = samples[problems != ""]
    rows = zip(bad["sample_id"], bad["path"], problems[bad.index], bad["split"], strict=True)
    rejected = [reject(sample_id, path, problem, split=split) for sample_id, path, problem, split in rows]
    return samples[problems == ""].reset_index(drop=True), rejected


def _apply_confidence(samples: pd.DataFrame, least: float) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    low = samples["confidence"] < least  # false where no confidence is given
    rejected = [
        reject(sample_id, path, f"confidence {value:g} is below min_confidence = {least:g}", "confidence", split)
        for sample_id, path, value, split in zip(
            *(samples.loc[low, column] for column in ("sample_id", "path", "confidence", "split")), strict=True
        )
    ]
    return samples[~low].reset_index(drop=True), rejected


def _missing_columns(row: DatasetRow, samples: pd.DataFrame) -> list[str]:
    notes = []
    if row.faces == "box" and samples["box_left"].isna().all():
        notes.append('faces = "box", but this layout gives no boxes: faces = "cropped" is meant')
    if row.min_confidence > 0 and samples["confidence"].isna().all():
        notes.append(f"min_confidence = {row.min_confidence:g} has no effect: this layout gives no confidence")
    return notes


def count_differences(rows: pd.DataFrame, known: Mapping[str, int]) -> list[str]:
    """The classes of one split that are not as many as known: "happy 12 of 4772"."""
    counts = rows["label"].value_counts()
    found = {emotion: int(counts.get(label, 0)) for label, emotion in enumerate(ALL_EMOTIONS)}
    return [f"{name} {n} of {known.get(name, 0)}" for name, n in found.items() if n != known.get(name, 0)]


def _compare(samples: pd.DataFrame, expected: Counts | None) -> list[str]:
    """A note for each split whose classes differ from the known counts."""
    notes = []
    for split, known in (expected or {}).items():
        rows = samples[samples["split"] == split]
        if differing := count_differences(rows, known):
            total = f"{len(rows)} rows where {sum(known.values())} are known"
            notes.append(f"{split or 'all'}: {total}; {', '.join(differing)}")
    return notes


# ---------------------------------------------------------------- freshness of caches


def listing_signature(listing: Listing, root: Path) -> str:
    """32 hex digits over each row's text, label and box, and each picture file's size, time of change and whether
    it can be read.

    The same until a file or a label file's meaning changes; different for a copy made elsewhere.
    """
    samples = listing.samples
    digest = hashlib.blake2b(digest_size=16)
    for column in (*TEXT_COLUMNS, *([SHARES] if SHARES in samples else [])):
        digest.update("\0".join(samples[column].to_list()).encode() + b"\n")
    digest.update(samples["label"].to_numpy(np.int64).tobytes())
    digest.update(samples[BOX_COLUMNS].to_numpy(np.float64).tobytes())
    files = {picture_file(path) for path in samples["path"].to_list()}
    files |= set(samples["original_path"].to_list()) - {""}
    for file, state in file_states(root, files).items():
        digest.update(f"{file}\0{state.size}\0{state.mtime_ns}\0{state.problem}\n".encode())
    return digest.hexdigest()
