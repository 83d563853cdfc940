"""Folders on disk: pictures by their suffix, class folders by their name, and what a reader hands back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fer.layouts.class_names import ClassMap, left_out
from fer.layouts.file_states import file_state
from fer.layouts.label_sheets import Place, reject
from utils import InputError

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm",
)  # fmt: skip


@dataclass
class Reading:
    """What a reader hands back: tables with some or all columns of Listing's, in any order."""

    samples: pd.DataFrame
    rejected: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    expected: Mapping[str, Mapping[str, int]] | None = None  # known rows per split and emotion, where the row tells


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


def visible_files(folder: Path) -> list[str]:
    """Names of the files in `folder`, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file() and not entry.name.startswith("."))


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


def pictures(folder: Path) -> list[str]:
    """Names of the picture files in `folder`, by suffix; editor backups and ._ files are left out."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES)]
    return sorted(name for name in names if not name.startswith("."))


def pictures_below(place: Place, folder: Path) -> list[str]:
    """Paths relative to the root of all pictures in `folder` and the folders in it, sorted."""
    found = [place.relative(folder / name) for name in pictures(folder)]
    for name in visible_folders(folder):
        found += pictures_below(place, folder / name)
    return found


def picture_index(place: Place, *folders: str) -> dict[str, str]:
    """File name to path relative to the root, over several folders; the first that has a name wins."""
    index: dict[str, str] = {}
    for folder in reversed(folders):
        prefix = place.relative(place.base / folder)
        try:
            names = pictures(place.base / folder)
        except OSError as error:
            raise InputError(f"{place.name}: {place.base / folder} cannot be opened: {error.strerror}.") from error
        index |= {name: f"{prefix}/{name}" for name in names}
    return {name.lower(): path for name, path in index.items()} | index


def look_up(index: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Paths of the named files, "" where there is none; .JPG on disk answers to .jpg in a list."""
    return [index.get(name) or index.get(name.lower(), "") for name in names]


def read_class_folders(place: Place, splits: Mapping[Path, str], classes: ClassMap) -> Reading:
    """Every picture in `<folder>/<class>/`, for each folder of `splits` (folder to split)."""
    reading, rows = Reading(pd.DataFrame()), []
    for folder, split in splits.items():
        reading.rejected += dead_entries(folder, classes, place, split)
        for name in visible_folders(folder):
            label = classes.get(name.strip().lower())
            paths, unusable = _class_pictures(place, folder / name, split)
            reading.rejected += unusable
            if label is None:
                reason = left_out(f"class folder {name!r}", name, classes)
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
        names = pictures(folder)
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
