"""Any folder of class folders, and any folder of pictures without labels."""

from __future__ import annotations

import pandas as pd

from fer.layouts.class_names import SPLIT_OF_NAME, classes_of
from fer.layouts.fer2013 import refuse_resplit
from fer.layouts.folders import Reading, dead_entries, pictures_below, read_class_folders, visible_folders
from fer.layouts.label_sheets import Place


def read_plain_folders(place: Place) -> Reading:
    """train/, val/, test/ of class folders; train/ or the class folders alone have no official split."""
    names = [name for name in visible_folders(place.base) if name.lower() in SPLIT_OF_NAME]
    splits = {place.base / name: SPLIT_OF_NAME[name.lower()] for name in names}
    official = set(splits.values()) - {"train"}
    dead = [
        row | {"split": SPLIT_OF_NAME[row["path"].rpartition("/")[2].lower()]}
        for row in dead_entries(place.base, SPLIT_OF_NAME, place)
    ]
    reading = read_class_folders(
        place, splits if official else dict.fromkeys(splits or [place.base], ""), classes_of(place.row)
    )
    reading.rejected += dead
    refuse_resplit(place, reading.samples)
    if place.row.role == "train" and not official:
        reading.notes.append("no folder val/ or test/: both sets are taken from all pictures")
    elif place.row.role == "train" and "test" not in official:
        reading.notes.append("no folder test/: this dataset has no test set")
    return reading


def read_train_folders(place: Place) -> Reading:
    """Class folders to learn from only, as of drawn or generated faces: whatever the split folder, all are training."""
    names = [name for name in visible_folders(place.base) if name.lower() in SPLIT_OF_NAME]
    folders = [place.base / name for name in names] or [place.base]
    reading = read_class_folders(place, dict.fromkeys(folders, "train"), classes_of(place.row))
    reading.notes.append("all pictures are training pictures: this dataset has no test set")
    return reading


NO_LABEL = -1


def read_pictures(place: Place) -> Reading:
    """Every picture in the folder and the folders in it; what these are called means nothing."""
    paths = pictures_below(place, place.base)
    return Reading(pd.DataFrame({"path": paths, "label": NO_LABEL}))
