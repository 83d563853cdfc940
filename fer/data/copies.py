"""What a copy is, everywhere in this project: a row whose source picture, decoded and without a box, stands elsewhere.

`content` names a FACE: the hash of its decoded source picture and, where its box is given, ":" and that box. Which face
a row is shapes packs and keys. A copy asks for the picture alone, since another dataset draws other boxes, or none,
around the same people; `pictures` is the one place that takes the box away. What follows from it:

- Two faces of one photo are the same picture. Splits carved here hold them together (one group); where an owner's
  own splits part them, the earlier row leaves like any copy: its network would have seen the photo it is tested on.
- Side by side in one split, the faces of one photo are no copies of each other: the picture was delivered once.
  Delivered twice is a picture in two files, two splits or two datasets, and a face listed twice (`delivered_twice`).
- Labels conflict over one FACE only (data/conflicts.py): two people in a photo may well feel differently.
- A test row is a copy, for a training, when its picture stands in any row of that training's datasets that is no
  test row: of training or validation, whether still in use or not (results/leaks.py). Near copies are another word.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def pictures(content: pd.Series) -> pd.Series:
    """The source picture behind each `content`: the same text for every face of a picture; "" where unreadable."""
    return content.str.split(":", n=1).str[0]  # partition has no columns where there are no rows


def delivered_twice(rows: pd.DataFrame) -> pd.Series:
    """bool per row: its picture stands in another file, split or dataset too, or its very face in another row.

    Needs columns dataset, split, path, content.
    """
    picture = pictures(rows["content"])
    place = rows["dataset"] + "\0" + rows["split"] + "\0" + rows["path"]
    return (place.groupby(picture).transform("nunique") > 1) | rows.duplicated("content", keep=False)


# ---------------------------------------------------------------- which rows leave


def settle_copies(rows: pd.DataFrame, policy: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of one dataset kept, and rows removed with step and reason, under COPIES = `policy`.

    Needs columns label, split, content; test rows never leave. "drop": training rows whose picture stands in validation
    or test leave, and validation rows whose picture stands in test. "keep": nothing leaves. "drop_random": the control
    of "drop"; its validation rows leave as well, but in place of each training copy a training row of the same class
    that is no copy, drawn by `seed`: as few rows, copies kept.
    """
    reason = _why_leaving(rows, *_later_pictures([rows]))
    return _settle(rows, reason, reason == "", policy, seed)


def settle_copies_between(tables: dict[str, pd.DataFrame], policy: str, seed: int) -> dict[str, pd.DataFrame]:
    """Two or more datasets trained on together, each settled already: the rows each keeps beside the others.

    As `settle_copies`, where the later split is another dataset's. Of the rows that "drop_random" drew before, some may
    have been such copies: by these the control keeps more rows than "drop".
    """
    kept = {}
    for name, table in tables.items():
        beside = [other for others, other in tables.items() if others != name]
        is_copy = _why_leaving(table, *_later_pictures([table])) != ""
        reason = _why_leaving(table, *_later_pictures(beside)).mask(is_copy, "")
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


def _later_pictures(tables: list[pd.DataFrame]) -> tuple[set[str], set[str]]:
    """Pictures of validation rows, and of test rows."""
    split = pd.concat([table["split"] for table in tables]).to_numpy()
    picture = pictures(pd.concat([table["content"] for table in tables])).to_numpy()
    return set(picture[split == "val"]), set(picture[split == "test"])


def _why_leaving(rows: pd.DataFrame, in_val: set[str], in_test: set[str]) -> pd.Series:
    """The reason each row leaves; "" for those that stay."""
    picture = pictures(rows["content"])
    reason = pd.Series("", index=rows.index)
    reason[(rows["split"] == "train") & picture.isin(in_val)] = "exact copy of a validation picture"
    reason[(rows["split"] != "test") & picture.isin(in_test)] = "exact copy of a test picture"
    return reason
