"""Identical pictures: within a split, across splits, across datasets, and where their labels disagree.

Works on a table of rows (sample_id, dataset, split, label, content, in_use), every readable row of the datasets.
Within a dataset two rows are identical when their `content` is: the same decoded pixels, and the same face box.
Across datasets the decoded pixels alone count (the part before ":"), since each dataset draws its own boxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pandas as pd

from fer.conflicts import conflicting
from fer.samples import SPLITS

COPY_COLUMNS = ["kind", "group", "sample_id", "dataset", "split", "label", "in_use", "similarity"]


def exact_copies(rows: pd.DataFrame) -> pd.DataFrame:
    """COPY_COLUMNS of the rows that share their content with another, of any dataset; groups numbered from 0."""
    twins = rows[rows.duplicated("content", keep=False)].sort_values("sample_id")
    group = pd.factorize(twins["content"])[0]
    twins = twins.assign(kind="exact", group=group, similarity=1.0)
    return twins.sort_values(["group", "sample_id"], ignore_index=True)[COPY_COLUMNS]


def count_exact(rows: pd.DataFrame) -> dict[str, Any]:
    """What identical pictures one dataset holds.

    rows, distinct; groups of identical rows, rows in them, groups and rows whose labels disagree (in all rows, and
    among training rows alone); `within`: rows of a split beyond the first of their content; `across`: "test in
    train" is how many test rows have a copy in training, and so on for each two splits.
    """
    twins = rows[rows.duplicated("content", keep=False)]
    disputed, in_training = conflicting(rows), conflicting(rows[rows["split"] == "train"])
    return {
        "rows": len(rows),
        "distinct": int(rows["content"].nunique()),
        "groups": int(twins["content"].nunique()),
        "rows_in_groups": len(twins),
        "conflicting_groups": int(disputed["content"].nunique()),
        "conflicting_rows": len(disputed),
        "conflicting_training_groups": int(in_training["content"].nunique()),
        "conflicting_training_rows": len(in_training),
        "within": {split: int(rows.loc[rows["split"] == split, "content"].duplicated().sum()) for split in SPLITS},
        "across": {f"{one} in {other}": count for one, other, count in _across(rows, "split", "content")},
    }


def count_exact_between(rows: pd.DataFrame) -> dict[str, int]:
    """ "a in b": rows of dataset a whose source picture stands in dataset b too, for each two datasets."""
    pictures = rows.assign(picture=rows["content"].str.split(":").str[0])
    return {f"{one} in {other}": count for one, other, count in _across(pictures, "dataset", "picture")}


def _across(rows: pd.DataFrame, part: str, content: str) -> Iterator[tuple[str, str, int]]:
    """For each two parts: how many rows of the one have their content in the other too."""
    found = {name: table[content] for name, table in rows.groupby(part)}
    for one, other in permutations(found, 2):
        yield str(one), str(other), int(found[one].isin(set(found[other])).sum())
