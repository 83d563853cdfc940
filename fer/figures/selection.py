"""Figures of how the data was chosen: the selection funnel, what the pictures are like, how often a face was found."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer.data.samples import read_samples
from fer.figures.engine import FigureJob
from fer.figures.style import COLOURS, WIDTH, titled_figure
from fer.figures.titles import joined, notes
from fer.layouts.emotions import ALL_EMOTIONS, classes_named
from fer.results.study_files import StoredStudy
from fer.statistics.significance import wilson_interval
from utils import InputError, file_fingerprint, read_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REASONS_SHOWN = 3
STEP_HEIGHT = 0.26  # inches
OUTLINES = ("-", "--", ":", "-.")


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        return read_csv(path, ["dataset"])[columns]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py: it is written again.") from error


# ---------------------------------------------------------------- what each step kept


def funnel_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per dataset, how many pictures each step kept, and the most frequent reasons for leaving.

    Nothing where selection_funnel.csv is not written yet. Raises InputError when it is damaged.
    """
    path = study.output / "selection_funnel.csv"
    if not path.is_file():
        return
    table = _table(path, ["dataset", "step", "removed", "kept", "found"])
    panels: dict[str, list[list[Any]]] = {}
    for name in study.datasets:
        reasons = _reasons(study.output / "samples" / f"{name}_rejected.csv")
        steps = table[table["dataset"] == name]
        panels[name] = [
            [step, int(removed), int(kept), reasons.get(step, "") if pd.isna(found) else f"found in {int(found):,}"]
            for step, removed, kept, found in steps[["step", "removed", "kept", "found"]].itertuples(index=False)
        ]
    title = [
        "Selection funnel: what each step kept",
        joined("pictures left after the step; share of those listed", *notes(study, *study.datasets)),
    ]
    yield FigureJob(
        "eda/selection_funnel", plot_funnel, title, {"panels": panels},
        section="protocol",
        caption="What the selection left out of each dataset, step by step, and why; steps that removed nothing are "
        "named below. The last bar is what training, validation and test are made of.",
        alt="Bars of the pictures each step of the selection left out of each dataset, with the reasons in words.",
        is_key=True,
        is_lead=True,
    )  # fmt: skip


def _reasons(path: Path) -> dict[str, str]:
    """By step the most frequent reasons in words: "12 × truncated, 3 × no picture"."""
    if not path.is_file():
        return {}
    found: dict[str, Counter[str]] = {}
    for step, reason in read_samples(path)[["step", "reason"]].itertuples(index=False):
        found.setdefault(step, Counter())[masked(str(reason))] += 1
    return {
        step: "; ".join(f"{times:,} × {reason}" for reason, times in counted.most_common(REASONS_SHOWN))
        for step, counted in found.items()
    }


def masked(reason: str) -> str:
    """A reason without its numbers, so that those of one kind are counted together."""
    return re.sub(r"\d+(\.\d+)?", "…", reason) if not reason.startswith("LIMIT_PER_SPLIT") else reason


def plot_funnel(title: list[str], panels: Mapping[str, Sequence[Sequence[Any]]]) -> Figure:
    """A panel per dataset, a bar per step that removed something; `panels` holds (step, removed, kept, reasons)."""
    shown = {name: _telling(steps) for name, steps in panels.items()}
    heights = [sum(_tall(text) for *_, text in steps) for steps in shown.values()]
    body = sum(heights) + 0.5 * len(panels) + 0.1
    figure, top = titled_figure(title, WIDTH, body)
    height, y = body / top, body - 0.1
    for (name, steps), tall in zip(shown.items(), heights, strict=True):
        y -= 0.3 + tall
        axes = figure.add_axes((1.0 / WIDTH, y / height, 3.0 / WIDTH, tall / height))
        _funnel_panel(axes, name, steps, panels[name])
        y -= 0.2
    return figure


def _tall(text: str) -> float:
    """Inches of a step."""
    return STEP_HEIGHT * max(1, 0.6 * text.count("\n") + 0.9)


def _telling(steps: Sequence[Sequence[Any]]) -> list[tuple[str, int, int, str]]:
    """The first step, those that removed something or found faces, and the last; what is said of each, wrapped."""
    listed = max(steps[0][2], 1)
    found = []
    for place, (step, removed, kept, reasons) in enumerate(steps):
        if 0 < place < len(steps) - 1 and not removed:
            continue
        said = [f"{kept:,} ({kept / listed:.1%})"] + ([f"{removed:,} out"] if removed else [])
        words = ": ".join(filter(None, [", ".join(said), reasons if removed else ""]))
        found.append((step, removed, kept, "\n".join(textwrap.wrap(words, 92))))
    return found


