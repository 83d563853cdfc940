"""Identical pictures: within a split, across splits, across datasets, and where their labels disagree.

Works on every readable row of the datasets: sample_id, dataset, split, path, label, content, face, in_use.
Identical is the source picture without its box, see data/copies.py; that a face is the same one too matters for its
label alone. Faces of one photo are listed only where the photo is delivered twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pandas as pd

from fer.columns.files import AUDIT_COPIES
from fer.data.copies import conflicting, delivered_twice, is_in
from fer.data.splits import SPLITS


def exact_copies(rows: pd.DataFrame) -> pd.DataFrame:
    """AUDIT_COPIES of the rows whose picture is delivered twice, in any dataset; groups numbered from 0."""
    found = rows[delivered_twice(rows)].sort_values("sample_id")
    group = pd.factorize(found["content"])[0]
    found = found.assign(kind="exact", group=group, similarity=1.0)
    return found.sort_values(["group", "sample_id"], ignore_index=True)[list(AUDIT_COPIES)]


def count_exact(rows: pd.DataFrame) -> dict[str, Any]:
    """What identical pictures one dataset holds.

    rows, distinct pictures; groups: pictures delivered twice, rows in them; groups and rows where the labels of one
    face disagree (in all rows, and among training rows alone); `within`: rows of a split beyond the first of their
    face; `across`: "test in train" is how many test rows have a copy in training, and so on for each two splits.
    """
    copies = rows[delivered_twice(rows)]
    disputed, in_training = conflicting(rows), conflicting(rows[rows["split"] == "train"])
    return {
        "rows": len(rows),
        "distinct": int(rows["content"].nunique()),
        "groups": int(copies["content"].nunique()),
        "rows_in_groups": len(copies),
        "conflicting_groups": int(disputed["content"].nunique()),
        "conflicting_rows": len(disputed),
        "conflicting_training_groups": int(in_training["content"].nunique()),
        "conflicting_training_rows": len(in_training),
        "within": {split: int(rows.loc[rows["split"] == split, "face"].duplicated().sum()) for split in SPLITS},
        "across": {f"{one} in {other}": count for one, other, count in _across(rows, "split")},
    }


def count_exact_between(rows: pd.DataFrame) -> dict[str, int]:
    """ "a in b": rows of dataset a whose source picture stands in dataset b too, for each two datasets."""
    return {f"{one} in {other}": count for one, other, count in _across(rows, "dataset")}


def _across(rows: pd.DataFrame, part: str) -> Iterator[tuple[str, str, int]]:
    """For each two parts: how many rows of the one have their picture in the other too."""
    found = dict(list(rows.groupby(part)))
    for one, other in permutations(found, 2):
        yield str(one), str(other), int(is_in(found[one], found[other]).sum())
