"""What a copy is, everywhere in this project: a row whose source picture, decoded and without a box, stands elsewhere.

`content` names a FACE: the hash of its decoded source picture and, where its box is given, ":" and that box. Which face
a row is shapes packs and keys. A copy asks for the picture alone, since another dataset draws other boxes, or none,
around the same people; `pictures` is the one place that takes the box away. What follows from it:

- Two faces of one photo are the same picture. Splits carved here hold them together (one group); where an owner's
  own splits part them, the earlier row leaves like any copy: its network would have seen the photo it is tested on.
- Side by side in one split, the faces of one photo are no copies of each other: the picture was delivered once.
  Delivered twice is a picture in two files, two splits or two datasets, and a face listed twice (`delivered_twice`).
- Labels conflict over one FACE only (conflicts.py): two people in a photo may well feel differently.
- A test row is a copy, for a training, when its picture stands in any row of that training's datasets that is no
  test row: of training or validation, whether still in use or not (leaks.py). Near copies are another word.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def pictures(content: pd.Series) -> pd.Series:
    """The source picture behind each `content`: the same text for every face of a picture; "" where unreadable."""
    return content.str.partition(":")[0]


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

    "drop": see `drop_copies`. "keep": nothing leaves. "drop_random": the control of "drop"; its validation
    rows leave as well, but in place of each training copy a training row of the same class that is no copy,
    drawn by `seed`: as few rows, copies kept.
    """
    if policy == "keep":
        return rows, rows.iloc[:0]
    used, copies = drop_copies(rows)
    if policy == "drop":
        return used, copies
    order = pd.Series(np.random.default_rng(seed).random(len(rows)), index=rows.index)
    left = [copies.index[copies["split"] == "val"]]
    for label, count in copies.loc[copies["split"] == "train", "label"].value_counts().items():
        others = used.index[(used["split"] == "train") & (used["label"] == label)]
        left.append(order[others].nsmallest(count).index)
    leaves = rows.index.isin(np.concatenate(left))
    reason = rows["split"].map({"train": "drawn at random in place of a copy", "val": "exact copy of a test picture"})
    return rows[~leaves], rows[leaves].assign(step="copies", reason=reason[leaves])


def drop_copies(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Remove training rows whose picture stands in validation or test, and validation rows whose stands in test.

    Test rows are never removed. Needs columns split and content. Returns the rows kept, and those removed with step
    and reason.
    """
    reason = _why_leaving(rows, *_later_pictures([rows]))
    leaves = reason != ""
    return rows[~leaves], rows[leaves].assign(step="copies", reason=reason[leaves])


def drop_copies_between(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """`drop_copies` over several datasets trained on together: each table without its rows that leave."""
    later = _later_pictures(list(tables.values()))
    return {name: table[_why_leaving(table, *later) == ""] for name, table in tables.items()}


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
