"""Figures of class distributions: pictures per class before and after balancing, of datasets and of their unions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fer.figures.engine import FigureJob
from fer.figures.style import COLOURS, WIDTH, titled_figure
from fer.figures.titles import BALANCE_WORDS, joined, notes
from fer.layouts.emotions import class_names
from fer.results.study_files import StoredRun, StoredStudy, read_class_counts
from utils import InputError, log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def distribution_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per dataset: rows per class and split, and training rows after balancing; the same for unions."""
    originals: list[FigureJob] = []
    balanced: list[FigureJob] = []
    for name in study.datasets:
        try:
            counts = read_class_counts(study.output, name, study.classes)
        except InputError as error:
            log.warning("the class distributions of %s are left out: %s", name, error)
            continue
        originals.append(_original_job(study, name, counts))
        balanced += _balanced_jobs(study, name, counts["train"])
    yield from _together(study, "original", "Class distribution of every dataset before balancing", originals)
    yield from _together(study, "balanced", "Training pictures before and after balancing", balanced)
    unions: dict[str, list[StoredRun]] = {}
    for run in study.runs:
        if _size(run) > 1:
            unions.setdefault(run.name.split("__")[0], []).append(run)
    for slug, runs in unions.items():
        yield from _union_jobs(study, "combined" if len(unions) == 1 else slug, one_per_variant(runs))


def _together(study: StoredStudy, kind: str, heading: str, jobs: list[FigureJob]) -> Iterator[FigureJob]:
    """The figures of single datasets, and where there are several one with all of them in its place as key figure."""
    if len(jobs) < 2:
        yield from jobs
        return
    panels = {job.title[0].split(":")[0]: job.details["bars"] for job in jobs}
    title = [heading, joined("pictures; each panel has its own scale", *notes(study, *study.datasets))]
    yield replace(
        jobs[0], name=f"class_distributions/all_dist_{kind}", draw=plot_distributions, title=title,
        details={"panels": panels},
    )  # fmt: skip
    for job in jobs:
        yield replace(job, is_key=False, is_lead=False)


def _original_job(study: StoredStudy, name: str, counts: dict[str, list[int]]) -> FigureJob:
    words = {"train": "training", "val": "validation", "test": "test"}
    bars = {f"{words[split]} (n = {sum(row):,})": row for split, row in counts.items()}
    total = sum(sum(row) for row in counts.values())
    title = [
        f"{name}: class distribution before balancing",
        joined(f"pictures in use, n = {total:,}", *notes(study, name)),
    ]
    return FigureJob(
        f"class_distributions/{name}_dist_original", plot_distribution, title, {"bars": bars},
        section="data",
        caption="Pictures of each emotion in training, validation and test. Look for emotions with few test pictures: "
        "scores of these classes are the least certain.",
        alt="Bar charts of the number of pictures per emotion and split.",
        is_key=True,
        is_lead=True,
    )  # fmt: skip


def _balanced_jobs(study: StoredStudy, name: str, train: list[int]) -> Iterator[FigureJob]:
    runs = [run for run in study.runs if name in run.counts]
    if not runs:
        return
    changed, same = {}, ["before"]
    for run in one_per_variant(runs):
        after = run.counts[name]["balanced"]
        if list(after) == list(train):
            same.append(_balance_words(run))
        else:
            changed[f"{_balance_words(run)} (n = {sum(after):,})"] = after
    bars = {f"{'; '.join(same)} (n = {sum(train):,})": train} | changed
    title = [
        f"{name}: training pictures before and after balancing",
        joined("one epoch; validation and test are never balanced", *notes(study, name)),
    ]
    yield FigureJob(
        f"class_distributions/{name}_dist_balanced", plot_distribution, title, {"bars": bars},
        section="protocol",
        caption="Training pictures of each emotion as delivered and as an epoch shows them in each variant. Validation "
        "and test pictures are never balanced.",
        alt="Bar charts of the number of training pictures per emotion before and after balancing.",
        is_key=True,
    )  # fmt: skip


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
        yield FigureJob(
            path, plot_stacked_distribution, title, {"panels": panels},
            section="protocol",
            caption="Training pictures of each emotion in the union, stacked by the dataset they come from.",
            alt="Stacked bar charts of the number of training pictures per emotion and dataset.",
        )  # fmt: skip


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
    return plot_distributions(title, {"": bars})


def plot_distributions(title: list[str], panels: dict[str, dict[str, list[int]]]) -> Figure:
    """A panel per heading, two in a row; in each, bars per class side by side, legend entry to count per class."""
    across = min(2, len(panels))
    lines = -(-len(panels) // across)
    entries = max(len(bars) for bars in panels.values())
    above = 0.3 + 0.17 * -(-entries // (3 if across == 1 else 1))
    body = (2.1 + above) * lines + 0.3
    figure, top = titled_figure(title, WIDTH, body)
    height = body / top
    grid = figure.subplots(lines, across, squeeze=False).ravel()
    for axes, (heading, bars) in zip(grid, panels.items(), strict=False):
        _bars(axes, bars, labelled=across == 1 and len(bars) <= 3)
        _legend_above(axes, 3 if across == 1 else 1)
        _count_axis(axes)
        axes.set_title(heading, size=9, pad=6 + (above - 0.3) * 72)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.subplots_adjust(
        left=0.6 / WIDTH, right=0.99, bottom=0.3 / height, top=top - above / height, hspace=(above + 0.25) / 2.1,
        wspace=0.16,
    )  # fmt: skip
    return figure


def _bars(axes: Axes, bars: dict[str, list[int]], labelled: bool) -> None:
    wide = 0.84 / len(bars)
    for number, (label, counts) in enumerate(bars.items()):
        x = np.arange(len(counts)) + (number - (len(bars) - 1) / 2) * wide
        drawn = axes.bar(x, counts, wide * 0.94, color=COLOURS[number % len(COLOURS)], label=label)
        if labelled:
            axes.bar_label(drawn, fmt="{:,.0f}", size=7, padding=1)
    axes.set_xticks(range(len(counts)), class_names(len(counts)), size=8)


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
    names = class_names(len(next(iter(parts.values()))))
    base = np.zeros(len(names), dtype=int)
    for colour, (name, counts) in zip(COLOURS, parts.items(), strict=False):
        label = f"{name} (n = {sum(counts):,})"
        axes.bar(names, counts, bottom=base, color=colour, edgecolor="white", label=label)
        base += counts
    for place, total in enumerate(base):
        axes.annotate(f"{total:,}", (place, total), xytext=(0, 2), textcoords="offset points", ha="center", size=7.5)
    axes.margins(y=0.08)


def _legend_above(axes: Axes, columns: int) -> None:
    axes.legend(title=None, ncols=columns, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, fontsize=7.5)


def _count_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=0)
