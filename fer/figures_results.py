"""Figures of results: confusion matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from evaluation import accuracy, balanced_accuracy, macro_f1
from fer.figure_jobs import FigureJob, joined, name_parts, notes, run_words
from fer.plots import plot_confusion_matrix
from fer.settings import EMOTIONS
from fer.study_files import PredictionEntry, StoredStudy, read_predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# ---------------------------------------------------------------- confusion matrices


def confusion_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per run, test set, test variant and TTA policy: the confusion matrix, normalised by true class."""
    tests = [entry for entry in study.predictions if entry.split == "test"]
    pairs = {(entry.run.run["variant"], entry.test_variant) for entry in tests}
    several_variants = len(pairs) > len({variant for variant, _ in pairs})
    several_policies = len({entry.tta for entry in tests} - {"none"}) > 1
    for entry in tests:
        run = entry.run
        parts = [entry.test_on, *([f"{entry.test_variant}-faces"] if several_variants else [])]
        parts += [*name_parts(study, run), "cm"]
        folder = "confusion_matrices"
        if entry.tta != "none":
            folder += "/TTA"
            parts += ["TTA", *([entry.tta] if several_policies else [])]
        scored = [f"test pictures {entry.test_variant}", "no TTA" if entry.tta == "none" else f"TTA {entry.tta}"]
        title = [
            f"{run.run['model']} on the {entry.test_on} test set",
            run_words(run),
            joined(*scored, *notes(study, *entry.test_on.split("+"), *run.run["train_on"])),
        ]
        name = f"{folder}/{'_'.join(parts)}"
        yield FigureJob(name, draw_confusion_matrix, title, {}, (entry,), entry.stamp(), run.name)


def draw_confusion_matrix(entry: PredictionEntry, title: list[str]) -> Figure:
    """Confusion matrix of a predictions file, n and scores in the title. Raises InputError when damaged."""
    found = read_predictions(entry)
    classes = len(EMOTIONS)
    pairs = np.bincount(found.labels * classes + found.predicted, minlength=classes**2)
    scores = {"accuracy": accuracy, "balanced accuracy": balanced_accuracy, "macro-F1": macro_f1}
    values = [f"{name} {score(found.labels, found.probabilities):.3f}" for name, score in scores.items()]
    return plot_confusion_matrix(
        pairs.reshape(classes, classes), title=[*title, joined(f"n = {len(found.labels):,}", *values)]
    )
