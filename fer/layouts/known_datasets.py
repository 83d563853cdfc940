"""The public datasets this project reads: where each comes from, under which terms, and how many faces it holds.

The one table behind `--check`, `--download`, the messages about a missing folder, and docs/datasets.md. What nobody
here has verified says "unknown". --download fetches what needs no request; where a dataset has to be requested, copies
that others have put up are named, but their right to do so is unknown: a row of DATASETS has to ask for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fer.layouts.class_names import AFFECTNET_ORDER, RAFDB_ORDER
from fer.layouts.emotions import EMOTIONS

Counts = Mapping[str, Mapping[str, int]]  # rows per split ("" where there is none) and emotion
UNKNOWN = "unknown"


@dataclass(frozen=True)
class KnownDataset:
    """`ask`: how its owners give it; `put`: what has to lie in its folder; `source`: what --download fetches, or "".

    `copies`: where others have put it up; `megabytes`: of its pictures unpacked, None where nobody here has seen all.
    """

    title: str
    page: str
    terms: str
    ask: str
    put: str
    source: str = ""
    copies: str = ""
    megabytes: int | None = None
    counts: Counts | None = None

    @property
    def how_to_get(self) -> str:
        """All of it in one sentence or two."""
        copies = f" Copies that others have put up, with what right is unknown: {self.copies}." if self.copies else ""
        return f"{self.title}: {self.ask} ({self.page}; terms: {self.terms}); {self.put}.{copies}"


def _per_emotion(*counts: int, order: tuple[str | None, ...] = EMOTIONS) -> dict[str, int]:
    return {str(emotion): count for emotion, count in zip(order, counts, strict=False)}


# Kaggle jonathanoheix/face-expression-recognition-dataset: FER2013's pictures, split anew; counted
RESPLIT_COUNTS = {
    "train": _per_emotion(3993, 436, 4103, 7164, 4938, 3205, 4982),
    "val": _per_emotion(960, 111, 1018, 1825, 1139, 797, 1216),
}
# With contempt (3,750) 287,651, as the owners state; 500 a class in validation, which serves as test set.
AFFECTNET_COUNTS = {
    "train": _per_emotion(74874, 134415, 25459, 14090, 6378, 3803, 24882, order=AFFECTNET_ORDER),
    "test": _per_emotion(*[500] * 7, order=AFFECTNET_ORDER),
}
AFFECTNET_CONTEMPT = {"train": 3750, "test": 500}
AFFECTNET_CONTEMPT_2021 = {"train": 3750, "test": 499}  # of the files of 2021 there are 3,999 in validation
# Of 10 women; the sum, 213, is the owners'.
JAFFE_COUNTS = _per_emotion(30, 29, 32, 31, 31, 30, 30)
CK48_COUNTS = _per_emotion(135, 177, 75, 207, 84, 249, 0)
CK48_CONTEMPT = 54

# By "layout" in DATASETS. Counts: RAF-DB: training log of TCC-FER; ExpW: its authors; FER2013: counted, and the sums
# over splits are those of its authors.
KNOWN_DATASETS = {
    "rafdb": KnownDataset(
        "RAF-DB (basic)", "whdeng.cn/RAF/model1.html",
        "research; its owners' later sets add: not commercial, no further copies",
        "its authors (Li and Deng, BUPT) give it on request; which form: unknown, see the page",
        "unpack basic/ there, or DATASET/ of the copy",
        copies="Kaggle shuvoalok/raf-db-dataset",
        counts={"train": _per_emotion(1290, 281, 717, 4772, 1982, 705, 2524, order=RAFDB_ORDER),
                "test": _per_emotion(329, 74, 160, 1185, 478, 162, 680, order=RAFDB_ORDER)},
    ),
    "expw": KnownDataset(
        "ExpW", "mmlab.ie.cuhk.edu.hk/projects/socialrelation", UNKNOWN,
        "its authors (Zhang et al., CUHK) offer origin.7z.001 to .008 and label.lst on the page",
        "unpack origin.7z.001 to .008 into image/origin/ and put label.lst into label/, or take Expw-F/ of the copy",
        copies="Kaggle mohammedaaltaha/expwf",
        counts={"": _per_emotion(3671, 3995, 1088, 30537, 10559, 7060, 34883)},
    ),
    "fer2013": KnownDataset(
        "FER2013",
        "kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge", UNKNOWN,
        "Kaggle offers it to whoever has an account",
        "put train/ and test/ of Kaggle msambare/fer2013 there, or fer2013.csv or icml_face_data.csv of the challenge",
        source="kaggle:msambare/fer2013", megabytes=68,
        counts={"train": _per_emotion(3995, 436, 4097, 7215, 4830, 3171, 4965),
                "val": _per_emotion(467, 56, 496, 895, 653, 415, 607),
                "test": _per_emotion(491, 55, 528, 879, 594, 416, 626)},
    ),
    "ferplus": KnownDataset(
        "FER+", "github.com/microsoft/FERPlus", "of the votes: MIT licence; of the pictures: FER2013's",
        "fer2013new.csv lies in the repository", "put it beside fer2013.csv of the FER2013 challenge",
    ),
    "fer2013_resplit": KnownDataset(
        "FER2013 split anew", "kaggle.com/datasets/jonathanoheix/face-expression-recognition-dataset", UNKNOWN,
        "Kaggle offers it to whoever has an account", "put images/ there",
        source="kaggle:jonathanoheix/face-expression-recognition-dataset", megabytes=68, counts=RESPLIT_COUNTS,
    ),
    "affectnet": KnownDataset(
        "AffectNet", "mohammadmahoor.com/pages/databases/affectnet", "research only",
        "a lab manager or professor signs the licence agreement and sends it with the request form of the page; "
        "students ask their supervisor",
        "put Manually_Annotated_Images/ with training.csv and validation.csv there, or train_set/ and val_set/",
        counts=AFFECTNET_COUNTS,
    ),
    "affwild2": KnownDataset(
        "Aff-Wild2", "sites.google.com/view/dimitrioskollias/databases/aff-wild2", "research, by its EULA",
        "somebody with a permanent academic position signs the EULA of the page and mails it from an academic address",
        "put cropped_aligned/ and EXPR_Classification_Challenge/ there",
    ),
    "jaffe": KnownDataset(
        "JAFFE", "zenodo.org/records/3451524", "scientific research, not commercial; cite the source",
        "request access on the page, following its instructions", "put its .tiff files there",
        counts={"": JAFFE_COUNTS},
    ),
    "kdef": KnownDataset(
        "KDEF", "kdef.se", "researchers only, not commercial, never passed on",
        "download it on the page; whether it asks for a form: unknown", "put KDEF_and_AKDEF/ there",
    ),
    "ckplus": KnownDataset(
        "CK+", f"page: {UNKNOWN}", UNKNOWN,
        "its authors (Cohn et al., Pittsburgh) give it on request; which form: unknown",
        "unpack cohn-kanade-images/ and Emotion/ there, or CK+48/ of the copy",
        copies="Kaggle shawon10/ckplus",
    ),
    "mmi": KnownDataset(
        "MMI", f"page: {UNKNOWN}", UNKNOWN,
        "its owners (Pantic, Valstar et al.) give it on request; which form: unknown",
        "put Sessions/ there, a folder a session",
    ),
}  # fmt: skip
OWN_LAYOUTS = {
    "folders": "put pictures into train/<class>/, val/<class>/ and test/<class>/; other names of classes, or numbers, "
    'go into "classes" of its row of DATASETS, as {"1": "surprise"}',
    "train_folders": "put pictures into train/<class>/ or <class>/, as Kaggle mejiaescobarchris/"
    "fer-stable-diffusion-dataset is said to hold them (its layout was not seen here)",
    "parquet": 'write "source": "huggingface:owner/name" into its row of DATASETS and let --download fetch it, or put '
    "the repository's parquet files there; those of one subset, if it has several",
    "pictures": "put pictures into it, in folders of any name",
    "csv": "put a table with the columns path and label (and if known split, subject, box_left, box_top, box_right, "
    "box_bottom) beside the pictures",
}


def with_contempt(counts: Counts, emotion: str | None, contempt: Mapping[str, int]) -> Counts:
    """Counts where contempt (rows by split) counts as `emotion`; as they are where it is left out."""
    if emotion is None:
        return {split: {**found} for split, found in counts.items()}
    return {split: {**found, emotion: found.get(emotion, 0) + contempt[split]} for split, found in counts.items()}


def how_to_get(layout: str) -> str:
    """In a sentence or two: where the dataset of a row with this "layout" comes from, and what has to lie there."""
    known = KNOWN_DATASETS.get(layout)
    return known.how_to_get if known else OWN_LAYOUTS.get(layout, "put it there as its owners ship it") + "."


def known_counts(layout: str) -> Counts | None:
    """Rows per split and emotion of a whole copy; None where they depend on more than the layout, or are unknown."""
    known = KNOWN_DATASETS.get(layout)
    return known.counts if known else None


def datasets_table() -> str:
    """The table of docs/datasets.md."""
    lines = ["| layout | dataset, page | terms | how to get it | faces | --download |", "|---|---|---|---|---|---|"]
    for layout, known in KNOWN_DATASETS.items():
        faces = f"{sum(sum(of.values()) for of in known.counts.values()):,}" if known.counts else UNKNOWN
        source = known.source.replace(":", " ", 1) or "no"
        copies = f" Copies by others: {known.copies}." if known.copies else ""
        what = f"{known.title}: {known.page}"
        lines.append(f"| `{layout}` | {what} | {known.terms} | {known.ask}.{copies} | {faces} | {source} |")
    return "\n".join(lines)
