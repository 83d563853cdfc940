"""Figures that compare scores: models, classes, augmentation, TTA, combined training, ensembles.

All are bars with a point per seed, and all numbers are those of results.csv and per_class_results.csv.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evaluation import METRICS
from fer.figures.engine import FigureJob
from fer.figures.result_rows import (
    is_ensemble,
    models_in_order,
    networks_first,
    own_rows,
    pictures,
    repeats,
    rows_selected_on_validation,
    values,
    with_classes,
)
from fer.figures.style import (
    COLOURS,
    HATCHES,
    LEGEND_LINE,
    MARK,
    WIDTH,
    legend_columns,
    legend_rows,
    score_text,
    titled_figure,
)
from fer.figures.titles import joined, notes
from fer.results.study_files import StoredStudy
from fer.settings.settings import EMOTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORDS = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_precision": "macro precision",
    "macro_recall": "macro recall", "macro_f1": "macro-F1", "macro_auc": "macro AUC", "cohen_kappa": "Cohen's kappa",
}  # fmt: skip
BEFORE, AFTER = "preprocessed", "augmented"
# By series and category: a value per seed.
Series = Mapping[str, Mapping[str, Sequence[float]]]


# ---------------------------------------------------------------- models and classes


def metric_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set and variant: every metric of every model on its own test set, and recall and F1 per class."""
    for (train_on, variant), part in own_rows(study).groupby(["train_on", "variant"]):
        name = f"metrics/{train_on}_{variant}"
        about = joined(f"{variant}, tested on {train_on}, no TTA", pictures(part), repeats(part))
        known = notes(study, *str(train_on).split("+"))
        order = models_in_order(part)
        long = part.melt(["label"], list(METRICS), "metric").replace({"metric": WORDS})
        title = [f"{train_on}: all metrics of all models", joined(about, *known)]
        panels = {"": values(long, "label", "metric", "value", order)}
        yield FigureJob(f"{name}_metrics", plot_bars, title, {"panels": panels, "axis": "score"})
        classes = with_classes(study, part)
        panels = {kind: values(classes, "label", "class", kind, order) for kind in ("recall", "f1")}
        panels = {"recall": panels["recall"], "F1": panels["f1"]}
        title = [f"{train_on}: recall and F1 per class", joined(about, *known)]
        yield FigureJob(f"{name}_per_class", plot_bars, title, {"panels": panels, "axis": "score"})


# ---------------------------------------------------------------- what a change brings


def augmentation_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set: recall and F1 of each class with augmentation minus without, per model, seed by seed."""
    for train_on, part in own_rows(study).groupby("train_on"):
        if not {BEFORE, AFTER} <= set(part["variant"]):
            continue
        classes = with_classes(study, part)
        panels = {words: _gains(classes, kind) for words, kind in (("recall", "recall"), ("F1", "f1"))}
        if not any(panels["F1"].values()):
            continue
        counts = f"{pictures(part)}, no TTA, {repeats(part)}"
        title = [
            f"{train_on}: gain per class of augmented over preprocessed",
            joined("difference between runs of the same seed", counts, *notes(study, *str(train_on).split("+"))),
        ]
        details = {"panels": panels, "axis": "gain", "least": 0.05, "signed": True}
        yield FigureJob(f"metrics/{train_on}_augmentation_gain", plot_bars, title, details)


def _gains(classes: pd.DataFrame, kind: str) -> dict[str, dict[str, list[float]]]:
    """Augmented minus preprocessed of one score, paired by model, seed and fold."""
    same = ["model", "seed", "split", "class"]
    before, after = (classes[classes["variant"] == variant] for variant in (BEFORE, AFTER))
    both = before.merge(after, on=same, suffixes=("_before", ""))
    both["gain"] = both[kind] - both[f"{kind}_before"]
    both["label"] = both["model"]
    both["class"] = pd.Categorical(both["class"], EMOTIONS)
    return values(both.sort_values("class", kind="stable"), "label", "class", "gain", models_in_order(both))


def tta_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per TTA policy: what it adds to the accuracy of each model, on the test set of its own training set."""
    rows = rows_selected_on_validation(study)
    if rows.empty:
        return
    own = rows[rows["own"] & rows["tta_gain"].notna()]
    policies = sorted(own["tta"].unique())
    for policy in policies:
        part = own[own["tta"] == policy].sort_values("label", key=_in_order, kind="stable")
        panels = {
            f"{train_on} ({pictures(some)})": values(some, "variant", "label", "tta_gain")
            for train_on, some in part.groupby("train_on")
        }
        title = [
            f"Gain in accuracy by test-time augmentation ({policy})",
            joined("against the same network without TTA", repeats(part), *notes(study, *study.datasets)),
        ]
        details = {"panels": panels, "axis": "gain", "least": 0.01, "signed": True}
        name = "tta/tta_gain" + (f"_{policy}" if len(policies) > 1 else "")
        yield FigureJob(name, plot_bars, title, details | {"panel_height": 1.9})


