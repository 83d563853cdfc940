"""How many rows of a dataset cannot be used, and why, in a sentence."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pandas as pd

# Steps that take out rows nobody chose to leave out: a line or file that cannot be used, a picture that cannot be read.
UNUSABLE = ("in file", "readable")
SHOWN_REASONS = 5  # of each split, the most frequent


def rejection_notes(rejected: pd.DataFrame, listed: int) -> list[str]:
    """One note with how many of `listed` rows cannot be used, by split and reason; none where all can.

    `rejected` has columns step, split ("" where not official) and reason; steps other than UNUSABLE are not counted.
    """
    unusable = rejected[rejected["step"].isin(UNUSABLE)]
    if unusable.empty:
        return []
    parts = [
        f"{split or 'no split known'}: {_reasons(rows['reason'].to_list())}"
        for split, rows in unusable.groupby(unusable["split"].fillna(""), sort=True)
    ]
    test = int((unusable["split"] == "test").sum())
    of_them = f", {test} of them TEST rows" if test else ""
    share = f"{len(unusable)} of {listed} rows cannot be used ({len(unusable) / listed:.1%}{of_them})"
    return [f"{share}: {'; '.join(parts)}. Each is listed in samples/"]


def _reasons(reasons: list[str]) -> str:
    """The most frequent reasons; those that differ only in a number or a name are counted together."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for reason in reasons:
        bare = re.sub(r"^line \d+: ", "", reason)
        kinds[re.sub(r"'[^']*'|-?\d[\d.e+]*", "", bare)][bare] += 1
    ranked = sorted(kinds.values(), key=lambda kind: -kind.total())
    shown = [
        f"{kind.total()} x {next(iter(kind))}{' (and the like)' if len(kind) > 1 else ''}"
        for kind in ranked[:SHOWN_REASONS]
    ]
    more = len(ranked) - SHOWN_REASONS
    return ", ".join([*shown, *([f"{more} more reasons"] if more > 0 else [])])
