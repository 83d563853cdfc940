"""Figures of cost: what networks and trainings take, the time to the best epoch, and the score bought with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.estimates import estimate
from fer.figures.looks import Places, look, places
from fer.figures.result_rows import is_ensemble, models_in_order, own_rows, pictures, repeats, with_intervals
from fer.figures.style import MARK, MARKERS, WIDTH, titled_figure
from fer.figures.titles import joined, notes
from fer.results.study_files import StoredStudy
from fer.results.trainings import spread_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# By network: cost, score, and the ends of its interval, None where none is known.
Points = dict[str, list[Any]]
COSTS = {
    "parameters": "parameters",
    "flops": "FLOPs a face",
    "latency_ms": "latency a face [ms]",
    "train_seconds": "training time [s]",
    "seconds_to_best": "time to the kept epoch [s]",
    "images_per_second": "training [images/s]",
    "peak_gpu_mb": "peak memory of the GPU in training [MB]",
}
ROW = 2.35  # inches of a row of scatter charts
AGAINST = ("parameters", "latency_ms", "train_seconds")
# What depends on the size of the training set; all else is the network's own.
OF_TRAINING = ("train_seconds", "seconds_to_best")


def cost_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Every cost of every network and training set, and macro-F1 on each own test set against cost."""
    rows = own_rows(study)
    if rows.empty:
        return
    rows = rows.assign(seconds_to_best=_seconds_to_best(rows))
    networks = rows[~is_ensemble(rows)]
    costs = {words: _by_training_set(networks, fact) for fact, words in COSTS.items() if networks[fact].notna().any()}
    known = notes(study, *study.datasets)
    if costs:
        yield FigureJob(
            name="cost/cost",
            draw=plot_cost,
            title=[
                "Cost of networks and trainings",
                joined(f"mean over variants and {spread_words(networks)}", *known),
            ],
            details={"costs": costs, "places": places(study, networks["label"])},
            section="cost",
            caption="What each network costs: its size, the time for one face, and the time of a training until its "
            "last and until its kept epoch. Times hold for the machine of this study alone.",
            alt="Dot charts of the cost of each network, a panel per quantity, a marker per training set.",
            is_key=True,
        )  # fmt: skip
    yield from _against_cost(study, rows)


def _against_cost(study: StoredStudy, rows: pd.DataFrame) -> Iterator[FigureJob]:
    """The score on the own test set against each cost: of single datasets on one page, then of each alone."""
    for variant, part in rows[rows["model"] != "ensemble_hard"].groupby("variant"):
        panels: dict[str, dict[str, Points]] = {}
        for train_on in sorted(part["train_on"].unique(), key=_fewest_first):
            some = with_intervals(study, part[part["train_on"] == train_on], "macro_f1")
            panels[str(train_on)] = {COSTS[fact]: found for fact in AGAINST if (found := _points(some, fact))}
        panels = {heading: found for heading, found in panels.items() if found}
        if not panels or part["label"].nunique() < 2:
            continue
        summed = ["an ensemble costs the sum of its members"] if is_ensemble(part).any() else []
        about = joined(f"{variant}, no TTA", pictures(part), repeats(part), *summed, *notes(study, *study.datasets))
        yield FigureJob(
            name=f"cost/{variant}_score_against_cost",
            draw=plot_score_against_cost,
            title=["Macro-F1 on the own test set against cost, a row per training set", about],
            details={"panels": panels, "places": places(study, part["label"])},
            section="cost",
            caption="Macro-F1 bought with parameters, with time per face and with training time (logarithmic). Points "
            "up and to the left are better; where intervals overlap, the cheaper network is the better buy. Points of "
            "about the same cost are drawn side by side.",
            alt="Scatter charts of macro-F1 against three costs, a point with its interval per network, names beside.",
            is_key=variant == rows["variant"].iloc[-1],
            is_lead=variant == rows["variant"].iloc[-1],
        )


def _fewest_first(train_on: str) -> tuple[int, str]:
    return train_on.count("+"), train_on


def _seconds_to_best(rows: pd.DataFrame) -> pd.Series:
    """Training time up to the kept epoch; every epoch of a run takes about as long."""
    return rows["train_seconds"].astype(float) * rows["best_epoch"].astype(float) / rows["epochs"].astype(float)


