"""The chart of every comparison of scores: networks in rows, a point with its interval for each score.

Bars would hide what matters: how far the intervals reach, and where the majority class stands.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pandas as pd

from fer.figures.looks import Places, look
from fer.figures.style import MARK, MARKERS, WIDTH, titled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

STEP = 0.135  # inches between two points of a network
BETWEEN = 0.13  # inches between two networks


class Estimate(TypedDict):
    """A score: a value per seed, and the ends of its interval, None where none is known."""

    values: list[float]
    low: float | None
    high: float | None


# By heading of the panel, network, and kind (a variant, a training set).
Panels = Mapping[str, Mapping[str, Mapping[str, Estimate]]]


def estimate(rows: pd.DataFrame, column: str) -> Estimate | None:
    """The scores in `column` of rows of one setup, a row a seed; None where there is no number.

    `low` and `high` of the rows are intervals over test pictures of each seed. All seeds answered the same pictures, so
    that the mean of these ends is never too narrow for the mean of the scores.
    """
    found = rows[rows[column].notna()]
    if found.empty:
        return None
    known = "low" in found and found["low"].notna().all() and found["high"].notna().all()
    ends = [float(found[end].mean()) if known else None for end in ("low", "high")]
    return {"values": [float(value) for value in found[column]], "low": ends[0], "high": ends[1]}


def estimates(rows: pd.DataFrame, kind: str, column: str, order: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """By label (in `order`) and value of the column `kind`: the estimate of `column`."""
    found: dict[str, dict[str, Estimate]] = {}
    needed = rows[[name for name in ("label", kind, column, "low", "high") if name in rows]]
    for label in order:
        for name, part in needed[needed["label"] == label].groupby(kind, sort=False):
            if (one := estimate(part, column)) is not None:
                found.setdefault(label, {})[str(name)] = one
    return found


# ---------------------------------------------------------------- how it looks


def plot_estimates(
    title: list[str],
    panels: Panels,
    places: Places,
    axis: str,
    columns: int = 3,
    baselines: Mapping[str, float] | None = None,
    least: float | None = None,
) -> Figure:
    """A panel per heading, a row per network, in it a point per kind with its interval; small dots are single seeds.

    Scores are drawn from 0 to 1; where `least` is given the values are gains, drawn as far below 0 as above and at
    least that far. `baselines`: by heading, the score of the majority class, a dashed line. `places`: see
    fer.figures.looks; colour tells the network, marker the kind.
    """
    names = sorted({name for parts in panels.values() for name in parts}, key=lambda name: (places[name], name))
    kinds = list(dict.fromkeys(kind for parts in panels.values() for found in parts.values() for kind in found))
    lines = -(-len(panels) // columns)
    each = max(STEP * len(kinds) + BETWEEN, 0.22) * max(len(names), 1)
    left = min(0.07 * max([len(name) for name in names] + [8]) + 0.15, 2.0)
    heads = max((len(_heading(head, columns)) for head in panels), default=1)
    gap, below = 0.14 + 0.16 * heads, 0.42 + 0.2 * -(-(len(kinds) + 3) // 4)
    body = lines * (each + gap) + below
    figure, top = titled_figure(title, WIDTH, body)
    height = body / top
    grid = figure.subplots(lines, columns, sharey=True, sharex=True, squeeze=False)
    low, high = limits(panels, least)
    for place, (axes, (heading, parts)) in enumerate(zip(grid.ravel(), panels.items(), strict=False)):
        _panel(axes, parts, names, kinds, places)
        axes.set_title("\n".join(_heading(heading, columns)), size=9)
        if baselines and heading in baselines:
            axes.axvline(baselines[heading], color=MARK, linewidth=1, linestyle=(0, (3, 2)), zorder=1)
        axes.set(xlim=(low, high))
        _value_ticks(axes, columns, is_gain=least is not None)
        if place + columns >= len(panels):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(axis, labelpad=1)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_visible(False)
    handles = _handles(panels, kinds, bool(baselines))
    figure.legend(handles=handles, ncols=4, loc="lower left", bbox_to_anchor=(0.01, 0), fontsize=8)
    figure.subplots_adjust(
        left=left / WIDTH, right=1 - 0.12 / WIDTH, bottom=below / height, top=top - gap / height,
        hspace=(gap + 0.02) / each, wspace=0.09 if columns < 4 else 0.16,
    )  # fmt: skip
    return figure


def _value_ticks(axes: Axes, columns: int, is_gain: bool) -> None:
    """As few ticks as keep the numbers of neighbouring panels apart."""
    if is_gain:
        axes.locator_params(axis="x", nbins=4 if columns > 3 else 6, symmetric=True)
    elif columns > 3:
        axes.set_xticks([0, 0.5, 1])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(axis="x", labelsize=7.5)


def limits(panels: Panels, least: float | None) -> tuple[float, float]:
    """Ends of the axis: 0 and 1, lower where a score (kappa) is; for gains the same on both sides of 0."""
    every = [one for parts in panels.values() for found in parts.values() for one in found.values()]
    ends = [end for one in every for end in (*one["values"], one["low"], one["high"]) if end is not None]
    if least is not None:
        reach = max([least, *(abs(end) for end in ends)]) * 1.08
        return -reach, reach
    return min([0.0, *(one for given in every for one in given["values"])]) * 1.1, 1.0


def _heading(words: str, columns: int) -> list[str]:
    return [part for line in words.splitlines() for part in textwrap.wrap(line, int(7.2 / columns * 15))] or [""]


def _panel(
    axes: Axes,
    parts: Mapping[str, Mapping[str, Estimate]],
    names: Sequence[str],
    kinds: Sequence[str],
    places: Places,
) -> None:
    step = STEP / max(STEP * len(kinds) + BETWEEN, 0.22)
    for row, name in enumerate(names):
        for number, kind in enumerate(kinds):
            y = row + (number - (len(kinds) - 1) / 2) * step
            if (one := parts.get(name, {}).get(kind)) is not None:
                _point(axes, y, one, look(places[name]).colour, number)
        if row:
            axes.axhline(row - 0.5, color="#eeeeee", linewidth=0.7, zorder=0)
    axes.set_yticks(range(len(names)), names, size=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.axvline(0, color=MARK, linewidth=0.6)


def _point(axes: Axes, y: float, one: Estimate, colour: str, number: int) -> None:
    if one["low"] is not None and one["high"] is not None:
        axes.hlines(y, one["low"], one["high"], color=colour, linewidth=1.2)
    if len(one["values"]) > 1:
        axes.plot(one["values"], [y] * len(one["values"]), "|", color="#222222", markersize=4, markeredgewidth=0.7)
    filled = colour if number else "white"
    marker = MARKERS[number % len(MARKERS)]
    axes.plot(
        np.mean(one["values"]), y, marker, color=colour, markerfacecolor=filled, markersize=4.4, zorder=3, clip_on=False
    )


def _handles(panels: Panels, kinds: Sequence[str], has_baseline: bool) -> list[Line2D]:
    from matplotlib.lines import Line2D

    every = [one for parts in panels.values() for found in parts.values() for one in found.values()]
    handles = [
        Line2D([], [], linestyle="", marker=MARKERS[number % len(MARKERS)], color=MARK, label=kind,
               markerfacecolor=MARK if number else "white", markersize=5)
        for number, kind in enumerate(kinds)
        if len(kinds) > 1
    ]  # fmt: skip
    if any(one["low"] is not None for one in every):
        handles.append(Line2D([], [], color=MARK, linewidth=1.2, label="95 % interval over test pictures"))
    if any(len(one["values"]) > 1 for one in every):
        handles.append(Line2D([], [], color="#222222", marker="|", linestyle="", label="a seed"))
    if has_baseline:
        handles.append(Line2D([], [], color=MARK, linestyle=(0, (3, 2)), label="majority class"))
    return handles
