"""Rows of results.csv as means are made of them: one per setup, seed and repeat.

A seed, a fold and a repeat are three things. Folds of a repeat are pooled where they share no row
(fer.results.pooling); where they all answered the same rows (another dataset's official test set) their scores are
averaged here first. What is left varies over seeds, and over repeats where there are several; `spread_words` says
over which.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from fer.columns.files import SCORED, SETUP
from fer.data.folds import repeat_of

SCORED_ROWS = (*SCORED, "rows")


def per_training(table: pd.DataFrame, *also: str) -> pd.DataFrame:
    """`table` (results.csv, or the same per class) without single folds; folds on the same rows as their mean.

    `split` becomes the repeat. `also`: further columns that tell rows apart. A table made so comes back as it is.
    """
    rows = table[table["rows"] != "fold"]
    if rows["split"].isin(["official", ""]).all():
        return rows.reset_index(drop=True)
    rows = rows.assign(split=[repeat_of(split) for split in rows["split"]])
    keys = [*SETUP, "seed", "split", *SCORED_ROWS, *also]
    if not rows.duplicated(keys).any():
        return rows.reset_index(drop=True)
    kinds = {name: _mean if pd.api.types.is_numeric_dtype(rows[name]) else _first for name in rows if name not in keys}
    grouped = rows.groupby(keys, sort=False, dropna=False, as_index=False).agg(kinds)
    whole = {name: "Int64" for name in rows if rows[name].dtype == "Int64"}
    return grouped[list(rows)].astype(whole)


def _mean(values: pd.Series) -> Any:
    """The mean; of whole numbers the whole number next to it."""
    if pd.api.types.is_bool_dtype(values):
        return values.any()
    mean = values.mean()
    return round(mean) if values.dtype == "Int64" and not pd.isna(mean) else mean


def _first(values: pd.Series) -> Any:
    return values.iloc[0]


def spread_words(rows: pd.DataFrame) -> str:
    """Over what the rows of one setup vary, in words: "seeds", "repeats of one seed", "seeds and repeats"."""
    same = [*SETUP, *SCORED_ROWS]
    seeds = rows.groupby(same, dropna=False)["seed"].nunique().max() if len(rows) else 0
    repeats = rows.groupby([*same, "seed"], dropna=False)["split"].nunique().max() if len(rows) else 0
    if repeats > 1:
        return "seeds and repeats" if seeds > 1 else "repeats of one seed"
    return "seeds"


ROWS_WORDS = {"official": "", "pooled": ", folds pooled", "fold": ", one fold", "own split": ", mean over splits"}
