"""Figures of class distributions: pictures per class before and after balancing, of datasets and of their unions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer.figures.engine import FigureJob
from fer.figures.style import COLOURS, titled_figure
from fer.figures.titles import BALANCE_WORDS, joined, notes
from fer.results.study_files import StoredRun, StoredStudy, read_class_counts
from fer.settings.settings import EMOTIONS
from utils import InputError, log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def distribution_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per dataset: rows per class and split, and training rows after balancing; the same for unions."""
    for name in study.datasets:
        try:
            counts = read_class_counts(study.output, name)
        except InputError as error:
            log.warning("the class distributions of %s are left out: %s", name, error)
            continue
        yield _original_job(study, name, counts)
        yield from _balanced_jobs(study, name, counts["train"])
    unions: dict[str, list[StoredRun]] = {}
    for run in study.runs:
        if _size(run) > 1:
            unions.setdefault(run.name.split("__")[0], []).append(run)
    for slug, runs in unions.items():
        yield from _union_jobs(study, "combined" if len(unions) == 1 else slug, one_per_variant(runs))


def _original_job(study: StoredStudy, name: str, counts: dict[str, list[int]]) -> FigureJob:
    words = {"train": "training", "val": "validation", "test": "test"}
    bars = {f"{words[split]} (n = {sum(row):,})": row for split, row in counts.items()}
    total = sum(sum(row) for row in counts.values())
    title = [
        f"{name}: class distribution before balancing",
        joined(f"pictures in use, n = {total:,}", *notes(study, name)),
    ]
    return FigureJob(f"class_distributions/{name}_dist_original", plot_distribution, title, {"bars": bars})


def _balanced_jobs(study: StoredStudy, name: str, train: list[int]) -> Iterator[FigureJob]:
    runs = [run for run in study.runs if name in run.counts]
    if not runs:
        return
    bars = {f"before (n = {sum(train):,})": train}
    for run in one_per_variant(runs):
        after = run.counts[name]["balanced"]
        bars[f"{_balance_words(run)} (n = {sum(after):,})"] = after
    title = [
        f"{name}: training pictures before and after balancing",
        joined("one epoch; validation and test are never balanced", *notes(study, name)),
    ]
    yield FigureJob(f"class_distributions/{name}_dist_balanced", plot_distribution, title, {"bars": bars})


def _union_jobs(study: StoredStudy, name: str, runs: list[StoredRun]) -> Iterator[FigureJob]:
    """Before and after balancing, for one union of datasets; `runs` holds one run per variant."""
    first = runs[0]
    before = {"before": {data: counts["original"] for data, counts in first.counts.items()}}
    after = {_balance_words(run): {data: counts["balanced"] for data, counts in run.counts.items()} for run in runs}
    natural = first.run["mixing"] == "natural"
    mixing = "every picture once an epoch" if natural else "then drawn equally often from each dataset"
    for kind, panels, words in (
        ("original", before, "before balancing"),
        ("balanced", after, f"each dataset balanced alone, {mixing}"),
    ):
        title = [
            f"{first.train_on} combined: training pictures",
            joined(words, *notes(study, *first.counts)),
        ]
        path = f"class_distributions/{name}_dist_{kind}"
        yield FigureJob(path, plot_stacked_distribution, title, {"panels": panels})


def one_per_variant(runs: list[StoredRun]) -> list[StoredRun]:
    """For each variant the run on the fewest datasets: copies across datasets leave longer ones."""
    fewest: dict[str, StoredRun] = {}
    for run in sorted(runs, key=_size):
        fewest.setdefault(run.run["variant"], run)
    return list(fewest.values())


def _size(run: StoredRun) -> int:
    return len(run.run["train_on"])


def _balance_words(run: StoredRun) -> str:
    return f"{run.run['variant']}: {BALANCE_WORDS[run.run['balance']]}"


# ---------------------------------------------------------------- how they look


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
