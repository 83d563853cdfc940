"""FER+: ten votes a picture of FER2013, in fer2013new.csv, in the order of FER2013's own table of pixels.

"FER+" in the literature is at least three different test sets, so the rule that made a label is always said.
Source of the majority rule: src/ferplus.py of microsoft/FERPlus.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from fer.layouts.emotions import EMOTIONS
from fer.layouts.fer2013 import FER2013_USAGE, read_fer2013_table
from fer.layouts.folders import Reading
from fer.layouts.label_sheets import CsvSheet, Place
from utils import InputError

FERPLUS_VOTES = "fer2013new.csv"
VOTE_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
VOTED = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")  # the first seven, by our names
UNKNOWN = VOTE_COLUMNS.index("unknown")


def majority(votes: np.ndarray) -> np.ndarray:
    """int[N], columns of `votes` [N, 10]: single votes do not count; the first needs more than half of the others' sum.

    Where none has, "unknown", as in the official code.
    """
    counted = np.where(votes <= 1, 0, votes)
    return np.where(counted.max(axis=1) > counted.sum(axis=1) / 2, counted.argmax(axis=1), UNKNOWN)


def most_votes(votes: np.ndarray) -> np.ndarray:
    """int[N], columns of `votes` [N, 10]: plain arg-max; of equals the first column."""
    return votes.argmax(axis=1)


VOTE_RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"majority": majority, "argmax": most_votes}
# Pictures with one of eight expressions, contempt among them, computed from the owners' file.
KNOWN_KEPT = {
    "majority": {"train": 25060, "val": 3199, "test": 3153},
    "argmax": {"train": 28389, "val": 3553, "test": 3546},
}


def read_ferplus(place: Place) -> Reading:
    """Pixels and Usage of FER2013's table, labels by the row's "vote_rule"; contempt is left out."""
    pixels, sheet = read_fer2013_table(place), _vote_sheet(place)
    _refuse_shifted(place, pixels, sheet)
    sheet.make_numbers(list(VOTE_COLUMNS))
    votes = sheet.rows[list(VOTE_COLUMNS)].to_numpy(dtype=float).reshape(-1, len(VOTE_COLUMNS))
    chosen = VOTE_RULES[place.row.vote_rule](votes) if len(votes) else np.zeros(0, dtype=int)
    sheet.rows["chosen"] = [VOTE_COLUMNS[index] for index in chosen]
    sheet.rows["split"] = [FER2013_USAGE.get(usage.lower(), "") for usage in sheet.rows["usage"]]
    notes = [f"labels from votes by the rule {place.row.vote_rule!r}; soft labels are not used"]
    notes += _ties(place, votes) + _unexpected(place, sheet.rows)
    sheet.reject(sheet.rows["chosen"] == "unknown", "unknown by the votes, or no majority")
    sheet.reject(sheet.rows["chosen"] == "NF", "no face by the votes")
    sheet.reject(sheet.rows["chosen"] == "contempt", "contempt by the votes: left out, none of the seven expressions")
    labels = {column: EMOTIONS.index(name) for column, name in zip(VOTE_COLUMNS, VOTED, strict=False)}
    known = pd.Series([labels[name] for name in sheet.rows["chosen"]], index=_index(sheet), dtype="int64")
    rows = _row_numbers(pixels.samples["path"])
    voted = rows.isin(known.index)
    samples = pixels.samples[voted].assign(label=known.loc[rows[voted]].to_numpy())
    return Reading(samples.reset_index(drop=True), [*pixels.rejected, *sheet.rejected], notes)


def _vote_sheet(place: Place) -> CsvSheet:
    names = {"usage": ("Usage",)} | {column: (column,) for column in VOTE_COLUMNS}
    return CsvSheet(place, place.base / FERPLUS_VOTES, names, tuple(names))


def _index(sheet: CsvSheet) -> pd.Index:
    return pd.Index(sheet.rows["line"].astype(int) - 2)


def _row_numbers(paths: pd.Series) -> pd.Series:
    return paths.str.rpartition("#")[2].astype(int)


def _refuse_shifted(place: Place, pixels: Reading, sheet: CsvSheet) -> None:
    """The two tables are joined by row alone, so they must have as many rows, of the same Usage each."""
    counts = [len(pixels.samples) + len(pixels.rejected), len(sheet.rows) + len(sheet.rejected)]
    if counts[0] != counts[1]:
        raise InputError(
            f"{place.name}: {place.base / FERPLUS_VOTES} has {counts[1]} rows and FER2013's table {counts[0]}: they "
            "belong together row by row. Put the owners' two files there, unchanged."
        )
    votes = pd.Series(sheet.rows["usage"].str.lower().map(FER2013_USAGE).to_numpy(), index=_index(sheet))
    rows = _row_numbers(pixels.samples["path"])
    split = pd.Series(pixels.samples["split"].to_numpy(), index=rows.to_numpy())
    both = split.index.intersection(votes.index)
    wrong = both[(split[both] != votes[both]).to_numpy()]
    if len(wrong):
        raise InputError(
            f"{place.name}: line {wrong[0] + 2} has another Usage in {FERPLUS_VOTES} than in FER2013's table "
            f"({len(wrong)} such rows): one file is sorted otherwise. Put the owners' two files there, unchanged."
        )


def _ties(place: Place, votes: np.ndarray) -> list[str]:
    if place.row.vote_rule != "argmax" or not len(votes):
        return []
    ties = int(((votes == votes.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
    return [f"{ties} pictures have two or more expressions with equal votes; the first column of the table wins"]


def _unexpected(place: Place, rows: pd.DataFrame) -> list[str]:
    kept = rows.loc[~rows["chosen"].isin(["unknown", "NF"]), "split"].value_counts()
    known = KNOWN_KEPT[place.row.vote_rule]
    return [
        f"{split}: {kept.get(split, 0)} pictures with an expression, contempt among them, where {count} are known"
        for split, count in known.items()
        if kept.get(split, 0) != count
    ]
