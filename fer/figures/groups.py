"""Figures of accuracy by group of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.result_rows import chosen_by_validation
from fer.figures.statistics_rows import (
    Records,
    about_row,
    as_records,
    of_run,
    row_name,
    shown_rows,
    statistics_table,
)
from fer.figures.style import COLOURS, MARK, WIDTH, score_text, titled_figure
from fer.results.study_files import StoredStudy
from fer.statistics.calibration_tables import TRAINED
from fer.statistics.groups import ENOUGH_ROWS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ATTRIBUTE_WORDS = {"face_size": "shorter side of the face, pixels", "brightness": "brightness, 0 to 255"}

GAPS = ["gap", "gap_low", "gap_high"]


def group_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per network or soft ensemble, lowest seed: accuracy by group of pictures, where groups are known.

    Raises InputError when a table is damaged.
    """
    shown = shown_rows(study)
    if shown.empty:
        return
    groups = statistics_table(study, "groups")
    chosen = [run.name for run in chosen_by_validation(study, alone=True).values()]
    for _, row in shown[shown["probabilities"] == TRAINED].iterrows():
        found = of_run(groups, row)
        if len(found):
            title = [f"Accuracy by group: {row['model']} on the {row['test_on']} test set", about_row(study, row)]
            details = {"rows": as_records(found), "accuracy": float(row["accuracy"])}
            yield FigureJob(
                f"statistics/groups_{row_name(row)}", plot_groups, title, details, run=row["run"],
                section="groups",
                caption=f"Accuracy of {row['model']} on groups of {row['test_on']} test pictures (left), and how far "
                "each group lies below the best one of its attribute (right). A gap is shown where its interval "
                "stays left of 0; it is sought among groups of 30 pictures or more only.",
                alt=f"Dot charts of accuracy by group on {row['test_on']}, and of each group's gap to the best group.",
                is_key=row["run"] in chosen,
                is_lead=row["run"] in chosen[:1],
            )  # fmt: skip


def plot_groups(title: list[str], rows: Records, accuracy: float) -> Figure:
    """Accuracy of one network per group, and its gap to the best group; a pair of panels an attribute.

    `rows` of groups.csv; a line at its `accuracy` on all pictures. The worst of the groups with 30 pictures or more is
    marked where it is shown to be below the best.
    """
    table = pd.DataFrame(rows)
    table[GAPS] = table.reindex(columns=GAPS).astype(float)
    attributes = list(dict.fromkeys(table["attribute"]))
    counts = [int((table["attribute"] == name).sum()) for name in attributes]
    body = sum(0.23 * count + 0.45 for count in counts) + 0.5
    figure, top = titled_figure(title, WIDTH, body)
    ratios = [count + 0.6 for count in counts]
    grid = figure.subplots(len(attributes), 2, squeeze=False, height_ratios=ratios, width_ratios=(1.5, 1), sharex="col")
    reach = max([0.1, *table[GAPS[1:]].abs().max().dropna()]) * 1.05
    for (left, right), name in zip(grid, attributes, strict=True):
        some = table[table["attribute"] == name]
        _group_panel(left, some, accuracy)
        left.set_title(ATTRIBUTE_WORDS.get(name, name), size=9)
        _gap_panel(right, some)
        right.set_xlim(-reach, reach)
    grid[-1, 0].set_xlabel(f"accuracy, 95 % interval; line: all pictures, {accuracy:.3f}", size=9)
    grid[-1, 1].set_xlabel("gap to the best group, interval for all pairs", size=9)
    height = body / top
    figure.subplots_adjust(left=0.17, right=0.97, bottom=0.5 / height, top=top - 0.25 / height, hspace=0.42, wspace=0.2)
    return figure


def _group_panel(axes: Axes, rows: pd.DataFrame, accuracy: float) -> None:
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows.to_dict("records"), strict=True):
        colour = COLOURS[4] if row["is_worst"] else COLOURS[0]
        axes.hlines(place, row["low"], row["high"], color=colour, linewidth=1.6)
        axes.plot(row["accuracy"], place, "s" if row["is_worst"] else "o", color=colour, markersize=5)
        axes.annotate(f"n = {row['n']:,}", (1.01, place), xycoords=("axes fraction", "data"), size=8, va="center")
    axes.axvline(accuracy, color=MARK, linewidth=0.8, linestyle="--")
    axes.set_yticks(places, rows["group"].tolist(), size=8)
    axes.set(xlim=(0, 1), ylim=(-0.6, len(rows) - 0.4))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _gap_panel(axes: Axes, rows: pd.DataFrame) -> None:
    """A point per group at its gap; the best group stands at 0, groups too small for a gap say so."""
    places = np.arange(len(rows))[::-1]
    for place, row in zip(places, rows.to_dict("records"), strict=True):
        if pd.isna(row["gap"]):
            axes.text(0, place, "fewer than 30" if row["n"] < ENOUGH_ROWS else "no other large group", size=7.5,
                      ha="center", va="center", color=MARK,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
            continue
        colour = COLOURS[4] if row["is_worst"] else COLOURS[0]
        if row["gap"]:
            axes.hlines(place, row["gap_low"], row["gap_high"], color=colour, linewidth=1.6)
        axes.plot(row["gap"], place, "s" if row["is_worst"] else "o", color=colour, markersize=5)
        words = "best" if not row["gap"] else score_text(row["gap"], signed=True) + (" worst" * row["is_worst"])
        axes.annotate(words, (row["gap"], place), xytext=(0, 4), textcoords="offset points", size=7, ha="center")
    axes.axvline(0, color=MARK, linewidth=0.8)
    axes.set_yticks([])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
