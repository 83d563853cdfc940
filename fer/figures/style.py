"""How each figure looks: plain values and one title in, a matplotlib Figure out. Reads and writes no file.

Readable in print and by every kind of colour vision; scores are always drawn on the scale 0 to 1.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer.settings.settings import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # real fonts: publishers refuse Type 3
    "svg.hashsalt": "figures",
    "text.parse_math": False,
}
# Okabe and Ito's colours (https://jfly.uni-koeln.de/color/), told apart by every kind of colour vision;
# in this order neighbours also differ in lightness.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#F0E442", "#CC79A7")
TRAINING, VALIDATION, MARK = "#0072B2", "#D55E00", "#444444"
SCORE_NAMES = {"macro_f1": "macro-F1", "balanced_accuracy": "balanced accuracy"}
LINE = 0.18  # inches a line of text


def titled_figure(title: list[str], width: float, body: float) -> tuple[Figure, float]:
    """An empty figure `width` inches wide, `body` inches high below its title, and the body's share of it.

    The first line of the title is bold; long lines are wrapped, and make the figure higher.
    """
    from matplotlib.figure import Figure

    lines = [(part, "bold", 11) for part in textwrap.wrap(title[0], int(width * 11))]
    lines += [(part, "normal", 9) for text in title[1:] for part in textwrap.wrap(text, int(width * 14.5))]
    height = body + LINE * len(lines) + 0.2
    figure = Figure(figsize=(width, height))
    for number, (text, weight, size) in enumerate(lines):
        y = 1 - (0.1 + LINE * number + 0.03 * (size < 11)) / height
        figure.text(0.1 / width, y, text, weight=weight, size=size, va="top")
    return figure, body / height


# ---------------------------------------------------------------- class distributions


def plot_distribution(title: list[str], bars: dict[str, list[int]]) -> Figure:
    """Bars per class side by side; `bars` maps a legend entry to its count per class."""
    import seaborn

    figure, top = titled_figure(title, 9, 4.2)
    axes = figure.subplots()
    long = pd.DataFrame(
        [(EMOTIONS[c], part, n) for part, counts in bars.items() for c, n in enumerate(counts)],
        columns=["class", "part", "pictures"],
    )
    colours = COLOURS[: len(bars)]
    seaborn.barplot(long, x="class", y="pictures", hue="part", palette=colours, saturation=1, ax=axes)
    narrow = {"rotation": 90, "padding": 3} if len(bars) > 2 else {"padding": 1}
    for container in axes.containers:
        axes.bar_label(container, fmt="{:,.0f}", size=7.5, **narrow)  # type: ignore[arg-type]
    axes.margins(y=0.18 if len(bars) > 2 else 0.06)
    axes.set(xlabel="")
    columns = len(bars) if len(bars) <= 3 else 2
    _legend_above(axes, columns)
    _count_axis(axes)
    above = 0.05 * -(-len(bars) // columns) + 0.01
    figure.subplots_adjust(left=0.095, right=0.99, bottom=0.065, top=top - above)
    return figure


def plot_stacked_distribution(title: list[str], panels: dict[str, dict[str, list[int]]]) -> Figure:
    """One panel per entry, in each the datasets stacked, the same scale in all."""
    width = max(4.6 * len(panels), 7)
    figure, top = titled_figure(title, width, 4.2)
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    rows_of_legend = (max(len(parts) for parts in panels.values()) + 1) // 2
    for axes, (heading, parts) in zip(row, panels.items(), strict=True):
        _stack(axes, parts)
        total = sum(sum(counts) for counts in parts.values())
        axes.set_title(f"{heading} (n = {total:,})", pad=8 + 14 * rows_of_legend)
        _legend_above(axes, columns=2)
        _count_axis(axes)
    row[0].set_ylabel("pictures")
    above = 0.05 * rows_of_legend + 0.07
    figure.subplots_adjust(left=0.85 / width, right=0.99, bottom=0.065, top=top - above, wspace=0.06)
    return figure


def _stack(axes: Axes, parts: dict[str, list[int]]) -> None:
    base = np.zeros(len(EMOTIONS), dtype=int)
    for colour, (name, counts) in zip(COLOURS, parts.items(), strict=False):
        label = f"{name} (n = {sum(counts):,})"
        axes.bar(EMOTIONS, counts, bottom=base, color=colour, edgecolor="white", label=label)
        base += counts
    for place, total in enumerate(base):
        axes.annotate(f"{total:,}", (place, total), xytext=(0, 2), textcoords="offset points", ha="center", size=7.5)
    axes.margins(y=0.08)


def _legend_above(axes: Axes, columns: int) -> None:
    axes.legend(title=None, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def _count_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=0)


# ---------------------------------------------------------------- learning curves


def plot_learning_curves(
    history: pd.DataFrame, title: list[str], best_epoch: int, selection: str, remark: str
) -> Figure:
    """Loss, accuracy, macro-F1 and learning rate by epoch; the kept epoch is marked in each panel.

    `history` as in history.csv. A score that is NaN leaves a gap.
    """
    figure, top = titled_figure(title, 9, 5.6)
    panels = figure.subplots(2, 2, sharex=True).ravel()
    for axes, metric in zip(panels, ("loss", "accuracy", "macro_f1"), strict=False):
        _curve(axes, history, f"train_{metric}", TRAINING, "-", "training")
        _curve(axes, history, f"val_{metric}", VALIDATION, "--", "validation")
        axes.set_title(SCORE_NAMES.get(metric, metric))
        axes.update_datalim([(1, 0)])
        axes.set_ylim(0, None if metric == "loss" else 1)
    _rate_panel(panels[3], history)
    for axes in panels:
        axes.axvline(best_epoch, color=MARK, linewidth=1, linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.grid()
    _epoch_axes(panels, len(history))
    kept = "the last one" if selection == "last" else f"best validation {SCORE_NAMES.get(selection, selection)}"
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, [*labels[:2], f"{labels[2]} ({kept})"], ncols=3, loc="lower left", bbox_to_anchor=(0, 0.045))
    figure.text(0.011, 0.05, textwrap.fill(remark, 150), size=8, va="top")
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.17, top=top - 0.045, hspace=0.2, wspace=0.17)
    return figure


def _curve(axes: Axes, history: pd.DataFrame, column: str, colour: str, line: str, label: str) -> None:
    marker = "o" if len(history) <= 30 else None
    axes.plot(history["epoch"], history[column], line, color=colour, label=label, marker=marker, markersize=3)


def _rate_panel(axes: Axes, history: pd.DataFrame) -> None:
    """Learning rate on a logarithmic scale, its ticks at the values it took where they are few."""
    from matplotlib.ticker import NullLocator

    rates = history["learning_rate"]
    marker = "o" if len(history) <= 30 else None
    axes.plot(history["epoch"], rates, color=MARK, drawstyle="steps-mid", marker=marker, markersize=3)
    axes.set_title("learning rate (logarithmic)")
    axes.set_yscale("log")
    taken = np.unique(rates[rates > 0])
    ticks = taken if len(taken) <= 5 else np.geomspace(taken[0], taken[-1], 5)
    axes.set_yticks(ticks, [f"{tick:.2g}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())


def _epoch_axes(panels: np.ndarray, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    for axes in panels[2:]:
        axes.set_xlabel("epoch", labelpad=2)
    panels[0].set_xlim(0.5, epochs + 0.5)
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


# ---------------------------------------------------------------- confusion matrices


def plot_confusion_matrix(counts: np.ndarray, title: list[str]) -> Figure:
    """Rows true, columns predicted, int [C, C]; each row is drawn as shares from 0 to 1, the count below each.

    A class without test images is hatched and says so.
    """
    figure, top = titled_figure(title, 6.4, 4.9)
    side, height = 4.35 / 6.4, 4.35 * top / 4.9
    axes = figure.add_axes((0.17, 0.48 * top / 4.9, side, height))
    support = counts.sum(axis=1)
    shares = counts / np.maximum(support, 1)[:, None]
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (row, column), share in np.ndenumerate(shares):
        if support[row]:
            colour = "white" if share > 0.5 else "#222222"
            axes.text(
                column, row, f"{share:.2f}\n{counts[row, column]:,}", ha="center", va="center", color=colour, size=8
            )
    _hatch_absent(axes, np.flatnonzero(support == 0))
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set_yticks(range(len(EMOTIONS)), [f"{c}\nn = {n:,}" for c, n in zip(EMOTIONS, support, strict=True)])
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    bar = figure.add_axes((0.17 + side + 0.03, 0.48 * top / 4.9, 0.03, height))
    figure.colorbar(image, bar, label="share of the true class").outline.set_visible(False)
    return figure


def _hatch_absent(axes: Axes, rows: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    for row in rows:
        corner = (-0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, len(EMOTIONS), 1, facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="////"))
        box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
        axes.text((len(EMOTIONS) - 1) / 2, row, "no images", ha="center", va="center", bbox=box)
