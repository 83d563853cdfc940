"""The figures of SEARCH: the score of every trial in its order and against its cost, and which settings matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.style import COLOURS, MARK, titled_figure
from fer.figures.titles import joined, notes
from fer.findings.finding import counted, metric_words
from fer.results.study_files import StoredStudy
from fer.search.files import StoredSearch, read_search

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE, HEIGHT = 7.2, 3.2  # inches
LOOKS = {"complete": ("o", COLOURS[0]), "pruned": ("x", "#999999")}  # marker and colour of a trial by how it ended
WORDS = {"complete": "complete", "pruned": "ended early (best so far)"}
Points = dict[str, list[list[float]]]  # by how a trial ended: number or minutes, and score


def search_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Three figures where a search chose a run of the study; nothing else."""
    found = read_search(study.output, set(study.planned))
    if found is None:
        return
    yield _history_job(study, found)
    yield _cost_job(study, found)
    if len(found.importances):
        yield _importances_job(study, found)


def _history_job(study: StoredStudy, found: StoredSearch) -> FigureJob:
    metric = metric_words(found.facts["metric"])
    optimism = found.facts["optimism"]
    expected = None if optimism is None else float(optimism["corrected"])
    line = "" if expected is None else " Dashed: what the chosen should score on faces that did not choose it."
    return FigureJob(
        "search/history",
        plot_history,
        [f"Validation {metric} of every trial, in their order", _about(study, found)],
        {"metric": metric, "points": _points(found, "trial"), "chosen": _chosen(found, "trial"), "expected": expected},
        caption=f"Every trial of the search; the line is the best so far, the ring what validation chooses.{line} "
        "Where the line has long been flat, more trials promise little.",
        alt=f"Points: validation {metric} by number of trial, with a line for the best so far.",
        section="search",
        is_key=True,
        is_lead=True,
    )


def _cost_job(study: StoredStudy, found: StoredSearch) -> FigureJob:
    metric = metric_words(found.facts["metric"])
    return FigureJob(
        "search/cost",
        plot_trial_cost,
        [f"Validation {metric} against the time of a trial", _about(study, found)],
        {"metric": metric, "points": _points(found, "minutes"), "chosen": _chosen(found, "minutes")},
        caption="Up and to the left is better: as good in less time. Minutes of the epochs by the clock, on the "
        "machines the trials ran on.",
        alt=f"Scatter chart of validation {metric} by minutes of training, a point per trial.",
        section="search",
        is_key=True,
    )


def _importances_job(study: StoredStudy, found: StoredSearch) -> FigureJob:
    shares = found.importances.sort_values("importance", ascending=False)
    return FigureJob(
        "search/importances",
        plot_importances,
        [
            "Which settings matter",
            joined(f"fANOVA over {counted(int(shares['trials'].iloc[0]), 'complete trial')}",
                   *notes(study, *study.datasets)),
        ],
        {"shares": dict(zip(map(str, shares["setting"]), map(float, shares["importance"]), strict=True))},
        caption="Share of the differences between trials that each setting explains within the ranges searched "
        "(Hutter et al. 2014). From few trials these shares are rough.",
        alt="Bars: importance of each setting.",
        section="search",
        is_key=True,
    )  # fmt: skip


def _about(study: StoredStudy, found: StoredSearch) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in found.facts["counts"].items())
    return joined(f"{counted(int(found.facts['looked_at']), 'trial')}: {counts}", *notes(study, *study.datasets))


def _points(found: StoredSearch, column: str) -> Points:
    rows = found.trials[found.trials["validation_score"].notna()]
    return {
        str(state): part[[column, "validation_score"]].astype(float).to_numpy().tolist()
        for state, part in rows.groupby("state")
        if state in LOOKS
    }


def _chosen(found: StoredSearch, column: str) -> list[float]:
    row = found.trials[found.trials["chosen_by_validation"]].iloc[0]
    return [float(row[column]), float(row["validation_score"])]


# ---------------------------------------------------------------- how they look


def plot_history(title: list[str], metric: str, points: Points, chosen: list[float], expected: float | None) -> Figure:
    """A point per trial, a step line of the best complete one so far; `expected`: a dashed line."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _scores(title, metric, points, chosen)
    complete = pd.DataFrame(sorted(points.get("complete", [])), columns=["x", "y"])
    last = max(x for found in points.values() for x, _ in found)
    axes.step([*complete["x"], last], [*complete["y"].cummax(), complete["y"].max()], where="post", color=COLOURS[0],
              linewidth=1, zorder=1)  # fmt: skip
    if expected is not None:
        axes.axhline(expected, color=MARK, linestyle="--", linewidth=0.9, zorder=0)
        beside = (1.01, expected), ("axes fraction", "data")
        axes.annotate(
            f"expected\n{expected:.3f}", beside[0], xycoords=beside[1], va="center", size=8, annotation_clip=False
        )
        figure.subplots_adjust(right=1 - 0.75 / SIDE)
    axes.set_xlabel("trial", size=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def plot_trial_cost(title: list[str], metric: str, points: Points, chosen: list[float]) -> Figure:
    """A point per trial over its minutes."""
    figure, axes = _scores(title, metric, points, chosen)
    axes.set_xlabel("minutes of training", size=9)
    axes.set_xlim(0, 1.05 * max(x for found in points.values() for x, _ in found))
    return figure


def _scores(title: list[str], metric: str, points: Points, chosen: list[float]) -> tuple[Figure, Axes]:
    """Axes of scores from 0 to 1 with the points of all trials, a ring around the chosen one, and the legend."""
    figure, top = titled_figure(title, SIDE, HEIGHT)
    height = HEIGHT / top
    axes = figure.subplots()
    for state, (marker, colour) in LOOKS.items():
        if found := points.get(state):
            x, y = zip(*found, strict=True)
            axes.plot(x, y, marker, color=colour, markersize=4.5, linestyle="", label=WORDS[state],
                      clip_on=False)  # fmt: skip
    axes.plot(*chosen, "o", markersize=11, markerfacecolor="none", color=MARK, linestyle="", label="chosen",
              clip_on=False)  # fmt: skip
    lowest = min(0.0, *(y for found in points.values() for _, y in found))
    axes.set_ylim(lowest, 1)
    axes.grid(axis="y")
    axes.set_ylabel(f"validation {metric}", size=9)
    figure.legend(loc="lower left", ncols=3, fontsize=8, bbox_to_anchor=(0.01, 0))
    figure.subplots_adjust(left=0.62 / SIDE, right=1 - 0.15 / SIDE, bottom=0.75 / height, top=top - 0.1 / height)
    return figure, axes


def plot_importances(title: list[str], shares: dict[str, Any]) -> Figure:
    """A bar per setting, the most important above."""
    body = 0.3 * len(shares) + 0.6
    figure, top = titled_figure(title, SIDE, body)
    height = body / top
    axes = figure.subplots()
    names = list(shares)
    axes.barh(range(len(names)), list(shares.values()), height=0.6, color=COLOURS[0])
    for place, value in enumerate(shares.values()):
        axes.annotate(f" {value:.2f}", (value, place), va="center", size=8)
    axes.set_yticks(range(len(names)), names, size=8)
    axes.set(xlim=(0, 1.08), ylim=(len(names) - 0.4, -0.6))
    axes.set_xlabel("importance, of all 1", size=9)
    left = min(0.075 * max(map(len, names)) + 0.2, 3.2) / SIDE
    figure.subplots_adjust(left=left, right=0.98, bottom=0.45 / height, top=top - 0.05 / height)
    return figure
