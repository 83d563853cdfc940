"""The seven expressions and contempt: their order is the label, everywhere.

A study has the seven, or all eight where CLASSES = 8; a label means the same in both. So a name is looked up in
ALL_EMOTIONS, and how many classes there are is told by the study, the run, or the width of what it answered.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
CONTEMPT = "contempt"
ALL_EMOTIONS = (*EMOTIONS, CONTEMPT)


def class_names(count: int) -> tuple[str, ...]:
    """The names of 7 or 8 classes. Raises ValueError for other counts."""
    if count not in (len(EMOTIONS), len(ALL_EMOTIONS)):
        raise ValueError(f"{count} classes; there are {len(EMOTIONS)} or {len(ALL_EMOTIONS)}")
    return ALL_EMOTIONS[:count]


def classes_among(*labels: np.ndarray) -> tuple[str, ...]:
    """The seven names, and contempt where it is one of `labels` (int arrays; -1: no label).

    For rows and for scores over the classes present, which a class that is nowhere does not change.
    """
    with_contempt = any((np.asarray(part) == len(EMOTIONS)).any() for part in labels)
    return ALL_EMOTIONS if with_contempt else EMOTIONS


def classes_named(names: Iterable[str]) -> tuple[str, ...]:
    """The seven names, and contempt where it is among `names`."""
    return ALL_EMOTIONS if CONTEMPT in set(names) else EMOTIONS
