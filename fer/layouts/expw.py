"""ExpW: label.lst with boxes beside whole photos, and Kaggle's faces cut out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from fer.layouts.class_names import NAMED_CLASSES
from fer.layouts.folders import Reading, look_up, picture_index, read_class_folders
from fer.layouts.label_sheets import BOX_COLUMNS, LabelSheet, Place
from utils import InputError

EXPW_LABELS = ("label/label.lst", "label.lst")
EXPW_PICTURES = ("image/origin", "image/origin/origin", "image", "origin", "origin/origin")
EXPW_COLUMNS = ("file", "face", "box_top", "box_left", "box_right", "box_bottom", "confidence", "label")


def read_expw_original(place: Place) -> Reading:
    """label.lst: name, face id, TOP LEFT RIGHT BOTTOM, confidence, label; several faces a photo."""
    file = next(place.base / path for path in EXPW_LABELS if (place.base / path).exists())
    index = picture_index(place, *EXPW_PICTURES)
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
    sheet.rows["path"] = look_up(index, sheet.rows["file"].to_list())
    missing = sheet.reject(sheet.rows["path"] == "", "no picture {file!r:.60} in image/origin/")
    if missing > total / 20:
        notes.append(f"{missing} of {total} faces have no picture: are origin.7z.001 to .008 all unpacked?")
    sheet.reject_repeated(["path", *BOX_COLUMNS])
    return notes


def read_expw_folders(place: Place) -> Reading:
    """`Expw-F/<class>/`: faces cut out; boxes and confidence are lost, the photo only guessed."""
    reading = read_class_folders(place, {place.base: ""}, NAMED_CLASSES)
    reading.samples["photo"] = [expw_photo(path) for path in reading.samples["path"].to_list()]
    return reading


def expw_photo(path: str) -> str:
    """The photo a face was cut from: `angry_actor_13` for `4angry_actor_13.jpg` or `angry_actor_13_4.jpg`.

    ExpW's photos end in one number. A number glued before the name, or a second one behind it, tells
    faces of one photo apart.
    """
    photo = re.sub(r"^\d+(?=[^\W\d])", "", Path(path).stem)
    return re.sub(r"(?<=\d)_\d+$", "", photo)
