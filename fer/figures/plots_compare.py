"""How figures that compare setups look: bars with a point per seed, gains, histories side by side.

Plain values and one title in, a matplotlib Figure out. Reads and writes no file. The style is that of
fer.figures.style.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer.figures.style import COLOURS, MARK, titled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HATCHES = ("", "////", "....")
LINES = ("-", "--", "-.", ":")
# By series and category: a value per seed.
Series = Mapping[str, Mapping[str, Sequence[float]]]
LEGEND_LINE = 0.19  # inches
WIDTH = 9.6


def look(place: int) -> dict[str, str]:
    """Colour and hatch of the series at `place`: the hatch changes where the colours begin again."""
    return {"facecolor": COLOURS[place % len(COLOURS)], "hatch": HATCHES[place // len(COLOURS) % len(HATCHES)]}


# ---------------------------------------------------------------- bars with a point per seed


def plot_bars(
    title: list[str],
    panels: Mapping[str, Series],
    axis: str,
    least: float = 1.0,
    columns: int = 1,
    signed: bool = False,
    panel_height: float = 2.4,
) -> Figure:
    """A panel per heading: a group per category, in it a bar per series, its height the mean of the values.

    Points are the single values where there are several. All panels have one scale: 0 to 1; where `signed`, as far
    below 0 as above, at least to `least`. A series keeps its colour in all panels.
    """
    series = list(dict.fromkeys(name for parts in panels.values() for name in parts))
    rows = -(-len(panels) // columns)
    below = 0.48 + LEGEND_LINE * legend_rows(series) * (len(series) > 1)
    body = panel_height * rows + 0.62 * (rows - 1) + 0.32 + below
    figure, top = titled_figure(title, WIDTH, body)
    height = body / top
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, (heading, parts) in zip(grid, panels.items(), strict=False):
        _bar_panel(axes, parts, series, signed, WIDTH / columns)
        axes.set_title(heading, size=9)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    _limits(grid[0], panels, least, signed)
    for axes in grid[::columns]:
        axes.set_ylabel(axis)
    if len(series) > 1:
        series_legend(figure, series)
    figure.subplots_adjust(
        left=0.8 / WIDTH, right=1 - 0.1 / WIDTH, bottom=below / height, top=top - 0.32 / height,
        hspace=0.62 / panel_height, wspace=0.04,
    )  # fmt: skip
    return figure


def legend_columns(names: Sequence[str]) -> int:
    """How many entries of a legend fit side by side under a figure of WIDTH."""
    return max(1, min(len(names), 130 // (max(map(len, names), default=1) + 8)))


def legend_rows(names: Sequence[str]) -> int:
    """How many lines a legend of `names` takes."""
    return -(-len(names) // legend_columns(names))


def series_legend(figure: Figure, series: Sequence[str]) -> None:
    """A legend under the figure, a patch per series."""
    from matplotlib.patches import Patch

    handles = [Patch(edgecolor="white", label=name, **look(place)) for place, name in enumerate(series)]  # type: ignore[arg-type]
    figure.legend(handles=handles, ncols=legend_columns(series), loc="lower left", bbox_to_anchor=(0.05, 0), fontsize=8)


def _bar_panel(axes: Axes, parts: Series, series: Sequence[str], signed: bool, width: float) -> None:
    categories = list(dict.fromkeys(kind for found in parts.values() for kind in found))
    shown = [name for name in series if parts.get(name)]
    bar = 0.84 / max(len(shown), 1)
    inches = min(bar, 0.3) * (width - 0.75) / max(len(categories), 1)
    for number, name in enumerate(shown):
        offset = (number - (len(shown) - 1) / 2) * min(bar, 0.3)
        for place, kind in enumerate(categories):
            if parts[name].get(kind):
                found = np.asarray(parts[name][kind], dtype=float)
                axes.bar(place + offset, found.mean(), min(bar, 0.3) * 0.94, edgecolor="white", linewidth=0.5,
                         **look(series.index(name)))  # type: ignore[arg-type] # fmt: skip
                _points(axes, place + offset, found, min(bar, 0.3))
                _mean(axes, place + offset, found, signed, inches)
    for place, kind in enumerate(categories):
        if not any(parts[name].get(kind) for name in shown):
            axes.text(place, 0, " no pictures", ha="center", va="bottom", size=8, color=MARK, rotation=90)
    across = max(int((width - 0.75) / max(len(categories), 1) * 12), 8)
    axes.set_xticks(range(len(categories)), [textwrap.fill(kind, across) for kind in categories], size=8)
    axes.set_xlim(-0.5, max(len(categories), 1) - 0.5)
    axes.tick_params(axis="x", length=0)
    axes.axhline(0, color=MARK, linewidth=0.8)
    axes.grid(axis="y")


def _points(axes: Axes, x: float, values: np.ndarray, bar: float) -> None:
    if len(values) > 1:
        places = x + np.linspace(-0.25, 0.25, len(values)) * bar
        axes.plot(places, values, "o", color="white", markeredgecolor="#222222", markersize=2.6, markeredgewidth=0.6)


def _mean(axes: Axes, x: float, values: np.ndarray, signed: bool, inches: float) -> None:
    """The mean in figures beyond the outermost point, upright where the bar is narrow, left out where it is a line."""
    if inches < 0.09:
        return
    mean = float(values.mean())
    text = (f"{mean:+.3f}" if signed else f"{mean:.3f}").replace("-", "\N{MINUS SIGN}")
    below = signed and mean < 0
    place, side, shift = (values.min(), "top", -4) if below else (max(values.max(), 0.0), "bottom", 4)
    axes.annotate(
        text, (x, place), xytext=(0, shift), textcoords="offset points", ha="center", va=side, size=6.5,
        rotation=90 if inches < 0.4 else 0,
    )  # fmt: skip


def _limits(axes: Axes, panels: Mapping[str, Series], least: float, signed: bool) -> None:
    """Room beyond the highest bar for its number; the ticks of a score still end at 1."""
    found = [
        value for parts in panels.values() for kinds in parts.values() for some in kinds.values() for value in some
    ]
    low, high = min([0.0, *found]), max([0.0, *found])
    if signed:
        reach = max(-low, high, least) * 1.6
        axes.set_ylim(-reach, reach)
        axes.yaxis.set_major_formatter("{x:+.2f}" if reach > 0.2 else "{x:+.3f}")
        return
    axes.set_yticks(np.arange(-1, 1.01, 0.2))
    axes.set_ylim(low * 1.3, 1.2 if high > 0.8 else 1.0)


# ---------------------------------------------------------------- histories side by side


def plot_architectures(histories: Mapping[str, Sequence[pd.DataFrame]], title: list[str]) -> Figure:
    """Validation accuracy, macro-F1 and loss by epoch, a colour a model: its seeds thin, their mean thick.

    `histories`: by model, one history.csv per seed. The mean goes as far as every seed was trained.
    """
    below = 0.5 + LEGEND_LINE * legend_rows(list(histories))
    figure, top = titled_figure(title, WIDTH, 3.2 + below)
    panels = figure.subplots(1, 3, sharex=True)
    heads = {
        "val_accuracy": "validation accuracy",
        "val_macro_f1": "validation macro-F1",
        "val_loss": "validation loss",
    }
    for axes, (column, heading) in zip(panels, heads.items(), strict=True):
        for place, (model, seeds) in enumerate(histories.items()):
            _model_curve(axes, model, seeds, column, place)
        axes.set_title(heading)
        axes.set_xlabel("epoch", labelpad=2)
        axes.grid()
        axes.update_datalim([(1, 0)])
        axes.set_ylim(0, None if column == "val_loss" else 1)
    _whole_epochs(panels[0], max(len(table) for seeds in histories.values() for table in seeds))
    handles, labels = panels[0].get_legend_handles_labels()
    columns = legend_columns(list(histories))
    figure.legend(handles, labels, ncols=columns, loc="lower left", bbox_to_anchor=(0.04, 0), fontsize=8)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.045, right=0.99, bottom=below / height, top=top - 0.3 / height, wspace=0.15)
    return figure


def _model_curve(axes: Axes, model: str, seeds: Sequence[pd.DataFrame], column: str, place: int) -> None:
    colour, line = COLOURS[place % len(COLOURS)], LINES[place % len(LINES)]
    if len(seeds) > 1:
        for table in seeds:
            axes.plot(table["epoch"], table[column], line, color=colour, linewidth=0.7, alpha=0.55)
    shortest = min(len(table) for table in seeds)
    mean = np.mean([table[column].to_numpy(float)[:shortest] for table in seeds], axis=0)
    marker = "o" if shortest <= 30 else None
    epochs = seeds[0]["epoch"][:shortest]
    axes.plot(epochs, mean, line, color=colour, linewidth=1.8, label=model, marker=marker, markersize=3)


def _whole_epochs(axes: Axes, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
