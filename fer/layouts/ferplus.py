"""FER+: ten votes a picture of FER2013, as a table in the order of FER2013's own, or beside each picture in folders.

"FER+" in the literature is at least three different test sets, so the rule that made a label is always said.
Source of the majority rule and of the folders' names: src/ of microsoft/FERPlus. `shares` of a picture are the votes
that the rule counts for the expressions in use over their sum: soft labels, where SOFT_LABELS asks for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fer.layouts.class_names import label_of
from fer.layouts.emotions import CONTEMPT, EMOTIONS
from fer.layouts.fer2013 import FER2013_USAGE, read_fer2013_table
from fer.layouts.folders import Reading
from fer.layouts.label_sheets import CsvSheet, LabelSheet, Place
from utils import InputError

FERPLUS_VOTES = "fer2013new.csv"
VOTE_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
VOTED = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")  # the first seven, by our names
UNKNOWN = VOTE_COLUMNS.index("unknown")


def without_single_votes(votes: np.ndarray) -> np.ndarray:
    """What the official rule counts of `votes` [N, 10]."""
    return np.where(votes <= 1, 0, votes)


def majority(votes: np.ndarray) -> np.ndarray:
    """int[N], columns of `votes` [N, 10]: single votes do not count; the first needs more than half of the others' sum.

    Where none has, "unknown", as in the official code.
    """
    counted = without_single_votes(votes)
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


# Folder, split and vote file as the official script leaves them: `fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0`
FERPLUS_FOLDERS = {"FER2013Train": "train", "FER2013Valid": "val", "FER2013Test": "test"}
FERPLUS_LIST = "label.csv"


def read_ferplus(place: Place) -> Reading:
    """Pixels and Usage of FER2013's table, labels by the row's "vote_rule"."""
    pixels, sheet = read_fer2013_table(place), _vote_sheet(place)
    _refuse_shifted(place, pixels, sheet)
    sheet.make_numbers(list(VOTE_COLUMNS))
    sheet.rows["split"] = [FER2013_USAGE.get(usage.lower(), "") for usage in sheet.rows["usage"]]
    notes = _take_votes(place, [sheet])
    voted = sheet.rows.set_index(_index(sheet))
    rows = _row_numbers(pixels.samples["path"])
    kept = rows.isin(voted.index)
    found = voted.loc[rows[kept], ["label", "shares"]]
    samples = pixels.samples[kept].assign(label=found["label"].to_numpy(), shares=found["shares"].to_numpy())
    return Reading(samples.reset_index(drop=True), [*pixels.rejected, *sheet.rejected], notes)


def read_ferplus_folders(place: Place) -> Reading:
    """`FER2013Train/fer0000000.png`, `FER2013Valid/`, `FER2013Test/`, each with its label.csv of votes."""
    sheets = []
    for folder, split in FERPLUS_FOLDERS.items():
        if (place.base / folder / FERPLUS_LIST).exists():
            sheet = _list_of(place, place.base / folder)
            sheet.rows = sheet.rows.assign(
                split=split, path=f"{place.relative(place.base / folder)}/" + sheet.rows["path"]
            )
            sheet.make_numbers(list(VOTE_COLUMNS))
            sheets.append(sheet)
    notes = _take_votes(place, sheets)
    samples = pd.concat([sheet.rows for sheet in sheets], ignore_index=True)[["path", "label", "split", "shares"]]
    return Reading(samples, [row for sheet in sheets for row in sheet.rejected], notes)


def _list_of(place: Place, folder: Path) -> LabelSheet:
    """The lines of a label.csv, which has no header; a line without a picture's name is rejected."""
    columns = ("path", "box", *VOTE_COLUMNS)
    sheet = CsvSheet(place, folder / FERPLUS_LIST, {name: (name,) for name in columns}, columns, header=columns)
    sheet.reject(sheet.rows["path"] == "", "no name of a picture")
    return sheet


def _take_votes(place: Place, sheets: Sequence[LabelSheet]) -> list[str]:
    """Give the rows of each sheet a `label` and `shares`, reject those without; returns notes."""
    rule, contempt = place.row.vote_rule, place.row.contempt
    notes = [f"labels from votes by the rule {rule!r}"]
    every = pd.concat([sheet.rows for sheet in sheets], ignore_index=True)
    votes = every[list(VOTE_COLUMNS)].to_numpy(dtype=float).reshape(-1, len(VOTE_COLUMNS))
    notes += _ties(place, votes) + _unexpected(place, every.assign(chosen=_chosen(votes, rule)))
    for sheet in sheets:
        votes = sheet.rows[list(VOTE_COLUMNS)].to_numpy(dtype=float).reshape(-1, len(VOTE_COLUMNS))
        sheet.rows["chosen"] = _chosen(votes, rule)
        sheet.rows["shares"] = _shares(votes if rule == "argmax" else without_single_votes(votes), contempt)
        sheet.reject(sheet.rows["chosen"] == "unknown", "unknown by the votes, or no majority")
        sheet.reject(sheet.rows["chosen"] == "NF", "no face by the votes")
        if contempt is None:
            why = "contempt by the votes: left out, none of the seven expressions"
            sheet.reject(sheet.rows["chosen"] == "contempt", why)
        labels = {column: label_of(name) for column, name in zip(VOTE_COLUMNS, (*VOTED, contempt), strict=False)}
        sheet.rows["label"] = [labels[name] for name in sheet.rows["chosen"]]
    return notes


def _chosen(votes: np.ndarray, rule: str) -> list[str]:
    return [VOTE_COLUMNS[index] for index in VOTE_RULES[rule](votes)] if len(votes) else []


def _shares(votes: np.ndarray, contempt: str | None) -> list[str]:
    """Votes [N, 10] as shares of seven expressions (eight where contempt is one), numbers with spaces between."""
    counted = np.zeros((len(votes), len(EMOTIONS) + (contempt == CONTEMPT)))
    for column, name in enumerate((*VOTED, contempt)):
        if (label := label_of(name)) is not None:
            counted[:, label] += votes[:, column]
    shares = counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)
    return [" ".join(f"{share:.6g}" for share in row) for row in shares]


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