def _by_training_set(rows: pd.DataFrame, fact: str) -> dict[str, dict[str, float]]:
    """Mean of a cost by network, then by training set where it depends on that; unknown ones are left out."""
    kind = rows["train_on"] if fact in OF_TRAINING else pd.Series("", index=rows.index)
    means = rows[fact].astype(float).groupby([rows["label"], kind]).mean().dropna()
    found: dict[str, dict[str, float]] = {label: {} for label in models_in_order(rows)}
    for label, train_on, value in means.reset_index().itertuples(index=False, name=None):
        found[str(label)][str(train_on)] = float(value)
    return found


def _points(rows: pd.DataFrame, fact: str) -> Points:
    """By network: cost, score, and the ends of its interval."""
    found = {}
    for label in models_in_order(rows):
        part = rows[rows["label"] == label]
        cost, one = part[fact].astype(float).mean(), estimate(part, "macro_f1")
        if one is not None and cost > 0:
            found[label] = [float(cost), float(np.mean(one["values"])), one["low"], one["high"]]
    return found


# ---------------------------------------------------------------- how they look


def plot_cost(title: list[str], costs: Mapping[str, Mapping[str, Mapping[str, float]]], places: Places) -> Figure:
    """A panel per quantity, a row per network, a point per training set where it matters; logarithmic.

    `costs`: quantity (with its unit) to network to training set ("" for none) to value.
    """
    names = sorted({name for found in costs.values() for name in found}, key=lambda name: places[name])
    kinds = list(dict.fromkeys(k for found in costs.values() for by in found.values() for k in by if k))
    down, row = -(-len(costs) // 3), max(0.26, 0.12 * len(kinds) + 0.1)
    body = down * (row * len(names) + 0.62) + 0.35
    figure, top = titled_figure(title, WIDTH, body)
    height = body / top
    panels = figure.subplots(down, 3, squeeze=False, sharey=True).ravel()
    for axes, (heading, found) in zip(panels, costs.items(), strict=False):
        _cost_panel(axes, found, names, kinds, places)
        axes.set_title(heading, size=9)
    panels[0].set_yticks(range(len(names)), names, size=8)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    for axes in panels[len(costs) :]:
        axes.set_visible(False)
    _kind_legend(figure, kinds)
    left = min(0.07 * max(map(len, names)) + 0.15, 2.2) / WIDTH
    figure.subplots_adjust(left=left, right=0.985, bottom=0.55 / height, top=top - 0.28 / height,
                           hspace=0.62 / (row * len(names)), wspace=0.08)  # fmt: skip
    return figure


def _cost_panel(
    axes: Axes, found: Mapping[str, Mapping[str, float]], names: Sequence[str], kinds: Sequence[str], places: Places
) -> None:
    values = [value for by in found.values() for value in by.values() if value > 0]
    for row, name in enumerate(names):
        for kind, value in found.get(name, {}).items():
            number = kinds.index(kind) if kind else 0
            y = row + (0 if not kind else (number - (len(kinds) - 1) / 2) * 0.7 / len(kinds))
            axes.plot(value, y, MARKERS[number % len(MARKERS)], color=look(places[name]).colour, markersize=5)
            if not kind:
                axes.annotate(f"  {_amount(value)}", (value, y), va="center", size=7.5)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0, labelsize=8)
    _cost_axis(axes, values, has_words=True)


def _kind_legend(figure: Figure, kinds: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=MARKERS[number % len(MARKERS)], color=MARK, label=f"trained on {kind}")
        for number, kind in enumerate(kinds)
    ]
    if handles:
        figure.legend(handles=handles, ncols=4, loc="lower left", bbox_to_anchor=(0.01, 0), fontsize=8)


def _amount(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:,.3g} million"
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.3g}"


