"""Figures that compare scores: architectures, classes, augmentation, combined training, ensembles, TTA.

All numbers are those of results.csv and per_class_results.csv.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from evaluation import METRICS
from fer.figures.jobs import FigureJob, joined, notes
from fer.figures.plots_compare import plot_bars
from fer.figures.result_rows import (
    honest_rows,
    is_ensemble,
    models_in_order,
    own_rows,
    pictures,
    repeats,
    values,
    with_classes,
)
from fer.results.study_files import StoredStudy
from fer.settings.settings import EMOTIONS

WORDS = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_precision": "macro precision",
    "macro_recall": "macro recall", "macro_f1": "macro-F1", "macro_auc": "macro AUC", "cohen_kappa": "Cohen's kappa",
}  # fmt: skip
BEFORE, AFTER = "preprocessed", "augmented"


def metric_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set and variant: every metric of every model on its own test set, and recall and F1 per class."""
    for (train_on, variant), part in own_rows(study).groupby(["train_on", "variant"]):
        name = f"metrics/{train_on}_{variant}"
        about = joined(f"{variant}, tested on {train_on}, no TTA", pictures(part), repeats(part))
        known = notes(study, *str(train_on).split("+"))
        order = models_in_order(part)
        long = part.melt(["label"], list(METRICS), "metric").replace({"metric": WORDS})
        title = [f"{train_on}: all metrics of all models", joined(about, *known)]
        panels = {"": values(long, "label", "metric", "value", order)}
        yield FigureJob(f"{name}_metrics", plot_bars, title, {"panels": panels, "axis": "score"})
        classes = with_classes(study, part)
        panels = {kind: values(classes, "label", "class", kind, order) for kind in ("recall", "f1")}
        panels = {"recall": panels["recall"], "F1": panels["f1"]}
        title = [f"{train_on}: recall and F1 per class", joined(about, *known)]
        yield FigureJob(f"{name}_per_class", plot_bars, title, {"panels": panels, "axis": "score"})


# ---------------------------------------------------------------- what a change brings


def augmentation_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set: recall and F1 of each class with augmentation minus without, per model, seed by seed."""
    for train_on, part in own_rows(study).groupby("train_on"):
        if not {BEFORE, AFTER} <= set(part["variant"]):
            continue
        classes = with_classes(study, part)
        panels = {words: _gains(classes, kind) for words, kind in (("recall", "recall"), ("F1", "f1"))}
        if not any(panels["F1"].values()):
            continue
        counts = f"{pictures(part)}, no TTA, {repeats(part)}"
        title = [
            f"{train_on}: gain per class of augmented over preprocessed",
            joined("difference between runs of the same seed", counts, *notes(study, *str(train_on).split("+"))),
        ]
        details = {"panels": panels, "axis": "gain", "least": 0.05, "signed": True}
        yield FigureJob(f"metrics/{train_on}_augmentation_gain", plot_bars, title, details)


def _gains(classes: pd.DataFrame, kind: str) -> dict[str, dict[str, list[float]]]:
    """Augmented minus preprocessed of one score, paired by model, seed and fold."""
    same = ["model", "seed", "split", "class"]
    before, after = (classes[classes["variant"] == variant] for variant in (BEFORE, AFTER))
    both = before.merge(after, on=same, suffixes=("_before", ""))
    both["gain"] = both[kind] - both[f"{kind}_before"]
    both["label"] = both["model"]
    both["class"] = pd.Categorical(both["class"], EMOTIONS)
    return values(both.sort_values("class", kind="stable"), "label", "class", "gain", models_in_order(both))


def tta_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per TTA policy: what it adds to the accuracy of each model, on the test set of its own training set."""
    rows = honest_rows(study)
    if rows.empty:
        return
    own = rows[rows["own"] & rows["tta_gain"].notna()]
    policies = sorted(own["tta"].unique())
    for policy in policies:
        part = own[own["tta"] == policy].sort_values("label", key=_models_first, kind="stable")
        panels = {
            f"{train_on} ({pictures(some)})": values(some, "variant", "label", "tta_gain")
            for train_on, some in part.groupby("train_on")
        }
        title = [
            f"Gain in accuracy by test-time augmentation ({policy})",
            joined("against the same network without TTA", repeats(part), *notes(study, *study.datasets)),
        ]
        details = {"panels": panels, "axis": "gain", "least": 0.01, "signed": True}
        name = "tta/tta_gain" + (f"_{policy}" if len(policies) > 1 else "")
        yield FigureJob(name, plot_bars, title, details | {"panel_height": 1.9})


def _models_first(labels: pd.Series) -> pd.Series:
    return labels.map(lambda label: (label.startswith("ensemble_"), label))


# ---------------------------------------------------------------- combined training, ensembles


def combined_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per variant: accuracy on each test set of a model trained on that dataset alone and on several together."""
    rows = honest_rows(study)
    if rows.empty:
        return
    fits = rows["matching"] & (rows["tta"] == "none") & rows["section"].isin(["individual", "combined", "ensemble"])
    rows = rows[fits & ~rows["test_on"].str.contains("+", regex=False)]
    rows = rows[[test in train.split("+") for test, train in zip(rows["test_on"], rows["train_on"], strict=True)]]
    variants = [
        str(variant)
        for variant, part in rows.groupby("variant")
        if part["train_on"].str.contains("+", regex=False).any()
    ]
    for variant in variants:
        part = rows[rows["variant"] == variant].copy()
        part["trained"] = part["train_on"].where(part["train_on"].str.contains("+", regex=False), "this dataset alone")
        order = sorted(part["trained"].unique(), key=lambda name: (name != "this dataset alone", name))
        panels = {
            f"{label}": values(some.sort_values("test_on", kind="stable"), "trained", "test_on", "macro_f1", order)
            for label, some in ((label, part[part["label"] == label]) for label in models_in_order(part))
        }
        title = [
            "Trained on one dataset or on several together",
            joined(
                f"macro-F1 on each test set, {variant}, no TTA",
                pictures(part),
                repeats(part),
                *notes(study, *study.datasets),
            ),
        ]
        details = {"panels": panels, "axis": "macro-F1", "columns": min(2, len(panels)), "panel_height": 2.0}
        name = "combined/individual_vs_combined" + (f"_{variant}" if len(variants) > 1 else "")
        yield FigureJob(name, plot_bars, title, details)


def ensemble_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set, variant and test set: the ensembles beside the networks that vote in them."""
    rows = honest_rows(study)
    if rows.empty:
        return
    rows = rows[rows["matching"]]
    for (train_on, variant, test_on), part in rows.groupby(["train_on", "variant", "test_on"]):
        if not is_ensemble(part).any():
            continue
        order = models_in_order(part)
        panels = {}
        for policy in sorted(part["tta"].unique(), key=lambda name: (name != "none", name)):
            some = part[part["tta"] == policy]
            kinds = {name: WORDS[name] for name in ("accuracy", "balanced_accuracy", "macro_f1")}
            long = some.melt(["label"], list(kinds), "metric").replace({"metric": kinds})
            panels["no TTA" if policy == "none" else f"TTA {policy}"] = values(long, "label", "metric", "value", order)
        title = [
            f"Ensembles and the networks that vote in them, on {test_on}",
            joined(f"trained on {train_on} ({variant})", pictures(part), repeats(part)),
            *([joined(*known)] if (known := notes(study, *str(train_on).split("+"), *str(test_on).split("+"))) else []),
        ]
        name = f"ensemble_results/{train_on}_{variant}_ensembles_{test_on}"
        yield FigureJob(name, plot_bars, title, {"panels": panels, "axis": "score"})
