"""What a search left in search/ of the output folder, read back for figures and the report; no Optuna, no torch.

search.json       what was searched, how many trials ended how, the chosen one, how optimistic its choice is
trials.csv        a row per trial
importances.csv   a row per setting
chosen.py         the chosen settings, for --config
trials.db         Optuna's own tables, where no server keeps them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer.columns.files import IMPORTANCES, TRIALS
from fer.metrics.metrics import METRICS
from fer.search.storage import search_folder
from utils import InputError, read_csv, read_json

SHOWN = 0.0005  # an optimism that three decimals show
TEXTS = ("state", "metric", "runs", "problem")


@dataclass(frozen=True)
class StoredSearch:
    """`facts` as in search.json; `trials` and `importances` as in the tables."""

    facts: dict[str, Any]
    trials: pd.DataFrame
    importances: pd.DataFrame

    @property
    def axes(self) -> list[str]:
        """The settings searched over."""
        return [str(name) for name in self.trials if name not in TRIALS]


def read_search(output: Path, runs: set[str]) -> StoredSearch | None:
    """The search that chose one of `runs`; None where there is none. Raises InputError where a file is damaged."""
    folder = search_folder(output)
    if not (folder / "search.json").is_file():
        return None
    try:
        facts = read_json(folder / "search.json")
        if runs.isdisjoint(facts["chosen"]["runs"]):
            return None
        trials, importances = read_csv(folder / "trials.csv", TEXTS), read_csv(folder / "importances.csv", ["setting"])
        lacking = [name for name in TRIALS if name not in trials] + [n for n in IMPORTANCES if n not in importances]
        if lacking:
            raise ValueError(f"a table has no column {lacking[0]}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder}: the search cannot be shown ({error}). `python main.py --no-train` with the same SEARCH makes "
            "its files again."
        ) from error
    return StoredSearch(facts, trials, importances)


def chosen_words(facts: dict[str, Any]) -> str:
    """The chosen score, among how many, and how optimistic that is: "validation macro-F1 0.712, the best of 50 …"."""
    score, words = facts["chosen"]["score"], METRICS[facts["metric"]].words
    said = f"validation {words} {score:.3f}, the best of {facts['looked_at']} trials"
    found = facts["optimism"]
    if found is None:
        return f"{said}; how optimistic that choice is was not estimated: {facts['no_optimism']}"
    if found["drop"] < SHOWN:
        return f"{said}; no optimism of that choice shows on resampled faces"
    return (
        f"{said}; for having been chosen it is about {found['drop']:.3f} too good: expect {found['corrected']:.3f} "
        "on new faces of the same kind"
    )