def plot_score_against_cost(title: list[str], panels: Mapping[str, Mapping[str, Points]], places: Places) -> Figure:
    """A row of panels per training set, a panel per cost, a point per network with its interval.

    `panels`: training set to cost to network to (cost, macro-F1, low, high). Scores from 0 to 1, costs logarithmic. A
    network has one score in a row, so that its name stands once, at its right end, at the height of its points.
    """
    headings = list(dict.fromkeys(cost for found in panels.values() for cost in found))
    body = ROW * len(panels) + 0.35
    figure, top = titled_figure(title, WIDTH, body)
    height = body / top
    grid = figure.subplots(len(panels), len(headings), sharey=True, sharex="col", squeeze=False)
    for axes, cost in zip(grid[-1], headings, strict=True):
        axes.set_xlabel(f"{cost}, logarithmic", size=9)
        _cost_axis(axes, [x for found in panels.values() for x, *_ in found.get(cost, {}).values()])
    for line, (name, found) in zip(grid, panels.items(), strict=True):
        for axes, cost in zip(line, headings, strict=True):
            _scatter(axes, found.get(cost, {}), places)
            axes.set(ylim=(0, 1))
            axes.grid()
        line[0].set_ylabel(f"{name}\nmacro-F1", size=9)
        _names_beside(line[-1], {label: y for points in found.values() for label, (_, y, *_) in points.items()}, places)
    longest = max(len(label) for found in panels.values() for points in found.values() for label in points)
    right = min(0.063 * longest + 0.85, 2.6)
    figure.subplots_adjust(left=0.085, right=1 - right / WIDTH, bottom=0.5 / height, top=top - 0.08 / height,
                           wspace=0.06, hspace=0.1)  # fmt: skip
    return figure


def _scatter(axes: Axes, points: Points, places: Places) -> None:
    """Points with their intervals; those of about the same cost stand side by side, else one would hide another."""
    from matplotlib.transforms import ScaledTranslation

    for name, shift in _side_by_side({name: x for name, (x, *_) in points.items()}, axes.get_xlim()).items():
        x, y, low, high = points[name]
        shown = look(places[name])
        aside = axes.transData + ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=shown.colour, linewidth=1, transform=aside, clip_on=False)
        axes.plot(x, y, shown.marker, color=shown.colour, markersize=5.5, markeredgecolor="white", transform=aside,
                  clip_on=False)  # fmt: skip


def _side_by_side(costs: Mapping[str, float], limits: tuple[float, float]) -> dict[str, float]:
    """By name how far to the right of its cost a point is drawn, in points; `limits` are the ends of the axis."""
    near = 0.025 * np.log(limits[1] / limits[0])
    groups: list[list[str]] = []
    for name in sorted(costs, key=costs.__getitem__):
        if groups and np.log(costs[name] / costs[groups[-1][0]]) < near:
            groups[-1].append(name)
        else:
            groups.append([name])
    return {name: 6.0 * (place - (len(group) - 1) / 2) for group in groups for place, name in enumerate(group)}


def _names_beside(axes: Axes, scores: Mapping[str, float], places: Places) -> None:
    """Right of the panel the names and scores, best on top, each joined to the height of its points by a line."""
    across = axes.get_yaxis_transform()
    names = sorted(scores, key=scores.__getitem__, reverse=True)
    for name, at in zip(names, _apart([scores[name] for name in names], 0.13 / ROW), strict=True):
        shown = look(places[name])
        axes.plot([1.0, 1.035], [scores[name], at], color="#bbbbbb", linewidth=0.7, clip_on=False, transform=across)
        axes.plot(1.065, at, shown.marker, color=shown.colour, markersize=5, clip_on=False, transform=across)
        axes.text(1.1, at, f"{name} {scores[name]:.3f}", size=7.5, va="center", transform=across)


def _apart(values: Sequence[float], gap: float) -> list[float]:
    """Falling `values`, each at least `gap` below the one before: pushed down, and up again where 0 is reached."""
    found: list[float] = []
    for value in values:
        found.append(min(value, found[-1] - gap) if found else value)
    floor = 0.0
    for place in reversed(range(len(found))):
        found[place] = max(found[place], floor)
        floor = found[place] + gap
    return found


def _cost_axis(axes: Axes, costs: Sequence[float], has_words: bool = False) -> None:
    """Logarithmic, plain numbers as ticks; where points are followed by words, with room for them on the right."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    if costs:
        spread = max(costs) / min(costs)
        axes.set_xlim(min(costs) / 1.5, max(costs) * (1.2 * max(6.0, spread**0.45) if has_words else 1.5))
        ticks = (1.0,) if spread > 30 else (1.0, 3.0) if has_words or spread > 4 else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(subs=ticks))
        axes.xaxis.set_major_formatter(EngFormatter(sep="") if max(costs) >= 1000 else "{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=8)
