"""How figures of scores look: plain values and one title in, a matplotlib Figure out. Reads and writes no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fer.figures.style import COLOURS, titled_figure
from fer.settings.settings import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---------------------------------------------------------------- errors


def plot_error_analysis(counts: np.ndarray, title: list[str], summary: list[str]) -> Figure:
    """Four panels from int [C, C] (rows true): error rate per class, ten most confused pairs, errors, summary."""
    figure, top = titled_figure(title, 11, 7.4)
    (rates, pairs), (matrix, words) = figure.subplots(2, 2, width_ratios=(1, 1.15))
    support = counts.sum(axis=1)
    wrong = counts - np.diag(np.diag(counts))
    share = wrong.sum(axis=1) / np.maximum(support, 1)
    rates.bar(range(len(EMOTIONS)), share, color=COLOURS[4])
    for place, (rate, n) in enumerate(zip(share, support, strict=True)):
        rates.annotate(f"{rate:.2f}" if n else "no images", (place, rate), ha="center", va="bottom", size=8)
    rates.set_xticks(range(len(EMOTIONS)), [f"{c}\nn={n:,}" for c, n in zip(EMOTIONS, support, strict=True)], size=8)
    rates.set(ylim=(0, 1.08), title="error rate per class")
    rates.grid(axis="y")
    _pairs(pairs, wrong, support)
    _errors(matrix, wrong, support)
    words.axis("off")
    words.set_title("summary")
    words.text(0, 0.95, "\n".join(summary), va="top", size=10, linespacing=1.7, transform=words.transAxes)
    figure.subplots_adjust(left=0.08, right=0.985, bottom=0.07, top=top - 0.04, hspace=0.34, wspace=0.3)
    return figure


def _pairs(axes: Axes, wrong: np.ndarray, support: np.ndarray) -> None:
    order = [place for place in np.argsort(-wrong, axis=None, kind="stable")[:10] if wrong.flat[place]]
    rows, columns = np.unravel_index(np.array(order, dtype=int), wrong.shape)
    found = wrong[rows, columns]
    axes.barh(range(len(order)), found, color=COLOURS[0])
    axes.set_yticks(range(len(order)), [f"{EMOTIONS[r]} → {EMOTIONS[c]}" for r, c in zip(rows, columns, strict=True)])
    for place, (n, row) in enumerate(zip(found, rows, strict=True)):
        axes.annotate(f" {n:,} ({n / support[row]:.0%} of {EMOTIONS[row]})", (n, place), va="center", size=8)
    axes.set_xlim(0, 1.45 * max([*found, 1]))
    axes.xaxis.set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_title("most confused pairs (true → predicted)" if order else "no errors")


def _errors(axes: Axes, wrong: np.ndarray, support: np.ndarray) -> None:
    """Off the diagonal: the share of each true class, and the count below it."""
    shares = wrong / np.maximum(support, 1)[:, None]
    top = max(float(shares.max()), 0.01)
    axes.imshow(shares, cmap="Oranges", vmin=0, vmax=top, aspect="auto")
    for (row, column), n in np.ndenumerate(wrong):
        if row != column and support[row]:
            colour = "white" if shares[row, column] > 0.6 * top else "#222222"
            axes.text(
                column, row, f"{shares[row, column]:.2f}\n{n:,}", ha="center", va="center", color=colour, size=7.5
            )
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS, size=8)
    axes.set_yticks(range(len(EMOTIONS)), EMOTIONS, size=8)
    axes.tick_params(length=0)
    axes.set(title="errors: share of the true class, and pictures", xlabel="predicted", ylabel="true")


# ---------------------------------------------------------------- cost


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
    columns = max(1, min(len(models), 130 // (max(map(len, models)) + 8)))
    below = 0.55 + 0.19 * -(-len(models) // columns)
    figure, top = titled_figure(title, 9.6, 3.1 + below)
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
    figure.legend(*fullest.get_legend_handles_labels(), ncols=columns, loc="lower left", bbox_to_anchor=(0.05, 0))
    figure.subplots_adjust(left=0.065, right=0.985, bottom=below / height, top=top - 0.12 / height, wspace=0.08)
    return figure


def _entries(axes: Axes) -> int:
    return len(axes.get_legend_handles_labels()[1])


def _cost_axis(axes: Axes, costs: Sequence[float]) -> None:
    """Logarithmic, with ticks at 1, 2 and 5 in plain figures: a power of ten alone says little over a short range."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(min(costs) / 1.5, max(costs) * 1.5)
    wide = max(costs) / min(costs) > 1000
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter(sep="") if max(costs) >= 1000 else "{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
