"""Any folder of class folders."""

from __future__ import annotations

from fer.layouts.class_names import SPLIT_OF_NAME, classes_of
from fer.layouts.fer2013 import refuse_resplit
from fer.layouts.folders import Reading, dead_entries, read_class_folders, visible_folders
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
    if not official:
        reading.notes.append("no folder val/ or test/: both sets are taken from all pictures")
    elif "test" not in official:
        reading.notes.append("no folder test/: this dataset has no test set")
    return reading
