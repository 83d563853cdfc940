"""Figures of accuracy by group of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.statistics_rows import (
    TRAINED,
    Records,
    about_row,
    as_records,
    of_run,
    row_name,
    shown_rows,
    statistics_table,
)
from fer.figures.style import COLOURS, MARK, score_text, titled_figure
from fer.results.study_files import StoredStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ATTRIBUTE_WORDS = {"face_size": "shorter side of the face, pixels", "brightness": "brightness, 0 to 255"}


def group_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per network or soft ensemble, lowest seed: accuracy by group of pictures, where groups are known.

    Raises InputError when a table is damaged.
    """
    shown = shown_rows(study)
    if shown.empty:
        return
    groups = statistics_table(study, "groups")
    for _, row in shown[shown["probabilities"] == TRAINED].iterrows():
        found = of_run(groups, row)
        if len(found):
            title = [f"Accuracy by group: {row['model']} on the {row['test_on']} test set", about_row(study, row)]
            details = {"rows": as_records(found), "accuracy": float(row["accuracy"])}
            yield FigureJob(f"statistics/groups_{row_name(row)}", plot_groups, title, details, run=row["run"])


def plot_groups(title: list[str], rows: Records, accuracy: float) -> Figure:
    """Accuracy of one network per group, a panel an attribute; `rows` of groups.csv; a line at its `accuracy`.

    The worst of the groups with 30 pictures or more is marked where it is shown to be below the best.
    """
    table = pd.DataFrame(rows)
    attributes = list(dict.fromkeys(table["attribute"]))
    counts = [int((table["attribute"] == name).sum()) for name in attributes]
    body = sum(0.27 * count + 0.42 for count in counts) + 0.5
    figure, top = titled_figure(title, 7.6, body)
    grid = figure.add_gridspec(len(attributes), 1, height_ratios=[count + 0.6 for count in counts])
    panels = [figure.add_subplot(grid[place]) for place in range(len(attributes))]
    for axes, name in zip(panels, attributes, strict=True):
        _group_panel(axes, table[table["attribute"] == name], accuracy)
        axes.set_title(ATTRIBUTE_WORDS.get(name, name), size=9)
        axes.tick_params(axis="x", labelbottom=axes is panels[-1])
    words = f"accuracy, 95 % interval; line: all pictures, {accuracy:.3f}; right: pictures, gap to the best group"
    panels[-1].set_xlabel(words)
    height = body / top
    figure.subplots_adjust(left=0.2, right=0.78, bottom=0.5 / height, top=top - 0.25 / height, hspace=0.42)
    return figure


def _group_panel(axes: Axes, rows: pd.DataFrame, accuracy: float) -> None:
    places = np.arange(len(rows))[::-1]
    values = rows["accuracy"].to_numpy()
    for place, row in zip(places, rows.to_dict("records"), strict=True):
        colour = COLOURS[4] if row["is_worst"] else COLOURS[0]
        axes.hlines(place, row["low"], row["high"], color=colour, linewidth=1.6)
        axes.plot(row["accuracy"], place, "s" if row["is_worst"] else "o", color=colour, markersize=5)
        axes.annotate(_group_words(row), (1.02, place), xycoords=("axes fraction", "data"), size=8, va="center")
    axes.axvline(accuracy, color=MARK, linewidth=0.8, linestyle="--")
    axes.set_yticks(places, rows["group"].tolist())
    axes.set(xlim=(0, 1), ylim=(-0.6, len(values) - 0.4))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _group_words(row: Mapping[Any, Any]) -> str:
    gap = "" if pd.isna(row["gap"]) or row["gap"] == 0 else f", {score_text(row['gap'], signed=True)}"
    return f"n = {row['n']:,}{gap}" + (" (worst)" if row["is_worst"] else "")
