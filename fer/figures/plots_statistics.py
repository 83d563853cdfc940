"""How the figures of fer.statistics.comparisons look: rows of its tables and one title in, a matplotlib Figure out.

Reads and writes no file. The style is that of fer.figures.style.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer.figures.style import COLOURS, MARK, titled_figure
from fer.statistics.families import TIE
from fer.statistics.statements import METRIC_WORDS, p_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = ("-", "--", "-.", ":")
HELD, OPEN = COLOURS[0], "#8a8a8a"
ROW = 0.24  # inches a row of a forest plot


# ---------------------------------------------------------------- calibration


def plot_reliability(title: list[str], bins: Mapping[str, pd.DataFrame], scores: Mapping[str, pd.Series]) -> Figure:
    """Accuracy against confidence, a panel per way of mending (names as in reliability.csv, "as trained" first).

    `bins`: rows of reliability.csv; `scores`: the row of calibration.csv (ece, ece_low, ece_high, nll, temperature).
    Points carry Wilson intervals; each stands for equally many pictures.
    """
    width = max(3.6 * len(bins), 5.0)
    figure, top = titled_figure(title, width, 4.2)
    row = figure.subplots(1, len(bins), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (kind, table) in zip(row, bins.items(), strict=True):
        _reliability_panel(axes, table)
        axes.set_title(_reliability_heading(kind, scores[kind], len(table)), size=9)
        axes.set_xlabel("confidence")
    row[0].set_ylabel("accuracy")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=3, loc="lower left", bbox_to_anchor=(0.35 / width, 0))
    figure.subplots_adjust(
        left=0.55 / width, right=1 - 0.1 / width, bottom=0.78 / 4.2 * top, top=top - 0.13, wspace=0.1
    )
    return figure


def _reliability_panel(axes: Axes, table: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=MARK, linewidth=0.8, linestyle="--", label="perfect")
    x, y = table["confidence"].to_numpy(), table["accuracy"].to_numpy()
    axes.vlines(x, y, x, color=COLOURS[1], linewidth=3, alpha=0.55, label="gap")
    below, above = y - table["low"].to_numpy(), table["high"].to_numpy() - y
    axes.errorbar(
        x, y, [below.clip(0), above.clip(0)], fmt="o", color=COLOURS[0], markersize=4, elinewidth=1,
        label="bin, 95 % interval",
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.grid()


def _reliability_heading(kind: str, scores: pd.Series, bins: int) -> str:
    temperature = "" if pd.isna(scores["temperature"]) else f" {scores['temperature']:.2f}"
    ece = f"ECE {scores['ece']:.3f} [{scores['ece_low']:.3f}, {scores['ece_high']:.3f}], {bins} bins"
    return f"{kind}{temperature}\n{ece}\nNLL {scores['nll']:.3f}, Brier {scores['brier']:.3f}"


def plot_risk_coverage(title: list[str], curves: Mapping[str, pd.DataFrame], areas: Mapping[str, float]) -> Figure:
    """Share of errors among the most confident, by how many are kept; `curves`: rows of risk_coverage.csv by name."""
    columns = 1 if len(curves) <= 4 else 2
    below = 0.6 + 0.18 * -(-len(curves) // columns)
    figure, top = titled_figure(title, 6.4, 3.4 + below)
    axes = figure.subplots()
    for number, name in enumerate(sorted(curves, key=lambda name: areas[name])):
        style = LINES[number // len(COLOURS) % len(LINES)]
        colour = COLOURS[number % len(COLOURS)]
        table = curves[name]
        axes.plot(table["coverage"], table["risk"], style, color=colour, label=f"{name} (area {areas[name]:.3f})")
    highest = max(float(table["risk"].max()) for table in curves.values())
    axes.set(xlim=(0, 1), ylim=(0, min(1, max(highest * 1.05, 0.02))), xlabel="coverage: share of pictures answered")
    axes.set_ylabel("risk: share of these answered wrongly")
    axes.grid()
    figure.legend(*axes.get_legend_handles_labels(), ncols=columns, loc="lower left", fontsize=8)
    figure.subplots_adjust(left=0.11, right=0.98, bottom=below / figure.get_figheight(), top=top)
    return figure


# ---------------------------------------------------------------- comparisons


def plot_comparison_intervals(title: list[str], pairs: pd.DataFrame) -> Figure:
    """Forest plot: a row per pair of comparisons.csv (one family, one score), difference and 95 % interval.

    The better one is named first, the largest difference stands on top. Filled: holds; intervals and p are those that
    hold for all pairs together.
    """
    rows = sorted((_turned(pair) for pair in pairs.to_dict("records")), key=_size, reverse=True)
    names = [textwrap.shorten(row["words"], 62, placeholder="…") for row in rows]
    left = min(0.078 * max(map(len, names)) + 0.2, 4.8)
    body = ROW * len(rows) + 1.05
    figure, top = titled_figure(title, left + 5.2, body)
    width, height = left + 5.2, body / top
    axes = figure.subplots()
    for place, row in enumerate(rows):
        _forest_row(axes, len(rows) - 1 - place, row)
    axes.axvline(0, color=MARK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), names[::-1])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel(f"difference in {METRIC_WORDS[pairs['metric'].iloc[0]]}, 95 % interval")
    _forest_legend(figure, pairs)
    figure.subplots_adjust(left=left / width, right=1 - 1.0 / width, bottom=0.85 / height, top=top - 0.06 / height)
    return figure


def _turned(pair: Mapping[Any, Any]) -> dict[str, Any]:
    """The pair with the better side first."""
    turn = pair["difference"] < 0
    names = [pair["second"], pair["first"]] if turn else [pair["first"], pair["second"]]
    low, high = pair["low_adjusted"], pair["high_adjusted"]
    ends = [-high, -low] if turn else [low, high]
    star = " *" if pair["weights_only"] else ""
    return {
        "words": f"{names[0]} over {names[1]}{star}",
        "difference": abs(pair["difference"]),
        "low": ends[0],
        "high": ends[1],
        "p": pair["p_adjusted"],
        "held": pair["verdict"] != TIE,
    }


def _size(row: dict[str, Any]) -> float:
    return float(row["difference"])


def _forest_row(axes: Axes, place: int, row: dict[str, Any]) -> None:
    colour = HELD if row["held"] else OPEN
    axes.hlines(place, row["low"], row["high"], color=colour, linewidth=1.6)
    axes.plot(row["difference"], place, "o", color=colour, markerfacecolor=colour if row["held"] else "white")
    axes.annotate(
        f"p {p_words(row['p'])}", (1.015, place), xycoords=("axes fraction", "data"), size=8, va="center", color=colour
    )


def _forest_legend(figure: Figure, pairs: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    shown = [
        Line2D([], [], marker="o", color=HELD, label="holds"),
        Line2D([], [], marker="o", color=OPEN, markerfacecolor="white", label="no difference shown"),
    ]
    corrected = f"holding for all {len(pairs)} together" if len(pairs) > 1 else "one comparison"
    note = "   * these weights only" if pairs["weights_only"].any() else ""
    figure.legend(handles=shown, title=f"{corrected}{note}", ncols=2, loc="lower left", alignment="left", fontsize=8)


# ---------------------------------------------------------------- groups

ATTRIBUTE_WORDS = {"face_size": "shorter side of the face, pixels", "brightness": "brightness, 0 to 255"}


def plot_groups(title: list[str], rows: pd.DataFrame, accuracy: float) -> Figure:
    """Accuracy of one network per group, a panel an attribute; `rows` of groups.csv; a line at its `accuracy`.

    The worst of the groups with 30 pictures or more is marked where it is shown to be below the best.
    """
    attributes = list(dict.fromkeys(rows["attribute"]))
    counts = [int((rows["attribute"] == name).sum()) for name in attributes]
    body = sum(0.27 * count + 0.42 for count in counts) + 0.5
    figure, top = titled_figure(title, 7.6, body)
    grid = figure.add_gridspec(len(attributes), 1, height_ratios=[count + 0.6 for count in counts])
    panels = [figure.add_subplot(grid[place]) for place in range(len(attributes))]
    for axes, name in zip(panels, attributes, strict=True):
        _group_panel(axes, rows[rows["attribute"] == name], accuracy)
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
    gap = "" if pd.isna(row["gap"]) or row["gap"] == 0 else f", {row['gap']:+.3f}".replace("-", "\N{MINUS SIGN}")
    return f"n = {row['n']:,}{gap}" + (" (worst)" if row["is_worst"] else "")
