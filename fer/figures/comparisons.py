"""Figures of comparisons: differences between setups with their intervals, as forest plots."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fer.figures.engine import FigureJob
from fer.figures.statistics_rows import (
    OTHER_VOTES,
    Records,
    as_records,
    datasets_notes,
    statistics_path,
    statistics_table,
)
from fer.figures.style import COLOURS, MARK, titled_figure
from fer.figures.titles import joined
from fer.results.study_files import StoredStudy
from fer.statistics.families import TIE
from fer.statistics.statements import METRIC_WORDS, p_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORE = "macro_f1"
DIFFERENT, TIED = COLOURS[0], "#8a8a8a"
ROW = 0.24  # inches a row of a forest plot


def comparison_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """A forest plot per family on the test set of its own training set; training sets are compared on every set.

    Raises InputError when comparisons.csv is damaged.
    """
    if not statistics_path(study, "comparisons").is_file():
        return
    table = statistics_table(study, "comparisons")
    table = table[(table["metric"] == SCORE) & table["difference"].notna() & table["low"].notna()]
    table = table[table["family"].isin(["models", "ensembles", "variants", "training sets"])]
    unseen = (table["test_on"] != table["train_on"]) & (table["family"] != "training sets")
    unseen |= table["model"].fillna("").isin(OTHER_VOTES)
    context = ["family", "test_on", "test_variant", "train_on", "variant", "model", "balance", "mixing", "selection"]
    for key, pairs in table[~unseen].fillna(dict.fromkeys(context, "")).groupby(context, sort=False):
        values = dict(zip(context, map(str, key), strict=True))
        named = [values[name] for name in ("train_on", "variant", "model") if values[name]]
        words = joined(
            *named, f"pictures tested on: {values['test_variant']}", f"no TTA, n = {pairs['n'].iloc[0]:,.0f}"
        )
        title = [
            f"{values['family'].capitalize()} compared on the {values['test_on']} test set",
            joined(words, *datasets_notes(study, values["test_on"], *filter(None, [values["train_on"]]))),
        ]
        parts = [values["family"].replace(" ", "_"), values["test_on"], *named, values["test_variant"]]
        name = f"statistics/compared_{'_'.join(dict.fromkeys(parts))}"
        yield FigureJob(
            name, plot_comparison_intervals, title, {"pairs": as_records(pairs)}, run=f"__{values['selection']}"
        )


# ---------------------------------------------------------------- forest plots


def plot_comparison_intervals(title: list[str], pairs: Records) -> Figure:
    """Forest plot: a row per pair of comparisons.csv (one family, one score), difference and 95 % interval.

    The better one is named first, the largest difference stands on top. A filled point is a difference shown; intervals
    and p are corrected for all pairs together.
    """
    rows = sorted((_turned(pair) for pair in pairs), key=_size, reverse=True)
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
    axes.set_xlabel(f"difference in {METRIC_WORDS[pairs[0]['metric']]}, 95 % interval")
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
        "different": pair["verdict"] != TIE,
    }


def _size(row: dict[str, Any]) -> float:
    return float(row["difference"])


def _forest_row(axes: Axes, place: int, row: dict[str, Any]) -> None:
    colour = DIFFERENT if row["different"] else TIED
    axes.hlines(place, row["low"], row["high"], color=colour, linewidth=1.6)
    axes.plot(row["difference"], place, "o", color=colour, markerfacecolor=colour if row["different"] else "white")
    axes.annotate(
        f"p {p_words(row['p'])}", (1.015, place), xycoords=("axes fraction", "data"), size=8, va="center", color=colour
    )


def _forest_legend(figure: Figure, pairs: Records) -> None:
    from matplotlib.lines import Line2D

    shown = [
        Line2D([], [], marker="o", color=DIFFERENT, label="holds"),
        Line2D([], [], marker="o", color=TIED, markerfacecolor="white", label="no difference shown"),
    ]
    corrected = f"holding for all {len(pairs)} together" if len(pairs) > 1 else "one comparison"
    note = "   * these weights only" if any(pair["weights_only"] for pair in pairs) else ""
    figure.legend(handles=shown, title=f"{corrected}{note}", ncols=2, loc="lower left", alignment="left", fontsize=8)
