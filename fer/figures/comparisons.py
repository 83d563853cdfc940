"""Figures of comparisons: differences between setups with their intervals, as forest plots."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

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
FAMILIES = ("models", "variants", "training sets", "ensembles")
MOST_ROWS = 45
DIFFERENT, TIED = COLOURS[0], "#8a8a8a"
ROW = 0.24  # inches a row of a forest plot


def comparison_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """A forest plot per family over the whole study, and one per test set where there are several.

    On the test set of the own training set; training sets are compared on every set. Raises InputError when
    comparisons.csv is damaged.
    """
    if not statistics_path(study, "comparisons").is_file():
        return
    table = statistics_table(study, "comparisons")
    table = table[(table["metric"] == SCORE) & table["difference"].notna() & table["low"].notna()]
    unseen = (table["test_on"] != table["train_on"]) & (table["family"] != "training sets")
    unseen |= table["model"].astype(object).fillna("").isin(OTHER_VOTES)
    table = table[~unseen]
    lead = next((name for name in FAMILIES if name in set(table["family"])), "")
    for family in FAMILIES:
        rows = table[table["family"] == family]
        if rows.empty:
            continue
        yield _family_job(study, family, rows, "", is_lead=family == lead)
        if rows["test_on"].nunique() > 1:
            for test_on, part in rows.groupby("test_on", sort=False):
                yield _family_job(study, family, part, str(test_on), is_lead=False)


def _family_job(study: StoredStudy, family: str, rows: pd.DataFrame, test_on: str, is_lead: bool) -> FigureJob:
    """Comparisons of a family, of one test set or ("") of all: those of a page at most, the largest first."""
    most = rows.reindex(rows["difference"].abs().sort_values(ascending=False, kind="stable").index).head(MOST_ROWS)
    shown = as_records(most)
    for row in shown:
        row["context"] = _context(row, rows)
    cut = f"the {MOST_ROWS} largest of {len(rows)} differences" if len(rows) > MOST_ROWS else f"{len(rows)} differences"
    unions = [str(name) for name in rows["train_on"].dropna().unique()]
    where = f"on the {test_on} test set" if test_on else "on every test set"
    title = [
        f"{family.capitalize()} compared {where}",
        joined(f"{METRIC_WORDS[SCORE]}, no TTA", cut, *datasets_notes(study, *rows["test_on"].unique(), *unions)),
    ]
    return FigureJob(
        name=f"statistics/compared_{family.replace(' ', '_')}" + (f"_{test_on}" if test_on else ""),
        draw=plot_comparison_intervals,
        title=title,
        details={"pairs": shown},
        section="statistics",
        caption=f"Each row is a comparison of two {family} on the same test pictures, the better named first: its "
        "difference and 95 % interval, corrected for all pairs of its family. Only filled points are differences "
        "shown; an interval that reaches 0 is a tie, however far its point stands to the right.",
        alt=f"Forest plot of differences in macro-F1 between {family} with 95 % intervals.",
        is_key=not test_on and (family in study.primary_comparisons or is_lead),
        is_lead=is_lead and not test_on,
    )


def _context(row: Mapping[str, Any], rows: pd.DataFrame) -> str:
    """What else tells a comparison from others of the figure: test set, training set, variant, network, if several."""
    names = [
        name
        for name in ("test_on", "train_on", "variant", "model")
        if rows[name].astype(object).fillna("").nunique() > 1
    ]
    values = [str(row[name]) for name in names if row[name]]
    return ", ".join(dict.fromkeys(values))


# ---------------------------------------------------------------- forest plots


def plot_comparison_intervals(title: list[str], pairs: Records) -> Figure:
    """Forest plot: a row per pair of comparisons.csv (one family, one score), difference and 95 % interval.

    The better one is named first, the largest difference stands on top. A filled point is a difference shown; intervals
    and p are corrected for all pairs of a family. `context`, where a pair has it, is said before the names.
    """
    rows = sorted((_turned(pair) for pair in pairs), key=_size, reverse=True)
    names = [textwrap.shorten(row["words"], 84, placeholder="…") for row in rows]
    left = min(0.066 * max(map(len, names)) + 0.2, 5.6)
    body = ROW * len(rows) + 1.05
    width = max(left + 4.2, 7.0)
    figure, top = titled_figure(title, width, body)
    height = body / top
    axes = figure.subplots()
    for place, row in enumerate(rows):
        _forest_row(axes, len(rows) - 1 - place, row)
    axes.axvline(0, color=MARK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), names[::-1], size=8)
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
    context = f"{pair['context']}: " if pair.get("context") else ""
    return {
        "words": f"{context}{names[0]} over {names[1]}{star}",
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
        Line2D([], [], marker="o", color=DIFFERENT, label="difference shown"),
        Line2D([], [], marker="o", color=TIED, markerfacecolor="white", label="no difference shown"),
    ]
    corrected = "95 % intervals hold for all pairs of a family together"
    note = "   * one seed: says something of these weights only" if any(pair["weights_only"] for pair in pairs) else ""
    figure.legend(handles=shown, title=f"{corrected}{note}", ncols=2, loc="lower left", alignment="left", fontsize=8)
