"""Networks that end at or below the majority class on their own data: they did not learn, in a plain sentence."""

from __future__ import annotations

import pandas as pd

from fer.results.scores import MAJORITY
from fer.results.study_files import StoredStudy
from fer.runs.run import ORACLE
from fer.study.variants import scored_variant

LISTED = 6  # sentences in full; more are counted


def with_adjusted_loss(study: StoredStudy) -> frozenset[str]:
    """Names of the runs whose LOSS allows for rare classes, as balancing does."""
    losses = {run.name: (run.run.get("hyper") or {}).get("loss") for run in study.runs}
    return frozenset(name for name, loss in losses.items() if loss == "logit_adjustment")


def not_learned(results: pd.DataFrame, validation: pd.DataFrame, adjusted: frozenset[str] = frozenset()) -> list[str]:
    """Sentences about networks that did not learn, from the tables of results/tables.py.

    Each is compared with the majority class on validation and test rows of the datasets it was trained on, on pictures
    of its own variant, without TTA where that was scored: by accuracy, or by balanced accuracy where its training was
    balanced (BALANCE, or a loss that is `adjusted`), which gives up accuracy on purpose. Ensembles and oracles are left
    out.
    """
    found = [*_of(validation, "validation", adjusted), *_of(results, "test", adjusted)]
    more = [f"{len(found) - LISTED} more scores of networks lie at or below the majority class: see results.csv."]
    return found[:LISTED] + (more if len(found) > LISTED else [])


def below_majority(table: pd.DataFrame, adjusted: frozenset[str] = frozenset()) -> list[dict]:
    """Rows of `table` (results.csv or validation_results.csv) at or below the majority class, as in `not_learned`.

    Each with the `score` it was compared by and the `bar`, the majority class's.
    """
    majority = table["run"] == MAJORITY
    bars = table[majority].groupby(["test_on", "rows"])[["accuracy", "balanced_accuracy"]].mean()
    networks = table[~majority & (table["members"] == "") & (table["selection"] != ORACLE)]
    networks = networks[_on_own_data(networks)]
    first = networks.sort_values("tta", key=lambda policies: policies != "none", kind="stable")
    found = []
    for row in first.drop_duplicates(["run", "test_on"]).sort_index().to_dict("records"):
        score = "accuracy" if row["balance"] == "none" and row["run"] not in adjusted else "balanced_accuracy"
        rows = row["test_on"], row["rows"]  # single folds have no baseline of their own: their repeat has
        if rows in bars.index and row[score] <= (bar := float(bars[score][rows])):
            found.append(row | {"score": score, "bar": bar})
    return found


def _of(table: pd.DataFrame, split: str, adjusted: frozenset[str]) -> list[str]:
    return [_sentence(row, row["score"], row["bar"], split) for row in below_majority(table, adjusted)]


def _on_own_data(table: pd.DataFrame) -> pd.Series:
    """True where a network is scored on all it was trained on, or on one part of it, with pictures of its variant."""
    pairs = zip(table["test_on"].astype(str), table["train_on"].astype(str), strict=True)
    own = pd.Series([on in (trained, *trained.split("+")) for on, trained in pairs], index=table.index, dtype=bool)
    return own & (table["test_variant"] == table["variant"].map(scored_variant))


def _sentence(row: dict, score: str, bar: float, split: str) -> str:
    fold = "" if row["split"] == "official" else f", {row['split']}"
    return (
        f"{row['model']} trained on {row['train_on']} ({row['variant']}, seed {int(row['seed'])}{fold}) did not learn: "
        f"{score.replace('_', ' ')} {100 * row[score]:.1f} % on {split} rows of {row['test_on']}, the majority class "
        f"alone has {100 * bar:.1f} %."
    )
