"""Figures of cost: what networks and trainings take, and the accuracy that is bought with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.result_rows import models_in_order, own_rows, pictures
from fer.figures.style import COLOURS, LEGEND_LINE, WIDTH, legend_columns, legend_rows, titled_figure
from fer.figures.titles import joined, notes
from fer.results.study_files import StoredStudy
from fer.results.trainings import spread_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


# ---------------------------------------------------------------- how they look


def plot_cost(title: list[str], costs: Mapping[str, Mapping[str, float]]) -> Figure:
    """A panel per quantity, a bar per model; `costs`: quantity (with its unit) to model to value."""
    down = -(-len(costs) // 3)
    models = list(dict.fromkeys(model for values in costs.values() for model in values))
    body = down * (0.3 * len(models) + 0.9)
    figure, top = titled_figure(title, 11, body)
    panels = figure.subplots(down, 3, squeeze=False, sharey=True).ravel()
    for axes, (heading, values) in zip(panels, costs.items(), strict=False):
        numbers = [values.get(model, np.nan) for model in models]
        axes.barh(models, numbers, color=COLOURS[0])
        for place, value in enumerate(numbers):
            axes.annotate(f" {_amount(value)}", (0 if np.isnan(value) else value, place), va="center", size=8)
        axes.set_title(heading, size=9)
        axes.margins(x=0.35)
        axes.set_xlim(left=0)
        axes.xaxis.set_visible(False)
    panels[0].invert_yaxis()
    for axes in panels[len(costs) :]:
        axes.set_visible(False)
    left = min(0.06 + 0.0068 * max(map(len, models)), 0.3)
    figure.subplots_adjust(left=left, right=0.99, bottom=0.03, top=top - 0.3 / body, hspace=0.35, wspace=0.08)
    return figure


def _amount(value: float) -> str:
    if np.isnan(value):
        return "not measured"
    if value >= 1e6:
        return f"{value / 1e6:,.3g} million"
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}"


def plot_score_against_cost(
    title: list[str], panels: Mapping[str, Mapping[str, tuple[float, float]]], label: str
) -> Figure:
    """A panel per cost, a point per model: (cost, score), costs on logarithmic scales, score from 0 to 1."""
    models = list(dict.fromkeys(model for points in panels.values() for model in points))
    below = 0.55 + LEGEND_LINE * legend_rows(models)
    figure, top = titled_figure(title, WIDTH, 3.1 + below)
    height = (3.1 + below) / top
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (cost, points) in zip(grid, panels.items(), strict=True):
        for name, (x, y) in points.items():
            place = models.index(name)
            axes.scatter(x, y, s=45, color=COLOURS[place % len(COLOURS)], marker="os^DvPX"[place % 7], label=name)
        _cost_axis(axes, [x for x, _ in points.values()])
        axes.set(xlabel=cost, ylim=(0, 1))
        axes.grid()
    grid[0].set_ylabel(label)
    fullest = max(grid, key=_entries)
    columns = legend_columns(models)
    figure.legend(*fullest.get_legend_handles_labels(), ncols=columns, loc="lower left", bbox_to_anchor=(0.05, 0))
    figure.subplots_adjust(left=0.065, right=0.985, bottom=below / height, top=top - 0.12 / height, wspace=0.08)
    return figure


def _entries(axes: Axes) -> int:
    return len(axes.get_legend_handles_labels()[1])


def _cost_axis(axes: Axes, costs: Sequence[float]) -> None:
    """Logarithmic, with ticks at 1, 2 and 5 as plain numbers: a power of ten alone says little over a short range."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(min(costs) / 1.5, max(costs) * 1.5)
    wide = max(costs) / min(costs) > 1000
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter(sep="") if max(costs) >= 1000 else "{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
