"""Figures of cost: what networks and trainings take, and the accuracy that is bought with it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fer.figures.jobs import FigureJob, joined, notes
from fer.figures.plots_results import plot_cost, plot_score_against_cost
from fer.figures.result_rows import models_in_order, own_rows, pictures
from fer.results.study_files import StoredStudy
from fer.results.trainings import spread_words

COSTS = {
    "parameters": "parameters",
    "flops": "FLOPs a face",
    "latency_ms": "latency a face [ms]",
    "train_seconds": "training time [s]",
    "images_per_second": "training [images/s]",
    "peak_gpu_mb": "peak memory of the GPU in training [MB]",
    "peak_ram_mb": "growth of memory in training [MB]",
}
AGAINST = ("parameters", "latency_ms", "train_seconds")


def cost_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set and variant: every cost of every model, and accuracy on its own test set against cost."""
    for (train_on, variant), part in own_rows(study).groupby(["train_on", "variant"]):
        words = f"{variant}; mean over {spread_words(part)}; an ensemble costs the sum of its members"
        known = notes(study, *str(train_on).split("+"))
        costs = {shown: means for fact, shown in COSTS.items() if (means := _means(part, fact))}
        if costs:
            title = [f"Cost of networks trained on {train_on}", joined(words, *known)]
            yield FigureJob(f"cost/{train_on}_{variant}_cost", plot_cost, title, {"costs": costs})
        scores = _means(part, "accuracy")
        panels = {
            f"{COSTS[fact]}, logarithmic": {
                model: [x, scores[model]] for model, x in _means(part, fact).items() if x > 0 and model in scores
            }
            for fact in AGAINST
        }
        if len(scores) > 1:
            title = [f"Accuracy on {train_on} against cost", joined(words, "no TTA", pictures(part), *known)]
            details = {"panels": {cost: points for cost, points in panels.items() if points}, "label": "accuracy"}
            yield FigureJob(f"cost/{train_on}_{variant}_accuracy_vs_cost", plot_score_against_cost, title, details)


def _means(rows: pd.DataFrame, column: str) -> dict[str, float]:
    """Mean over the seeds by model; a model of which it is not known is left out."""
    means = rows.groupby("label")[column].mean()
    return {label: float(means[label]) for label in models_in_order(rows) if not pd.isna(means[label])}