def _funnel_panel(
    axes: Axes, name: str, steps: Sequence[tuple[str, int, int, str]], every: Sequence[Sequence[Any]]
) -> None:
    places = np.cumsum([0.0, *[_tall(text) for *_, text in steps]])
    listed = max(steps[0][2], 1)
    for y, (_, removed, kept, text) in zip((places[:-1] + places[1:]) / 2, steps, strict=True):
        axes.barh(y, kept, 0.17, color=COLOURS[0])
        axes.barh(y, removed, 0.17, left=kept, color="white", edgecolor=COLOURS[4], hatch="//////", linewidth=0.6)
        axes.text(1.02 * listed, y, text, va="center", size=8, linespacing=1.05)
    axes.set_yticks((places[:-1] + places[1:]) / 2, [step for step, *_ in steps])
    axes.set(xlim=(0, listed), ylim=(places[-1], 0))
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    idle = [step for step, removed, *_ in every[1:-1] if not removed]
    axes.set_title(name + (f"   (no picture left out at: {', '.join(idle)})" if idle else ""), size=9)


# ---------------------------------------------------------------- what the pictures are like


def quality_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Size, brightness, contrast and sharpness of the pictures in use, all datasets on one scale."""
    paths = {name: study.output / "audit" / f"{name}_quality.csv" for name in study.datasets}
    paths = {name: path for name, path in paths.items() if path.is_file()}
    if not paths:
        return
    title = [
        "Pictures in use: size, brightness, contrast, sharpness",
        joined("faces measured at 48 px gray, sizes as delivered", *notes(study, *paths)),
    ]
    sources = ({name: str(path) for name, path in paths.items()},)
    stamp = {name: file_fingerprint(path) for name, path in paths.items()}
    yield FigureJob(
        "eda/picture_properties", draw_picture_properties, title, {}, sources, stamp,
        section="data",
        caption="How large, bright, rich in contrast and sharp the pictures of each dataset are; sizes as the share of "
        "pictures up to each size, all else as histograms. Datasets whose curves "
        "hardly overlap differ in more than their faces, which shows when one is tested on the other.",
        alt="Cumulative curves of size and histograms of brightness, contrast and sharpness, a line per dataset.",
        is_key=True,
    )  # fmt: skip


def draw_picture_properties(paths: dict[str, str], title: list[str]) -> Figure:
    """Histograms from <name>_quality.csv of each dataset. Raises InputError when one is damaged."""
    columns = ["width", "height", "brightness", "contrast", "sharpness"]
    return plot_picture_properties(title, {name: _table(Path(path), columns) for name, path in paths.items()})


def plot_picture_properties(title: list[str], tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Four histograms; `tables` maps a dataset to its columns width, height, brightness, contrast, sharpness."""
    figure, top = titled_figure(title, WIDTH, 5.6)
    panels = figure.subplots(2, 2).ravel()
    names = {
        "side": "shorter side as delivered [px]: share up to this size",
        "brightness": "brightness: mean gray level (0 to 255)",
        "contrast": "contrast: standard deviation of gray levels",
        "sharpness": "sharpness: edges over contrast",
    }
    measured = {name: table.assign(side=table[["width", "height"]].min(axis=1)) for name, table in tables.items()}
    for axes, (column, words) in zip(panels, names.items(), strict=True):
        values = {name: table[column].to_numpy(float) for name, table in measured.items()}
        _sizes(axes, values) if column == "side" else _histograms(axes, values, column)
        axes.set_title(words, size=9)
        axes.grid()
    for axes in panels[::2]:
        axes.set_ylabel("share of the dataset")
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=min(len(labels), 3), loc="lower left", bbox_to_anchor=(0.05, 0))
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.12, top=top - 0.05, hspace=0.32, wspace=0.16)
    return figure


def _outline(name: str, place: int, n: int) -> dict[str, Any]:
    """How a dataset is drawn."""
    line = {"color": COLOURS[place % len(COLOURS)], "linestyle": OUTLINES[place % len(OUTLINES)], "linewidth": 1.5}
    return line | {"label": f"{name} (n = {n:,})"}


