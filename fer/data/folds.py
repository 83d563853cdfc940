"""Other splits of a dataset that has no official test set: k-fold, repeated, leave one subject out.

A fold is a name in `Run.split`; everything else (keys, caches, predictions) works as for the official split.

| SPLITS | names | test rows of a fold |
|---|---|---|
| "kfold" | r0f0, r0f1, … | FOLDS disjoint parts per repeat, each about the same classes; together all rows |
| "repeated" | r0, r1, … | TEST_FRACTION of the rows, drawn anew per repeat |
| "subjects" | subject0, subject1, … | all rows of one person |

| LABEL_NOISE | noise0, noise1, … | one of NOISE_FOLDS disjoint parts of all rows but the test set, and the test set |

Whole groups (same person, photo or picture) stay together in all of them. Validation rows are carved from what is
left, VAL_FRACTION of it. Datasets with an official test set keep it, and are trained on once. COPIES and CONFLICTS are
settled anew in each fold, on its own training rows, from labels as delivered: no fold tests on a changed label.
LIMIT_PER_SPLIT has drawn its rows before: folds split those, and nothing that was left out comes back.

The folds of LABEL_NOISE ask something else of every dataset: what a network says of rows that it never saw. Whatever
COPIES says, no copy of a row that a network is asked about trains it or chooses its epoch, for a copy would tell the
label; and each label is the one delivered.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fer.data.copies import settle_rows
from fer.data.samples import DatasetSamples, stands_in_folds
from fer.data.splits import assign_parts, take_fraction
from fer.settings.settings import Settings
from utils import InputError

OFFICIAL = "official"
OUT_OF_FOLD = "noise"  # how the folds of LABEL_NOISE are called, before their number
UNREAD = "unread"  # split, in these folds, of test rows that EVALUATE_TEST = False leaves alone


def repeat_of(fold: str) -> str:
    """What the folds of one repeat have in common: r2f0 and r2f1 the repeat r2, subject3 and subject4 "subjects"."""
    return re.sub(r"^(r\d+)f\d+$", r"\1", re.sub(r"^subject\d+$", "subjects", fold))


def in_fold_order(fold: str) -> list[Any]:
    """Sort key by which fold10 follows fold9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", fold)]


def fold_names(datasets: list[DatasetSamples], settings: Settings) -> tuple[str, ...]:
    """The splits a training on `datasets` is repeated for; one, "official", where all have official test sets.

    Raises InputError where SPLITS = "subjects" and a dataset without official test set names no subjects.
    """
    free = [data for data in datasets if not data.official_test]
    if not free or settings.splits == OFFICIAL:
        return (OFFICIAL,)
    if settings.splits == "kfold":
        return tuple(f"r{repeat}f{fold}" for repeat in range(settings.repeats) for fold in range(settings.folds))
    if settings.splits == "repeated":
        return tuple(f"r{repeat}" for repeat in range(settings.repeats))
    problems = [_no_subjects(data) for data in free if len(subjects(data.samples)) < 2]
    if problems:
        raise InputError(problems)
    return tuple(f"subject{number}" for number in range(max(len(subjects(data.samples)) for data in free)))


def _no_subjects(data: DatasetSamples) -> str:
    return (
        f'{data.name}: SPLITS = "subjects" needs two or more persons, and its rows name {len(subjects(data.samples))}. '
        f'Add "subject": a pattern with one group that finds the person in a file name, to its row of DATASETS '
        r'(CK+48: "(S\d+)_"), or choose SPLITS = "kfold".'
    )


def subjects(samples: pd.DataFrame) -> list[str]:
    """The persons a samples table names, sorted."""
    return sorted(set(samples["subject"]) - {""})


def with_fold(data: DatasetSamples, fold: str, settings: Settings) -> DatasetSamples:
    """The rows split as `fold` says, then settled. A dataset with an official test set comes back as it is.

    Not so in the folds of LABEL_NOISE, which part the rows of any dataset.
    """
    if is_out_of_fold(fold) and data.row.role == "train":
        return _with_out_of_fold(data, fold, settings)
    if fold == OFFICIAL or data.official_test:
        return data
    rows, seed = data.unsettled, settings.split_seed
    is_test = _test_rows(rows, fold, settings)
    is_val = rows.index.isin(take_fraction(rows[~is_test], settings.val_fraction, seed + 1))
    return _settled(data, rows.assign(split=np.select([is_test, is_val], ["test", "val"], "train")), fold, settings)


def _settled(data: DatasetSamples, rows: pd.DataFrame, fold: str, settings: Settings) -> DatasetSamples:
    samples, left = settle_rows(rows, settings)
    rejected = data.rejected[~stands_in_folds(data.rejected["step"])]
    rejected = pd.concat([rejected, left.assign(label=left["delivered"])]) if len(left) else rejected
    rejected = rejected[data.rejected.columns].reset_index(drop=True)
    return replace(data, samples=samples.reset_index(drop=True), rejected=rejected, fold=fold)


def is_out_of_fold(fold: str) -> bool:
    """Whether this is a fold of LABEL_NOISE."""
    return fold.startswith(OUT_OF_FOLD)


def out_of_fold_names(settings: Settings) -> tuple[str, ...]:
    """The folds of LABEL_NOISE: noise0, noise1, …"""
    return tuple(f"{OUT_OF_FOLD}{part}" for part in range(settings.noise_folds))


def _with_out_of_fold(data: DatasetSamples, fold: str, settings: Settings) -> DatasetSamples:
    """One part of the rows that are no test rows becomes test rows beside the dataset's own."""
    rows, part = data.unsettled, int(fold.removeprefix(OUT_OF_FOLD))
    is_tested = (rows["split"] == "test").to_numpy()
    is_asked = is_tested.copy()
    is_asked[~is_tested] = assign_parts(rows[~is_tested], settings.noise_folds, settings.split_seed + 2) == part
    is_val = rows.index.isin(take_fraction(rows[~is_asked], settings.val_fraction, settings.split_seed + 1))
    split = np.select([is_asked, is_val], ["test", "val"], "train")
    strict = settings.model_copy(update={"copies": "drop", "conflicts": "keep"})
    fresh = _settled(data, rows.assign(split=split), fold, strict)
    if settings.evaluate_test:
        return fresh
    unread = fresh.samples["sample_id"].isin(rows.loc[is_tested, "sample_id"])
    return replace(fresh, samples=fresh.samples.assign(split=fresh.samples["split"].mask(unread, UNREAD)))


def _test_rows(rows: pd.DataFrame, fold: str, settings: Settings) -> np.ndarray:
    """bool[N]: the rows that `fold` tests on."""
    if fold.startswith("subject"):
        known = subjects(rows)
        return (rows["subject"] == known[int(fold.removeprefix("subject")) % len(known)]).to_numpy()
    repeat, _, part = fold.removeprefix("r").partition("f")
    seed = settings.split_seed + 1000 * (int(repeat) + 1)
    if part:
        return assign_parts(rows, settings.folds, seed) == int(part)
    return rows.index.isin(take_fraction(rows, settings.test_fraction, seed))
