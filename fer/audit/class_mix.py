"""How the classes are mixed in each split and dataset, and how far two mixes lie apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from fer.columns.files import DISTANCES
from fer.data.splits import SPLITS
from fer.layouts.emotions import ALL_EMOTIONS, classes_among

WHOLE = "all"


def class_mix(rows: pd.DataFrame) -> pd.DataFrame:
    """dataset, split (or "all" for the whole dataset), n, and the share (0 to 1) of each class among `rows`.

    `rows` needs the columns dataset, split, label.
    """
    lines, names = [], classes_among(rows["label"].to_numpy())
    for name, table in rows.groupby("dataset", sort=False):
        for split in (*SPLITS, WHOLE):
            part = table if split == WHOLE else table[table["split"] == split]
            if len(part):
                shares = np.bincount(part["label"], minlength=len(names)) / len(part)
                lines.append({"dataset": name, "split": split, "n": len(part), **dict(zip(names, shares, strict=True))})
    return pd.DataFrame(lines, columns=["dataset", "split", "n", *names])


def mix_distances(rows: pd.DataFrame) -> pd.DataFrame:
    """DISTANCES for each two splits of a dataset, and for each two datasets as wholes.

    total_variation is half the sum of absolute differences of shares: the share of rows that would have to change
    class. cramers_v is the effect size of the chi-squared test of homogeneity (scipy), chi2 and p its statistic and
    p-value, without correction for many tests: with thousands of rows a p near 0 can go with a mix that hardly differs.
    """
    lines = []
    parts = {str(name): table for name, table in rows.groupby("dataset", sort=False)}
    for name, table in parts.items():
        splits = {f"{name} {split}": table[table["split"] == split] for split in SPLITS}
        lines += [_distance(one, other, splits) for one, other in combinations(splits, 2)]
    lines += [_distance(one, other, parts) for one, other in combinations(parts, 2)]
    table = pd.DataFrame(lines, columns=list(DISTANCES))
    return table[(table["n_left"] > 0) & (table["n_right"] > 0)].reset_index(drop=True)


def _counts(rows: pd.DataFrame) -> np.ndarray:
    return np.bincount(rows["label"], minlength=len(ALL_EMOTIONS))


def _distance(one: str, other: str, parts: dict[str, pd.DataFrame]) -> dict[str, object]:
    from scipy.stats import chi2_contingency
    from scipy.stats.contingency import association

    counts = np.stack([_counts(parts[one]), _counts(parts[other])])
    line: dict[str, object] = {"left": one, "right": other, "n_left": counts[0].sum(), "n_right": counts[1].sum()}
    if not counts.sum(1).all():
        return line
    shares = counts / counts.sum(1, keepdims=True)
    line["total_variation"] = float(np.abs(shares[0] - shares[1]).sum() / 2)
    present = counts[:, counts.any(0)]
    if present.shape[1] < 2:
        return line | {"cramers_v": 0.0, "chi2": 0.0, "p": 1.0}
    test = chi2_contingency(present)
    effect = float(association(present, method="cramer"))
    return line | {"cramers_v": effect, "chi2": float(test.statistic), "p": float(test.pvalue)}