def _histograms(axes: Axes, values: Mapping[str, np.ndarray], column: str) -> None:
    """One outline per dataset over shared bins."""
    import seaborn

    together = np.concatenate(list(values.values()))
    low, high = (0.0, 255.0) if column == "brightness" else (float(together.min()), float(together.max()))
    edges = np.linspace(low, high + 1e-6, 41)
    for place, (name, found) in enumerate(values.items()):
        how = _outline(name, place, len(found))
        seaborn.histplot(x=found, bins=edges, stat="proportion", element="step", fill=False, ax=axes, **how)
    axes.set(xlabel="", ylabel="")


def _sizes(axes: Axes, values: Mapping[str, np.ndarray]) -> None:
    """Cumulative shares: where all pictures have one size, its bar would flatten every other dataset."""
    together = np.concatenate(list(values.values()))
    low, high = float(together.min()) * 0.9, float(together.max()) * 1.1
    for place, (name, found) in enumerate(values.items()):
        sizes, counts = np.unique(found, return_counts=True)
        shares = np.cumsum(counts) / len(found)
        axes.step([low, *sizes, high], [0.0, *shares, 1.0], where="post", **_outline(name, place, len(found)))
    axes.set(xlim=(low, high), ylim=(0, 1.02), xscale="log")
    ticks = [size for size in (16, 32, 48, 64, 100, 150, 224, 350, 500, 1000, 2000) if low <= size <= high]
    axes.set_xticks(ticks or [round(low)], [str(tick) for tick in ticks or [round(low)]])
    axes.minorticks_off()


# ---------------------------------------------------------------- face detection


def detection_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Share of pictures in which a face was detected, per class and dataset; none where all came cropped."""
    rates: dict[str, dict[str, list[int]]] = {}
    for name in study.datasets:
        path = study.output / "samples" / f"{name}_detection.csv"
        if path.is_file():
            table = _table(path, ["label", "n", "detected"])
            sums = table[table["label"] >= 0].groupby("label")[["n", "detected"]].sum()
            rates[name] = {
                ALL_EMOTIONS[int(str(c))]: [int(row["detected"]), int(row["n"])] for c, row in sums.iterrows()
            }
    if rates:
        title = [
            "Faces detected per class",
            joined("share of pictures in use, all splits; lines: 95 % Wilson intervals", *notes(study, *rates)),
        ]
        yield FigureJob(
            "eda/face_detection_rate", plot_detection_rates, title, {"rates": rates},
            section="protocol",
            caption="In what share of each emotion's pictures a face was detected, with 95 % intervals. An emotion "
            "whose faces are missed more often is prepared worse than others, which later scores inherit.",
            alt="Bar chart of the share of pictures with a detected face, per emotion and dataset.",
            is_key=True,
        )  # fmt: skip


def plot_detection_rates(title: list[str], rates: Mapping[str, Mapping[str, Sequence[int]]]) -> Figure:
    """Bars per class, one per dataset; `rates`: dataset to class to (detected, pictures)."""
    figure, top = titled_figure(title, WIDTH, 3.9)
    axes = figure.subplots()
    bar, names = 0.84 / len(rates), classes_named(name for found in rates.values() for name in found)
    for place, (name, classes) in enumerate(rates.items()):
        found = [classes.get(emotion, (0, 0)) for emotion in names]
        detected, n = (np.array(column) for column in zip(*found, strict=True))
        x = np.arange(len(names)) + (place - (len(rates) - 1) / 2) * bar
        rate = detected / np.maximum(n, 1)
        low, high = wilson_interval(detected, np.maximum(n, 1))
        colour = COLOURS[place % len(COLOURS)]
        axes.bar(
            x, rate, bar * 0.94, color=colour, label=f"{name} (n = {n.sum():,}, {detected.sum() / max(n.sum(), 1):.1%})"
        )
        axes.errorbar(
            x,
            rate,
            [np.maximum(rate - low, 0), np.maximum(high - rate, 0)],
            fmt="none",
            ecolor="#222222",
            elinewidth=0.8,
            capsize=2,
        )
        for at, share, upper, total in zip(x, rate, high, n, strict=True):
            words = (f"{share:.2f}\nn = {total:,}" if total else "no pictures") if len(rates) < 3 else ""
            axes.annotate(
                words, (at, upper), xytext=(0, 2), textcoords="offset points", ha="center", va="bottom", size=7
            )
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(np.arange(0, 1.01, 0.2))
    axes.set(ylim=(0, 1.16), ylabel="share with a face detected")
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")
    figure.legend(ncols=3, loc="lower left", bbox_to_anchor=(0.06, 0))
    figure.subplots_adjust(left=0.07, right=0.99, bottom=0.14, top=top - 0.02)
    return figure
