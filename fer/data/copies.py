"""What a copy is, everywhere in this project: a row whose source picture, decoded and without a box, stands elsewhere.

`content` is the hash of that picture; `face` names a face of it, box included. A copy asks for the picture alone, since
another dataset draws other boxes, or none, around the same people. What follows from it:

- Two faces of one photo are the same picture. Splits carved here hold them together (one group); where an owner's
  own splits part them, the earlier row leaves like any copy: its network would have seen the photo it is tested on.
- Side by side in one split, the faces of one photo are no copies of each other: the picture was delivered once.
  Delivered twice is a picture in two files, two splits or two datasets, and a face listed twice (`delivered_twice`).
- Labels conflict over one FACE only (`settle_conflicts`): two people in a photo may well feel differently.
- A test row is a copy, for a training, when its picture stands in any row of that training's datasets that is no
  test row: of training or validation, whether still in use or not (results/leaks.py). Near copies are another word.

With COPIES = "drop_near" alone, tables have one more column, `near_group`: equal where two faces hang together as near
copies (audit/near_groups.py). Rows then leave for a near copy as they do for a copy, and no carved split parts a group.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from fer.layouts.emotions import ALL_EMOTIONS
from fer.settings.settings import Settings
from utils import InputError, log

NEAR_GROUP = "near_group"
# What a near copy is, in audit/near_copies.py: version of the search, least correlation of detail at 32 x 32 pixels
NEAR_COPY = (1, 0.91)
CONFLICT_POLICIES = ("keep", "drop", "majority")


def is_in(rows: pd.DataFrame, others: pd.DataFrame, alike: str = "content") -> pd.Series:
    """bool per row: it is a copy of one of the `others`: `alike` is the same, the source picture or NEAR_GROUP."""
    return rows[alike].isin(set(others[alike]))


def delivered_twice(rows: pd.DataFrame) -> pd.Series:
    """bool per row: its picture stands in another file, split or dataset too, or its very face in another row.

    Needs columns dataset, split, path, content, face.
    """
    place = rows["dataset"] + "\0" + rows["split"] + "\0" + rows["path"]
    return (place.groupby(rows["content"]).transform("nunique") > 1) | rows.duplicated("face", keep=False)


# ---------------------------------------------------------------- which rows leave


def settle_rows(rows: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Apply COPIES and CONFLICTS to the rows of one dataset, already split; test rows and their labels stay.

    Returns the rows that stay, and those that leave with step and reason.
    """
    used, copies = settle_copies(rows, settings.copies, settings.split_seed)
    settled, disputed, relabelled = settle_conflicts(used, settings.conflicts)
    if settings.conflicts != "keep":
        log.info(
            "%s: identical training pictures with different labels: %d rows dropped, %d relabelled",
            rows["dataset"].iloc[0], len(disputed), len(relabelled),
        )  # fmt: skip
    parts = [part for part in (copies, disputed) if len(part)]
    return settled, pd.concat(parts) if parts else copies


