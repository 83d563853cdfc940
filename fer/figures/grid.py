"""The figures of GRID: one per axis, the validation score of every value with its interval, a panel per setup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer.columns.files import GRID_SETUP
from fer.figures.engine import FigureJob
from fer.figures.looks import Places, look, network_legend, places
from fer.figures.style import MARK, WIDTH, legend_rows, titled_figure
from fer.figures.titles import notes
from fer.findings.finding import metric_words, seeds_words
from fer.results.study_files import StoredStudy
from fer.settings.grid import words_of
from fer.statistics.grid import axes_of, read_grid_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, MOST_PANELS = 3, 12
LETTERS = 80  # of all values together that fit side by side under panels of one line
Points = Mapping[str, Mapping[str, list[Any]]]  # by network, then value: score, low, high, whether it is chosen


def grid_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """One figure per axis of GRID; nothing where there is none, or nothing of it is scored."""
    table = read_grid_table(study.output)
    if table is None or table.empty:
        return
    axes = axes_of(table)
    for axis in axes:
        yield _job(study, table[table["train_on"] != ""], axis, [name for name in axes if name != axis])


def _job(study: StoredStudy, rows: pd.DataFrame, axis: str, others: list[str]) -> FigureJob:
    metric = metric_words(str(rows["metric"].iloc[0]))
    seeds, counts = int(rows["n_seeds"].max()), sorted({int(count) for count in rows["n"]})
    over = "validation pictures" if rows["weights_only"].any() else "seeds and validation pictures"
    panels = _panels(rows, axis, others)
    shown = dict(list(panels.items())[:MOST_PANELS])
    left = f" {len(shown)} of {len(panels)} panels; all are in tables/grid.csv." if len(shown) < len(panels) else ""
    n = " or ".join(f"{count:,}" for count in counts)
    return FigureJob(
        f"grid/{axis.replace('.', '_')}",
        plot_axis,
        [
            f"{axis}: validation {metric} of each value",
            f"Mean of {seeds_words(seeds)}, 95 % interval over {over}, n = {n}; a ring: chosen by validation. "
            "No test set is part of it.",
            *notes(study, *study.datasets),
        ],
        {
            "axis": axis,
            "metric": metric,
            "values": [str(value) for value in dict.fromkeys(rows[axis])],
            "panels": shown,
            "places": places(study, rows["model"]),
        },
        caption=f"How validation {metric} changes with {axis}, for every network, with 95 % intervals over {over}. "
        f"A ring marks what validation chooses; where intervals overlap widely the choice may be luck.{left}",
        alt=f"Points with intervals: validation {metric} by {axis}, a line per network.",
        section="settings",
        is_key=True,
        is_lead=axis == next(iter(axes_of(rows))),
    )


def _panels(rows: pd.DataFrame, axis: str, others: list[str]) -> dict[str, Points]:
    """By heading: training set, variant, validation set and the values of the other axes."""
    keys = [name for name in GRID_SETUP if name != "model"] + others
    panels: dict[str, Points] = {}
    for values, part in rows.groupby(keys, sort=False):
        setup = dict(zip(keys, values, strict=True))
        head = f"{setup['train_on']}, {setup['variant']}"
        head += f", {setup['mixing']}, on {setup['validated_on']}" if "+" in str(setup["train_on"]) else ""
        head += "".join(f"\n{words_of({name: setup[name]})}" for name in others)
        panels[head] = {
            str(model): {
                str(row[axis]): [row["validation_score"], row["low"], row["high"], bool(row["chosen_by_validation"])]
                for row in found.to_dict("records")
            }
            for model, found in part.groupby("model", sort=True)
        }
    return panels


def plot_axis(
    title: list[str], axis: str, metric: str, values: list[str], panels: Mapping[str, Points], places: Places
) -> Figure:
    """A panel per heading: a line per network over the values in the order of GRID, evenly spaced."""
    names = sorted({name for found in panels.values() for name in found}, key=lambda name: places[name])
    columns = min(COLUMNS, len(panels))
    lines, below = -(-len(panels) // columns), 0.55 + 0.19 * legend_rows(names)
    longest = max(map(len, values))
    slanted = longest * len(values) > LETTERS / columns
    words = 0.045 * longest if slanted else 0.0  # inches that slanted names take below a panel
    below += words
    body = (2.3 + words) * lines + below - words
    width = WIDTH if columns > 1 else 6.4
    figure, top = titled_figure(title, width, body)
    height = body / top
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes, (heading, found) in zip(grid.ravel(), panels.items(), strict=False):
        _panel(axes, found, values, names, places)
        if slanted:
            axes.tick_params(axis="x", labelrotation=35)
            for label in axes.get_xticklabels():
                label.set(horizontalalignment="right", rotation_mode="anchor")
        axes.set_title(heading, size=9)
        axes.set_xlabel(axis, size=8.5)
    for line in grid:
        line[0].set_ylabel(f"validation {metric}", size=8.5)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_visible(False)
    network_legend(figure, names, places, marker=True)
    figure.subplots_adjust(
        left=0.62 / width,
        right=1 - 0.12 / width,
        bottom=below / height,
        top=top - 0.34 / height,
        wspace=0.08,
        hspace=0.62 + words / 1.5,
    )
    return figure


def _panel(axes: Axes, found: Points, values: list[str], names: list[str], places: Places) -> None:
    for number, name in enumerate(names):
        points = found.get(name, {})
        shift = (number - (len(names) - 1) / 2) * min(0.12, 0.6 / len(names))
        there = [(values.index(value) + shift, *point) for value, point in points.items()]
        shown = look(places[name])
        axes.plot([x for x, *_ in there], [score for _, score, *_ in there], color=shown.colour, linestyle=shown.line,
                  marker=shown.marker, markersize=4.5, linewidth=1)  # fmt: skip
        for x, score, low, high, chosen in there:
            axes.vlines(x, low, high, color=shown.colour, linewidth=1.1)
            if chosen:
                axes.plot(x, score, "o", markersize=10, markerfacecolor="none", color=MARK, markeredgewidth=1)
    axes.set_xticks(range(len(values)), values, size=8)
    axes.set(xlim=(-0.5, len(values) - 0.5), ylim=(0, 1))
    axes.grid(axis="y")
