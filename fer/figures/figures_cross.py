"""Figures of generalisation: scores by training set and test set, the gap to training on the tested set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from fer.data.folds import OFFICIAL
from fer.figures.jobs import FigureJob, joined, notes
from fer.figures.plots_cross import plot_heat_maps
from fer.figures.result_rows import honest_rows, is_ensemble, models_in_order
from fer.results.study_files import StoredStudy, read_class_counts
from fer.results.trainings import spread_words

Matrix = dict[str, dict[str, float]]
SCORES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}


def cross_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Scores of every training set on every test set: over all networks by variant, and per variant by model.

    And, where sets were tested on each other, what training on another set than the tested one costs.
    """
    rows = honest_rows(study)
    if rows.empty:
        return
    rows = rows[(rows["tta"] == "none") & rows["test_on"].isin(study.datasets)].copy()
    if rows["test_on"].nunique() < 2:
        return
    rows["kind"] = _kinds(rows)
    networks = rows[~is_ensemble(rows)]
    known = notes(study, *study.datasets)
    about = joined(f"no TTA, mean over {_averaged(networks)}", _sizes(rows), *known)
    title = ["Cross-dataset evaluation: trained on (rows), tested on (columns)", about]
    panels = {
        f"{kind}: {words}": matrix(part, score)
        for score, words in SCORES.items()
        for kind, part in networks.groupby("kind", sort=False)
    }
    columns = min(networks["kind"].nunique(), 3)
    yield FigureJob(
        "cross_dataset/cross_dataset_evaluation", plot_heat_maps, title, {"panels": panels, "columns": columns}
    )
    for kind, part in rows.groupby("kind", sort=False):
        if part["label"].nunique() > 1:
            yield _by_model(str(kind), part, known)
    if (gaps := {str(kind): gap_matrix(part) for kind, part in networks.groupby("kind", sort=False)}) and any(
        gaps.values()
    ):
        yield _gap_job(study, networks, {kind: found for kind, found in gaps.items() if found})


def _kinds(rows: pd.DataFrame) -> pd.Series:
    """The variant trained on, and the pictures tested on where these are of another variant."""
    apart = rows["variant"] + ", tested on " + rows["test_variant"]
    return rows["variant"].where(rows["matching"], apart)


def _averaged(rows: pd.DataFrame) -> str:
    counts = {"network": rows["label"].nunique(), "seed": rows["seed"].nunique()}
    repeats = rows[rows["split"] != OFFICIAL]["split"].nunique()
    counts |= {"repeat": repeats} if repeats > 1 else {}
    return ", ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items())


def _sizes(rows: pd.DataFrame) -> str:
    counts = rows.groupby("test_on")["n_test"].max()
    return "test pictures: " + ", ".join(f"{name} {int(n):,}" for name, n in counts.items())


def _by_model(kind: str, part: pd.DataFrame, known: list[str]) -> FigureJob:
    panels = {label: matrix(part[part["label"] == label], "macro_f1") for label in models_in_order(part)}
    title = [
        f"Cross-dataset evaluation by model, {kind}: trained on (rows), tested on (columns)",
        joined(f"macro-F1, no TTA, mean over {spread_words(part)}", _sizes(part), *known),
    ]
    name = f"cross_dataset/cross_dataset_evaluation_{kind.replace(', tested on ', '_on_')}"
    return FigureJob(name, plot_heat_maps, title, {"panels": panels, "columns": min(len(panels), 4)})


def matrix(rows: pd.DataFrame, score: str) -> Matrix:
    """Mean of a score over models, then seeds alike, by training set (one dataset first) and test set."""
    means = rows.groupby(["train_on", "test_on"])[score].mean()
    order = sorted(rows["train_on"].unique(), key=_fewest_first)
    tested = sorted(rows["test_on"].unique())
    return {
        train: {test: float(means[train, test]) for test in tested if (train, test) in means.index} for train in order
    }


def _fewest_first(train_on: str) -> tuple[int, str]:
    return train_on.count("+"), train_on


def gap_matrix(rows: pd.DataFrame) -> Matrix:
    """Macro-F1 on T of networks trained on T alone, minus that of networks trained on S; T ≠ S.

    Pairs of the same model, seed and fold are compared; 0 is no loss. Empty where there are no such pairs.
    """
    same = ["label", "seed", "split", "test_on"]
    own = rows[rows["train_on"] == rows["test_on"]]
    others = rows[rows["train_on"] != rows["test_on"]]
    both = others.merge(own, on=same, suffixes=("", "_own"))
    both["gap"] = both["macro_f1_own"] - both["macro_f1"]
    return matrix(both, "gap") if len(both) else {}


def _gap_job(study: StoredStudy, rows: pd.DataFrame, gaps: dict[str, Matrix]) -> FigureJob:
    title = [
        "Generalisation gap: macro-F1 lost on a test set (columns) by training on another set (rows)",
        joined(
            "(trained on T, tested on T) minus (trained on S, tested on T); below 0: S serves better",
            f"no TTA, mean over {_averaged(rows)}", *notes(study, *study.datasets),
        ),
    ]  # fmt: skip
    details: dict[str, Any] = {"panels": gaps, "columns": min(len(gaps), 3), "signed": True, "mixes": _mixes(study)}
    return FigureJob("cross_dataset/generalisation_gap", plot_heat_maps, title, details)


def _mixes(study: StoredStudy) -> dict[str, list[int]]:
    """Rows per class in training and in test of each dataset. Raises InputError when a samples table is damaged."""
    mixes: dict[str, list[int]] = {}
    for name in study.datasets:
        counts = read_class_counts(study.output, name)
        mixes |= {f"{name} training": counts["train"], f"{name} test": counts["test"]}
    return mixes