def settle_copies(rows: pd.DataFrame, policy: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of one dataset kept, and rows removed with step and reason, under COPIES = `policy`.

    Needs columns label, split, content; test rows never leave. "drop": training rows whose picture stands in validation
    or test leave, and validation rows whose picture stands in test; "drop_near": also those with a near copy there, by
    the column near_group. "keep": nothing leaves. "drop_random": the control of "drop"; its validation rows leave as
    well, but in place of each training copy a training row of the same class that is no copy, drawn by `seed`: as few
    rows, copies kept.
    """
    reason = _why_leaving(rows, rows)
    return _settle(rows, reason, reason == "", policy, seed)


def settle_copies_between(tables: dict[str, pd.DataFrame], policy: str, seed: int) -> dict[str, pd.DataFrame]:
    """Two or more datasets trained on together, each settled already: the rows each keeps beside the others.

    As `settle_copies`, where the later split is another dataset's. Of the rows that "drop_random" drew before, some may
    have been such copies: by these the control keeps more rows than "drop".
    """
    kept = {}
    for name, table in tables.items():
        beside = pd.concat([other for others, other in tables.items() if others != name])
        is_copy = _why_leaving(table.drop(columns=NEAR_GROUP, errors="ignore"), table) != ""
        reason = _why_leaving(table, beside).mask(is_copy, "")
        kept[name] = _settle(table, reason, ~is_copy & (reason == ""), policy, seed)[0]
    return kept


def _settle(
    rows: pd.DataFrame, reason: pd.Series, is_free: pd.Series, policy: str, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`reason`: why "drop" removes a row, or ""; `is_free`: no copy, so that "drop_random" may draw it instead."""
    if policy == "keep":
        return rows, rows.iloc[:0]
    if policy == "drop_random":
        reason = _random_instead(rows, reason, is_free, seed)
    leaves = reason != ""
    return rows[~leaves], rows[leaves].assign(step="copies", reason=reason[leaves])


def _random_instead(rows: pd.DataFrame, reason: pd.Series, is_free: pd.Series, seed: int) -> pd.Series:
    """The reasons, with those of training copies handed to as many free training rows of the same classes."""
    order = pd.Series(np.random.default_rng(seed).random(len(rows)), index=rows.index)
    is_train = rows["split"] == "train"
    drawn = reason.mask(is_train, "")
    for label, count in rows.loc[is_train & (reason != ""), "label"].value_counts().items():
        others = rows.index[is_train & is_free & (rows["label"] == label)]
        drawn[order[others].nsmallest(count).index] = "drawn at random in place of a copy"
    return drawn


def _why_leaving(rows: pd.DataFrame, others: pd.DataFrame) -> pd.Series:
    """The reason each row leaves, for its copy in a later split of `others`; "" for those that stay."""
    reason = pd.Series("", index=rows.index)
    kinds = [("near", NEAR_GROUP)] if NEAR_GROUP in rows else []
    for kind, alike in (*kinds, ("exact", "content")):
        in_val, in_test = (is_in(rows, others[others["split"] == split], alike) for split in ("val", "test"))
        reason[(rows["split"] == "train") & in_val] = f"{kind} copy of a validation picture"
        reason[(rows["split"] != "test") & in_test] = f"{kind} copy of a test picture"
    return reason


# ---------------------------------------------------------------- conflicting labels


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

    `rows` needs the columns sample_id, face, label, split; faces are identical where `face` is the same
    text (picture and box). Only rows of split "train" are compared, removed or relabelled. "keep"
    changes nothing; "drop" removes every copy of such a picture; "majority" gives all of them the label most of
    them have, and removes them where two labels are equally frequent. Raises InputError for another policy.
    """
    if policy not in CONFLICT_POLICIES:
        raise InputError(f'CONFLICTS = "{policy}": write one of {", ".join(CONFLICT_POLICIES)}.')
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
    """The rows whose `face` stands in `rows` with more than one `label`, in their order."""
    return rows[rows.groupby("face")["label"].transform("nunique") > 1]


def _majorities(disputed: pd.DataFrame) -> pd.Series:
    """The label that most rows of the same face carry; -1 where the two most frequent are equally so."""
    counts = disputed.groupby(["face", "label"]).size().unstack(fill_value=0)
    first = counts.eq(counts.max(axis=1), axis=0).sum(axis=1) == 1
    return disputed["face"].map(counts.idxmax(axis=1).where(first, -1)).astype(int)


def _reasons(disputed: pd.DataFrame) -> pd.Series:
    """For each row, the labels its identical pictures carry: "identical pictures are labelled 2 x sad, 1 x fear"."""
    texts = {}
    for face, labels in disputed.groupby("face")["label"]:
        counts = labels.value_counts().sort_index().sort_values(ascending=False, kind="stable")
        texts[face] = ", ".join(f"{count} x {ALL_EMOTIONS[int(str(label))]}" for label, count in counts.items())
    return "identical pictures are labelled " + disputed["face"].map(texts).astype(str)
