"""What datasets call the seven expressions and the three splits: words, numbers, or a map of one's own."""

from __future__ import annotations

from collections.abc import Mapping

from fer.layouts.emotions import ALL_EMOTIONS, EMOTIONS
from fer.layouts.label_sheets import Row

ClassMap = Mapping[str, int | None]  # name in lower case to label; None: left out on purpose

CLASS_NAMES = {
    "angry": ("angry", "anger"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "fearful", "afraid", "scared"),
    "happy": ("happy", "happiness", "joy"),
    "sad": ("sad", "sadness"),
    "surprise": ("surprise", "surprised"),
    "neutral": ("neutral", "neutrality"),
}
SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
NAMED_CLASSES = {name: EMOTIONS.index(emotion) for emotion, names in CLASS_NAMES.items() for name in names}
SPLIT_OF_NAME = {name: split for split, names in SPLIT_NAMES.items() for name in names}
# Verified in four independent readers of RAF-DB: 1 is surprise.
RAFDB_ORDER = ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral")
AFFECTNET_ORDER = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", None)  # 7 is contempt
CKPLUS_ORDER = ("neutral", "angry", None, "disgust", "fear", "happy", "sad", "surprise")  # 2 is contempt
NUMBERINGS: dict[str, dict[str, str | None]] = {
    "rafdb": {str(number): emotion for number, emotion in enumerate(RAFDB_ORDER, 1)},
    "fer2013": {str(number): emotion for number, emotion in enumerate(EMOTIONS)},
    "affectnet": {str(number): emotion for number, emotion in enumerate(AFFECTNET_ORDER)},
    "ckplus": {str(number): emotion for number, emotion in enumerate(CKPLUS_ORDER)},
}


def numbered(name: str, contempt: str | None = None) -> ClassMap:
    """The numbers of NUMBERINGS as a class map; contempt, None there, counts as the expression `contempt`."""
    return {number: label_of(emotion or contempt) for number, emotion in NUMBERINGS[name].items()}


def classes_of(row: Row) -> ClassMap:
    """The usual names, and over them those of the row's own "classes"."""
    own = {name.strip().lower(): label_of(emotion) for name, emotion in (row.classes or {}).items()}
    return {**NAMED_CLASSES, **own}


def label_of(emotion: str | None) -> int | None:
    """Index in ALL_EMOTIONS; None for a class that is left out."""
    return None if emotion is None else ALL_EMOTIONS.index(emotion)


def left_out(what: str, name: str, classes: ClassMap) -> str:
    """The reason why a row of the class `name` is not used."""
    if name.strip().lower() in classes:
        return f"{what} is left out: it is none of the seven expressions"
    return f"{what} is not one of {', '.join(classes)}"
