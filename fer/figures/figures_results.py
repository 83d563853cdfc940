"""Figures of results: confusion matrices and error analysis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation import Predictions, accuracy, balanced_accuracy, macro_f1
from fer.figures.jobs import FigureJob, joined, name_parts, notes, run_words
from fer.figures.plots_results import plot_error_analysis
from fer.figures.style import plot_confusion_matrix
from fer.results.study_files import PredictionEntry, StoredStudy, read_predictions
from fer.runs.run import ORACLE
from fer.settings.settings import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# ---------------------------------------------------------------- confusion matrices


def confusion_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per run (folds of a repeat: together), test set, variant and TTA policy: the confusion matrix, and its counts.

    Without TTA, on all it was trained on, also the error analysis. Of the ensembles the soft vote stands for all, on
    its own data alone, in ensemble_results/.
    """
    tests = [entry for entry in study.predictions if entry.split == "test" and entry.rows != "fold"]
    pairs = {(entry.run.run["variant"], entry.test_variant) for entry in tests}
    several_variants = len(pairs) > len({variant for variant, _ in pairs})
    several_policies = len({entry.tta for entry in tests} - {"none"}) > 1
    for entry in tests:
        run = entry.run
        own = set(entry.test_on.split("+")) <= set(run.run["train_on"])
        if run.members and not (own and run.run["model"] == "ensemble_soft"):
            continue
        parts = [entry.test_on, *([f"{entry.test_variant}-faces"] if several_variants else [])]
        parts += [*name_parts(study, run), "cm"]
        folder = "ensemble_results/confusion_matrices" if run.members else "confusion_matrices"
        if entry.tta != "none":
            folder += "/TTA"
            parts += ["TTA", *([entry.tta] if several_policies else [])]
        scored = [f"test pictures {entry.test_variant}", "no TTA" if entry.tta == "none" else f"TTA {entry.tta}"]
        title = [
            f"{run.run['model']} on the {entry.test_on} test set",
            run_words(run),
            joined(*scored, *notes(study, *entry.test_on.split("+"), *run.run["train_on"])),
        ]
        if run.run["selection"] == ORACLE:
            title.append("ORACLE: the epoch was chosen on the test set")
        shown: dict[str, Any] = {"sources": (entry,), "stamp": entry.stamp(), "run": run.name}
        name = f"{folder}/{'_'.join(parts)}"
        yield FigureJob(name, draw_confusion_matrix, title, {}, **shown)
        if entry.tta == "none" and entry.test_on == run.train_on:
            errors = f"error_analysis/{'_'.join(parts[:-1])}_error_analysis"
            yield FigureJob(errors, draw_error_analysis, title, {}, **shown)


def draw_confusion_matrix(entry: PredictionEntry, title: list[str]) -> Figure:
    """Confusion matrix of a predictions file, n and scores in the title. Raises InputError when damaged."""
    found = read_predictions(entry)
    scores = {"accuracy": accuracy, "balanced accuracy": balanced_accuracy, "macro-F1": macro_f1}
    values = [f"{name} {score(found.labels, found.probabilities):.3f}" for name, score in scores.items()]
    return plot_confusion_matrix(_counts(found), title=[*title, joined(f"n = {len(found.labels):,}", *values)])


def draw_error_analysis(entry: PredictionEntry, title: list[str]) -> Figure:
    """Where a predictions file is wrong, in four panels. Raises InputError when damaged."""
    found = read_predictions(entry)
    right = found.predicted == found.labels
    sure = found.probabilities.max(axis=1)
    summary = [
        f"test pictures: {len(right):,}",
        f"errors: {(~right).sum():,} ({(~right).mean():.1%})",
        f"accuracy: {right.mean():.3f}",
        f"balanced accuracy: {balanced_accuracy(found.labels, found.probabilities):.3f}",
        f"macro-F1: {macro_f1(found.labels, found.probabilities):.3f}",
        f"mean confidence when right: {sure[right].mean():.3f}" if right.any() else "never right",
        f"mean confidence when wrong: {sure[~right].mean():.3f}" if not right.all() else "never wrong",
        f"errors with confidence above 0.9: {(~right & (sure > 0.9)).sum():,}",
    ]
    title = [f"Errors of {title[0]}", *title[1:]]
    return plot_error_analysis(_counts(found), [*title, f"n = {len(right):,}"], summary)


def _counts(found: Predictions) -> np.ndarray:
    classes = len(EMOTIONS)
    pairs = np.bincount(found.labels * classes + found.predicted, minlength=classes**2)
    return pairs.reshape(classes, classes)
