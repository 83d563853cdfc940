"""The layouts in which datasets lie on disk, with one reader each; the first that fits is read.

A reader lists folders and parses label files; it decodes nothing. Every line of a label file and every
picture in a class folder ends in `Reading.samples` or, with a reason, in `Reading.rejected`; what a row's own
entries leave unread (other angles, frames before the last) is counted in a note. To add a
layout, write a reader (a module a family) and add its entry to LAYOUTS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fer.layouts.affectnet import (
    AFFECTNET_IMAGES,
    AFFECTNET_LISTS,
    read_affectnet_arrays,
    read_affectnet_folders,
    read_affectnet_lists,
)
from fer.layouts.affwild2 import AFFWILD2_LABELS, read_affwild2
from fer.layouts.class_folders import read_pictures, read_plain_folders, read_train_folders
from fer.layouts.class_names import NAMED_CLASSES, classes_of, numbered
from fer.layouts.csv_table import read_csv_table
from fer.layouts.expw import EXPW_LABELS, read_expw_folders, read_expw_original
from fer.layouts.fer2013 import FER2013_TABLES, read_fer2013_folders, read_fer2013_resplit, read_fer2013_table
from fer.layouts.ferplus import FERPLUS_LIST, FERPLUS_VOTES, read_ferplus, read_ferplus_folders
from fer.layouts.folders import Reading
from fer.layouts.lab_sets import CKPLUS_LABELS, CKPLUS_PICTURES, read_ck48, read_ckplus, read_jaffe, read_kdef
from fer.layouts.label_sheets import Place, Row
from fer.layouts.mmi import MMI_SESSIONS, read_mmi
from fer.layouts.parquet_table import PARQUET_FILES, read_parquet
from fer.layouts.rafdb import RAFDB_CLASSES, RAFDB_LABELS, read_rafdb_kaggle, read_rafdb_original


@dataclass(frozen=True)
class Layout:
    """`needs`: what must lie in the root, or in a folder of it named like one of `wrappers`.

    `<class>` in `needs` is any folder named in CLASS_NAMES or in the row's own "classes", ` or ` separates
    alternatives; the last part may hold * and ? and [ ], in any case.
    """

    family: str  # the name in config.py
    needs: tuple[str, ...]
    wrappers: tuple[str, ...]
    read: Callable[[Place], Reading]
    boxes: bool = False  # it gives boxes of faces and their confidence
    labelled: bool = True  # False: pictures alone, for pretraining
    has_blank: bool = False  # its owners ship pictures of one tone, which are left out
    entries: tuple[str, ...] = ()  # of its row in DATASETS, which rows of other layouts do not have
    extra: tuple[str, ...] = ()  # of pyproject.toml, and its modules, without which it cannot be read


LAYOUTS = {
    "rafdb original": Layout("rafdb", (RAFDB_LABELS, "Image/aligned"), ("basic",), read_rafdb_original),
    "rafdb kaggle": Layout("rafdb", ("train/<1..7>", "test/<1..7>"), ("dataset",), read_rafdb_kaggle),
    "expw original": Layout("expw", (" or ".join(EXPW_LABELS),), ("expw",), read_expw_original, boxes=True),
    "expw folders": Layout("expw", ("<class>",), ("expw-f",), read_expw_folders),
    "fer2013 table": Layout("fer2013", (" or ".join(FER2013_TABLES),), ("fer2013",), read_fer2013_table),
    "fer2013 folders": Layout(
        "fer2013", ("train/<class>", "test/<class>"), ("fer2013", "images"), read_fer2013_folders
    ),
    "folders": Layout(
        "folders", ("train/<class> or training/<class> or <class>",), ("images",), read_plain_folders,
        entries=("classes",),
    ),
    "pictures": Layout("pictures", ("*",), (), read_pictures, labelled=False),
    "train folders": Layout(
        "train_folders", ("train/<class> or training/<class> or <class>",), ("images", "dataset", "data"),
        read_train_folders, entries=("classes",),
    ),
    "csv": Layout("csv", ("*.csv",), (), read_csv_table, boxes=True, entries=("classes", "table", "columns")),
    "parquet": Layout(
        "parquet", (" or ".join(PARQUET_FILES),), ("data", "default"), read_parquet, entries=("classes", "columns"),
        extra=("parquet", "pyarrow"),
    ),
    "ferplus": Layout(
        "ferplus", (FERPLUS_VOTES, " or ".join(FER2013_TABLES)), ("ferplus", "fer2013"), read_ferplus,
        entries=("vote_rule", "contempt"),
    ),
    "ferplus folders": Layout(
        "ferplus", tuple(f"{folder}/{FERPLUS_LIST}" for folder in ("FER2013Train", "FER2013Test")),
        ("ferplus", "data"), read_ferplus_folders, entries=("vote_rule", "contempt"),
    ),
    "fer2013 resplit": Layout(
        "fer2013_resplit", ("train/<class>", "validation/<class>"), ("images",), read_fer2013_resplit
    ),
    "affectnet lists": Layout(
        "affectnet",
        (" or ".join(AFFECTNET_IMAGES), *(" or ".join(f"{start}{name}" for start in AFFECTNET_LISTS)
                                          for name in ("training.csv", "validation.csv"))),
        ("affectnet",), read_affectnet_lists, boxes=True, entries=("contempt",),
    ),
    "affectnet arrays": Layout(
        "affectnet", ("train_set/images", "train_set/annotations"), ("affectnet",), read_affectnet_arrays,
        entries=("contempt",),
    ),
    "affectnet folders": Layout(
        "affectnet", ("train/<0..7>", "val/<0..7> or valid/<0..7> or test/<0..7>"), ("affectnet",),
        read_affectnet_folders, entries=("contempt",),
    ),
    "affwild2": Layout(
        "affwild2", ("cropped_aligned", " or ".join(AFFWILD2_LABELS)), ("aff-wild2", "affwild2"), read_affwild2,
        entries=("every_frame",),
    ),
    "jaffe": Layout(
        "jaffe", ("[A-Z][A-Z].[A-Z][A-Z][0-9]*.*",), ("jaffe", "jaffedbase", "images"), read_jaffe
    ),
    "kdef": Layout(
        "kdef", ("[AB][FM][0-9][0-9]*",), ("kdef_and_akdef", "kdef"), read_kdef, entries=("angles",), has_blank=True,
    ),
    "ckplus original": Layout(
        "ckplus", (" or ".join(CKPLUS_PICTURES), " or ".join(CKPLUS_LABELS)), ("ck+", "ckplus"), read_ckplus,
        entries=("last_frames", "neutral_frame", "contempt"),
    ),
    "mmi": Layout("mmi", (MMI_SESSIONS,), ("mmi",), read_mmi, entries=("last_frames", "neutral_frame")),
    "ckplus 48": Layout("ckplus", ("<class>",), ("ck+48", "ck48"), read_ck48, entries=("contempt",)),
}  # fmt: skip


def class_folders(name: str, row: Row | None = None) -> Mapping[str, object] | None:
    """The class folders that a last part of `Layout.needs` stands for; None for a plain name."""
    named = classes_of(row) if row is not None else NAMED_CLASSES
    return {"<class>": named, "<1..7>": RAFDB_CLASSES, "<0..7>": numbered("affectnet")}.get(name)
