"""Where a split is made: once per dataset, from source rows and SPLIT_SEED, before any variant.

Groups (same person, same photo, same source picture) are found first, and stay whole in all that is carved here. An
owner's own splits are never changed. Other splits of a dataset without official test set, its folds, are in folds.py.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fer.data.copies import NEAR_GROUP

SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"


def connected_groups(rows: pd.DataFrame) -> np.ndarray:
    """Number the connected components over same subject, photo, source picture, and near copy where known: int[N]."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(rows)
    left, right = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
    for values in (rows[name] for name in ("subject", "photo", "content", NEAR_GROUP) if name in rows):
        positions = np.flatnonzero(values.to_numpy() != "")
        codes, _ = pd.factorize(values.to_numpy()[positions])
        first = np.full(codes.max(initial=-1) + 1, count)
        np.minimum.at(first, codes, positions)
        left.append(positions)
        right.append(first[codes])
    edges = np.concatenate(left), np.concatenate(right)
    graph = coo_matrix((np.ones(len(edges[0]), dtype=bool), edges), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def assign_splits(rows: pd.DataFrame, seed: int, val_fraction: float, test_fraction: float) -> pd.Series:
    """Complete the official splits: a test set where none is official, then a validation set from training.

    Needs columns split ("" where not official), label and group. Groups stay together in what is
    carved here; official splits are never changed, so a group can stand in two of them.
    """
    split = rows["split"].copy()
    if not (split == "test").any():
        free = split == ""
        split[take_fraction(rows[free], test_fraction, seed)] = "test"
    split[split == ""] = "train"
    if not (split == "val").any():
        split[take_fraction(rows[split == "train"], val_fraction, seed + 1)] = "val"
    return split


def assign_by_role(rows: pd.DataFrame, role: str) -> pd.Series:
    """The splits of a dataset that is not trained on: nothing is drawn, and official splits are kept.

    "test": all rows are test rows where no test set is official. "unlabelled": all are but official validation and
    test rows, which nothing may learn from.
    """
    split = rows["split"]
    if role == "test":
        return split if (split == "test").any() else pd.Series("test", index=rows.index)
    return split.where(split.isin(("val", "test")), UNLABELLED)


def take_fraction(rows: pd.DataFrame, fraction: float, seed: int) -> pd.Index:
    """Index of about `fraction` of the rows of each class, whole groups, drawn by `seed`.

    A group counts for its rarest class. Own code because scikit-learn's StratifiedGroupKFold walks
    the groups in Python for every fold: minutes at the 34,000 groups of FER2013.
    """
    rarity = rows["label"].map(rows["label"].value_counts())
    groups = rows.assign(rarity=rarity).sort_values(["rarity", "sample_id"]).groupby("group", sort=True)
    table = groups.agg(label=("label", "first"), size=("label", "size"), first=("sample_id", "min"))
    table = table.sort_values("first")
    table = table.iloc[np.random.default_rng(seed).permutation(len(table))]
    ahead = table.groupby("label")["size"].cumsum() - table["size"]
    wanted = fraction * table.groupby("label")["size"].transform("sum")
    several = table.groupby("label")["size"].transform("count") > 1
    taken = table.index[several & (ahead + table["size"] / 2 <= wanted.clip(lower=1))]
    if taken.empty and (table["size"] > 1).any():
        taken = _of_all_classes(table[several]["size"], fraction)
    return rows.index[rows["group"].isin(taken)]


def _of_all_classes(sizes: pd.Series, fraction: float) -> pd.Index:
    """Groups of about `fraction` of all rows, one at least: where each class has too few large groups to give one.

    As of 28 persons, four of each rarest class: a tenth of four is none, a tenth of 28 is three.
    """
    middle = sizes.cumsum() - sizes / 2
    return sizes.index[middle <= max(fraction * sizes.sum(), middle.min())] if len(sizes) else sizes.index


def limit_per_split(rows: pd.DataFrame, limit: int | None, seed: int) -> pd.DataFrame:
    """At most `limit` rows of each split, each class in proportion (at least one), drawn by `seed`."""
    if limit is None:
        return rows
    order = pd.Series(np.random.default_rng(seed).random(len(rows)), index=rows.index)
    kept = []
    for _, part in rows.groupby("split"):
        counts = part["label"].value_counts().sort_index()
        quota = counts if len(part) <= limit else (counts * limit / len(part)).round().clip(1, counts)
        for label, wanted in quota.items():
            kept.append(order[part.index[part["label"] == label]].nsmallest(int(wanted)).index)
    return rows.loc[np.sort(np.concatenate(kept))] if kept else rows


def assign_parts(rows: pd.DataFrame, parts: int, seed: int) -> np.ndarray:
    """Number each row's part, int[N] from 0: whole groups, each class in about equal shares, drawn by `seed`.

    A group counts for the rarest of its classes. Needs columns sample_id, label, group.
    """
    rarity = rows["label"].map(rows["label"].value_counts())
    groups = rows.assign(rarity=rarity).sort_values(["rarity", "sample_id"]).groupby("group", sort=True)
    table = groups.agg(label=("label", "first"), size=("label", "size"), first=("sample_id", "min")).sort_values(
        "first"
    )
    table = table.iloc[np.random.default_rng(seed).permutation(len(table))]
    by_class = table.groupby("label")["size"]
    middle = by_class.cumsum() - table["size"] / 2
    table["part"] = (middle / by_class.transform("sum") * parts).astype(int).clip(upper=parts - 1)
    return rows["group"].map(table["part"]).to_numpy()