def _in_order(labels: pd.Series) -> pd.Series:
    return labels.map(networks_first)


# ---------------------------------------------------------------- combined training, ensembles


def combined_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per variant: accuracy on each test set of a model trained on that dataset alone and on several together."""
    rows = rows_selected_on_validation(study)
    if rows.empty:
        return
    fits = rows["matching"] & (rows["tta"] == "none") & rows["section"].isin(["individual", "combined", "ensemble"])
    rows = rows[fits & ~rows["test_on"].str.contains("+", regex=False)]
    rows = rows[[test in train.split("+") for test, train in zip(rows["test_on"], rows["train_on"], strict=True)]]
    variants = [
        str(variant)
        for variant, part in rows.groupby("variant")
        if part["train_on"].str.contains("+", regex=False).any()
    ]
    for variant in variants:
        part = rows[rows["variant"] == variant].copy()
        part["trained"] = part["train_on"].where(part["train_on"].str.contains("+", regex=False), "this dataset alone")
        order = sorted(part["trained"].unique(), key=lambda name: (name != "this dataset alone", name))
        panels = {
            f"{label}": values(some.sort_values("test_on", kind="stable"), "trained", "test_on", "macro_f1", order)
            for label, some in ((label, part[part["label"] == label]) for label in models_in_order(part))
        }
        title = [
            "Trained on one dataset or on several together",
            joined(
                f"macro-F1 on each test set, {variant}, no TTA",
                pictures(part),
                repeats(part),
                *notes(study, *study.datasets),
            ),
        ]
        details = {"panels": panels, "axis": "macro-F1", "columns": min(2, len(panels)), "panel_height": 2.0}
        name = "combined/individual_vs_combined" + (f"_{variant}" if len(variants) > 1 else "")
        yield FigureJob(name, plot_bars, title, details)


def ensemble_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set, variant and test set: the ensembles beside the networks that vote in them."""
    rows = rows_selected_on_validation(study)
    if rows.empty:
        return
    rows = rows[rows["matching"]]
    for (train_on, variant, test_on), part in rows.groupby(["train_on", "variant", "test_on"]):
        if not is_ensemble(part).any():
            continue
        order = models_in_order(part)
        panels = {}
        for policy in sorted(part["tta"].unique(), key=lambda name: (name != "none", name)):
            some = part[part["tta"] == policy]
            kinds = {name: WORDS[name] for name in ("accuracy", "balanced_accuracy", "macro_f1")}
            long = some.melt(["label"], list(kinds), "metric").replace({"metric": kinds})
            panels["no TTA" if policy == "none" else f"TTA {policy}"] = values(long, "label", "metric", "value", order)
        title = [
            f"Ensembles and the networks that vote in them, on {test_on}",
            joined(f"trained on {train_on} ({variant})", pictures(part), repeats(part)),
            *([joined(*known)] if (known := notes(study, *str(train_on).split("+"), *str(test_on).split("+"))) else []),
        ]
        name = f"ensemble_results/{train_on}_{variant}_ensembles_{test_on}"
        yield FigureJob(name, plot_bars, title, {"panels": panels, "axis": "score"})


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
    """The mean as a number beyond the outermost point, upright where the bar is narrow, left out where it is a line."""
    if inches < 0.09:
        return
    mean = float(values.mean())
    below = signed and mean < 0
    place, side, shift = (values.min(), "top", -4) if below else (max(values.max(), 0.0), "bottom", 4)
    axes.annotate(
        score_text(mean, signed), (x, place), xytext=(0, shift), textcoords="offset points", ha="center", va=side,
        size=6.5, rotation=90 if inches < 0.4 else 0,
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


def series_legend(figure: Figure, series: Sequence[str]) -> None:
    """A legend under the figure, a patch per series."""
    from matplotlib.patches import Patch

    handles = [Patch(edgecolor="white", label=name, **look(place)) for place, name in enumerate(series)]  # type: ignore[arg-type]
    figure.legend(handles=handles, ncols=legend_columns(series), loc="lower left", bbox_to_anchor=(0.05, 0), fontsize=8)


def look(place: int) -> dict[str, str]:
    """Colour and hatch of the series at `place`: the hatch changes where the colours begin again."""
    return {"facecolor": COLOURS[place % len(COLOURS)], "hatch": HATCHES[place // len(COLOURS) % len(HATCHES)]}
