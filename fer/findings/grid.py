"""Which values of GRID validation chooses, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fer.findings.evidence import Evidence
from fer.findings.finding import (
    NOT_SHOWN,
    SETTINGS,
    SHOWN,
    Finding,
    difference_words,
    metric_words,
    score_words,
    seeds_words,
)  # fmt: skip
from fer.settings.grid import words_of
from fer.statistics.grid import axes_of, read_grid_table


def grid_choice(evidence: Evidence) -> Iterator[Finding]:
    """The chosen point over all setups, how far it is above the next, and at which point test sets were scored."""
    table = read_grid_table(evidence.study.output)
    if table is None or table.empty:
        return
    axes = axes_of(table)
    rows = table[table["train_on"] == ""] if (table["train_on"] == "").any() else table
    chosen = rows[rows["chosen_by_validation"]]
    others = rows[rows["below_best"].notna()].sort_values("below_best")
    if len(chosen) != 1 or others.empty:  # nothing to choose from yet, or no mean over all setups
        return
    best, following = chosen.iloc[0], others.iloc[0]
    yield _finding(best, following, axes, len(rows), _tested(rows, axes))


def _finding(best: pd.Series, following: pd.Series, axes: list[str], points: int, tested: str) -> Finding:
    shown = following["below_best_low"] > 0
    seeds, setups = int(best["n_seeds"]), int(best["n_setups"])
    where = f"{seeds_words(seeds)}, {setups} setups" if setups > 1 else seeds_words(seeds)
    score = f"{metric_words(best['metric'])} {score_words(best['validation_score'], best['low'], best['high'])}"
    ends = float(following["below_best"]), float(following["below_best_low"]), float(following["below_best_high"])
    chosen = f"By validation, {_words(best, axes)} is the best of {points} points of GRID"
    verdict = "" if shown else ", no difference shown"
    sentence = (
        f"{chosen}: {score} on validation ({where}), above {_words(following, axes)} by {difference_words(*ends)}"
        f"{verdict}; {tested}."
    )
    strength = SHOWN if shown else NOT_SHOWN
    short = f"by validation, {_words(best, axes)} is the best of {points} points of GRID{verdict}"
    return Finding("grid", sentence, short, strength, SETTINGS, *ends, int(best["n"]), seeds)


def _words(row: pd.Series, axes: list[str]) -> str:
    return words_of({name: row[name].item() if hasattr(row[name], "item") else row[name] for name in axes})


def _tested(rows: pd.DataFrame, axes: list[str]) -> str:
    """What the other tables and the test scores are about."""
    own = rows[rows["in_plan"]]
    return (
        "test sets were scored at no point" if own.empty else f"all other tables are about {_words(own.iloc[0], axes)}"
    )
