"""The figure of GRID by class: the validation score and the recall of every class at each point, a panel per setup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer.columns.files import GRID_SETUP
from fer.figures.engine import FigureJob
from fer.figures.style import titled_figure
from fer.figures.titles import notes
from fer.findings.finding import metric_words, seeds_words
from fer.results.study_files import StoredStudy
from fer.settings.grid import words_of
from fer.statistics.grid import axes_of, read_grid_classes, read_grid_table, setup_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS, MOST_PANELS = 30, 6
Cells = Mapping[str, list[list[float | None]]]  # by point: [value, standard deviation] of the score and each class


def grid_class_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """One figure; nothing where there is no GRID, or nothing of it is scored."""
    table, classes = read_grid_table(study.output), read_grid_classes(study.output)
    if table is None or classes is None or classes.empty:
        return
    axes = axes_of(table)
    metric = metric_words(str(table["metric"].iloc[0]))
    rows = table[table["train_on"] != ""]
    setups = list(rows.groupby(list(GRID_SETUP), sort=False))[:MOST_PANELS]
    panels = {setup_words([*setup]): _panel_data(setup, part, classes, axes) for setup, part in setups}
    left = _left_out(rows, len(panels))
    yield FigureJob(
        "grid/classes",
        plot_grid_classes,
        [
            f"Validation {metric} and recall of each class, by {', '.join(axes)}",
            f"Mean ± standard deviation over {seeds_words(int(rows['n_seeds'].max()))}; below a class its pictures. "
            "An arrow: chosen by validation. No test set is part of it.",
            *notes(study, *study.datasets),
        ],
        {"metric": metric, "panels": panels},
        caption=f"What each point of GRID does for every class: validation {metric}, then the recall of each class. "
        f"A column is read from top to bottom; recall of a class with few pictures moves in large steps.{left}",
        alt=f"A table of shaded cells: a row per point of GRID, columns for {metric} and the recall of each class.",
        section="settings",
        is_key=True,
    )


def _left_out(rows: pd.DataFrame, panels: int) -> str:
    setups = rows.groupby(list(GRID_SETUP)).size()
    if len(setups) <= panels and setups.max() <= MOST_POINTS:
        return ""
    return f" At most {MOST_PANELS} panels of {MOST_POINTS} points are drawn; all are in tables/grid_classes.csv."


def _panel_data(setup: tuple[Any, ...], part: pd.DataFrame, classes: pd.DataFrame, axes: list[str]) -> dict[str, Any]:
    """`columns` with their pictures, `cells` by point, and the `chosen` point ("" where none is)."""
    mine = classes[(classes[list(GRID_SETUP)] == list(setup)).all(axis=1)]
    names = list(dict.fromkeys(mine["class"]))
    cells: dict[str, list[list[float | None]]] = {}
    for row in part.head(MOST_POINTS).to_dict("records"):
        found = mine[(mine[axes] == [row[name] for name in axes]).all(axis=1)].set_index("class")
        recalls = [[_number(found.loc[name, "recall"]), _number(found.loc[name, "sd"])] for name in names]
        cells[_point_words(row, axes)] = [[_number(row["validation_score"]), None], *recalls]
    support = mine.drop_duplicates("class").set_index("class")["support"]
    chosen = [_point_words(row, axes) for row in part[part["chosen_by_validation"]].to_dict("records")]
    return {
        "columns": {name: int(support[name]) for name in names},
        "cells": cells,
        "chosen": next(iter(chosen), ""),
    }


def _point_words(row: Mapping[Any, Any], axes: list[str]) -> str:
    return str(row[axes[0]]) if len(axes) == 1 else words_of({name: row[name] for name in axes})


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def plot_grid_classes(title: list[str], metric: str, panels: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A panel per setup below each other: points by line, the score and the recall of each class by column."""
    points = [len(panel["cells"]) for panel in panels.values()]
    longest = max(len(name) for panel in panels.values() for name in panel["cells"])
    left = min(0.25 + 0.068 * longest, 4.5)
    width, body = left + 6.6, sum(0.34 * count + 0.75 for count in points)
    figure, top = titled_figure(title, width, body)
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=points)
    for axes, (heading, panel) in zip(grid[:, 0], panels.items(), strict=True):
        _panel(axes, panel, metric)
        axes.set_title(heading, size=9, pad=4)
    height = body / top
    figure.subplots_adjust(
        left=left / width, right=1 - 0.15 / width, bottom=0.5 / height, top=top - 0.25 / height,
        hspace=0.75 / (0.34 * max(sum(points) / len(points), 1)),
    )  # fmt: skip
    return figure


def _panel(axes: Axes, panel: Mapping[str, Any], metric: str) -> None:
    cells: Cells = panel["cells"]
    values = [[float("nan") if value is None else value for value, _ in row] for row in cells.values()]
    axes.imshow(values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for line, row in enumerate(cells.values()):
        for column, (value, spread) in enumerate(row):
            if value is not None:
                text = f"{value:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")
                axes.text(column, line, text, ha="center", va="center", size=7.5,
                          color="white" if value > 0.6 else "#222222")  # fmt: skip
    axes.axvline(0.5, color="white", linewidth=4)
    heads = [metric, *(f"{name}\n{pictures:,}" for name, pictures in panel["columns"].items())]
    axes.set_xticks(range(len(heads)), heads, size=8)
    axes.set_yticks(range(len(cells)), [f"▶ {name}" if name == panel["chosen"] else name for name in cells], size=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
