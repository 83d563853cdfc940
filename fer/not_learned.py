"""Networks that end at or below the majority class on their own data: they did not learn, in a plain sentence."""

from __future__ import annotations

import pandas as pd

from fer.runs import ORACLE
from fer.scores import MAJORITY

LISTED = 6  # networks named in full; more are counted


def not_learned(results: pd.DataFrame, validation: pd.DataFrame) -> list[str]:
    """Sentences about networks that did not learn, from the tables of tables.py.

    Each is compared with the majority class on validation and test rows of the datasets it was trained on, without
    TTA where that was scored: by accuracy, or by balanced accuracy where its training was balanced (BALANCE), which
    gives up accuracy on purpose. Ensembles and oracles are left out.
    """
    found = [*_of(validation, "validation"), *_of(results, "test")]
    more = [f"{len(found) - LISTED} more networks end at or below the majority class: see results.csv."]
    return found[:LISTED] + (more if len(found) > LISTED else [])


def _of(table: pd.DataFrame, split: str) -> list[str]:
    majority = table["run"] == MAJORITY
    bars = table[majority].groupby("test_on")[["accuracy", "balanced_accuracy"]].mean()
    own = [
        str(on) in (str(of), *str(of).split("+")) for on, of in zip(table["test_on"], table["train_on"], strict=True)
    ]
    networks = table[~majority & own & (table["members"] == "") & (table["selection"] != ORACLE)]
    first = networks.sort_values("tta", key=lambda policies: policies != "none", kind="stable")
    rows = first.drop_duplicates(["run", "test_on"]).sort_index().to_dict("records")
    return [_sentence(row, score, bars.at[row["test_on"], score], split) for row in rows if row["test_on"] in bars.index
            for score in [_judged_by(row["balance"])] if row[score] <= bars.at[row["test_on"], score]]  # fmt: skip


def _judged_by(balance: str) -> str:
    return "accuracy" if balance == "none" else "balanced_accuracy"


def _sentence(row: dict, score: str, bar: float, split: str) -> str:
    fold = "" if row["split"] == "official" else f", {row['split']}"
    return (
        f"{row['model']} trained on {row['train_on']} ({row['variant']}, seed {row['seed']}{fold}) did not learn: "
        f"{score.replace('_', ' ')} {100 * row[score]:.1f} % on {split} rows of {row['test_on']}, the majority class "
        f"alone has {100 * bar:.1f} %."
    )
