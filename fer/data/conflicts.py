"""Identical training pictures that carry different labels: kept, dropped, or relabelled to the majority."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from fer.settings.settings import EMOTIONS
from utils import InputError

POLICIES = ("keep", "drop", "majority")


class SettledConflicts(NamedTuple):
    """What `settle_conflicts` made of a table of samples.

    `rows`: the rows that stay, all columns, old index and order. `removed`: the rows that leave, all columns
    and step "conflicts", reason. `relabelled`: sample_id, delivered (the label before), label (the label now),
    one row for each label that changed.
    """

    rows: pd.DataFrame
    removed: pd.DataFrame
    relabelled: pd.DataFrame


def settle_conflicts(rows: pd.DataFrame, policy: str) -> SettledConflicts:
    """Apply CONFLICTS = `policy` to the training rows whose identical pictures carry different labels.

    `rows` needs the columns sample_id, content, label, split; pictures are identical where `content` is the
    same text (picture and face box). Only rows of split "train" are compared, removed or relabelled. "keep"
    changes nothing; "drop" removes every copy of such a picture; "majority" gives all of them the label most of
    them have, and removes them where two labels are equally frequent. Raises InputError for another policy.
    """
    if policy not in POLICIES:
        raise InputError(f'CONFLICTS = "{policy}": write one of {", ".join(POLICIES)}.')
    disputed = conflicting(rows[rows["split"] == "train"]) if policy != "keep" else rows.iloc[:0]
    winner = _majorities(disputed) if policy == "majority" else pd.Series(-1, index=disputed.index)
    leaves = disputed.index[winner == -1]
    kept = winner[winner != -1]
    settled = rows.drop(index=leaves)
    settled["label"] = kept.reindex(settled.index).fillna(settled["label"]).astype(rows["label"].dtype)
    removed = rows.loc[leaves].assign(step="conflicts", reason=_reasons(disputed)[leaves])
    changed = kept.index[kept != disputed.loc[kept.index, "label"]]
    relabelled = pd.DataFrame(
        {
            "sample_id": rows.loc[changed, "sample_id"],
            "delivered": rows.loc[changed, "label"],
            "label": settled.loc[changed, "label"],
        }
    )
    return SettledConflicts(settled, removed, relabelled)


def conflicting(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows whose `content` stands in `rows` with more than one `label`, in their order."""
    return rows[rows.groupby("content")["label"].transform("nunique") > 1]


def _majorities(disputed: pd.DataFrame) -> pd.Series:
    """The label that most rows of the same content carry; -1 where the two most frequent are equally so."""
    counts = disputed.groupby(["content", "label"]).size().unstack(fill_value=0)
    first = counts.eq(counts.max(axis=1), axis=0).sum(axis=1) == 1
    return disputed["content"].map(counts.idxmax(axis=1).where(first, -1)).astype(int)


def _reasons(disputed: pd.DataFrame) -> pd.Series:
    """For each row, the labels its identical pictures carry: "identical pictures are labelled 2 x sad, 1 x fear"."""
    texts = {}
    for content, labels in disputed.groupby("content")["label"]:
        counts = labels.value_counts().sort_index().sort_values(ascending=False, kind="stable")
        texts[content] = ", ".join(f"{count} x {EMOTIONS[int(str(label))]}" for label, count in counts.items())
    return "identical pictures are labelled " + disputed["content"].map(texts).astype(str)
