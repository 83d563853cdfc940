"""Figures of how the data was chosen: the selection funnel, what the pictures are like, how often a face was found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer.data.samples import read_samples
from fer.figures.jobs import FigureJob, joined, notes
from fer.figures.plots_selection import plot_detection_rates, plot_funnel, plot_picture_properties
from fer.results.study_files import StoredStudy
from fer.settings.settings import EMOTIONS
from utils import InputError, file_fingerprint, read_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REASONS_SHOWN = 3


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
    yield FigureJob("eda/selection_funnel", plot_funnel, title, {"panels": panels})


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
    """A reason without its numbers, so that alike ones can be counted together."""
    return re.sub(r"\d+(\.\d+)?", "…", reason) if not reason.startswith("LIMIT_PER_SPLIT") else reason


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        return read_csv(path, ["dataset"])[columns]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py: it is written again.") from error


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
    yield FigureJob("eda/picture_properties", draw_picture_properties, title, {}, sources, stamp)


def draw_picture_properties(paths: dict[str, str], title: list[str]) -> Figure:
    """Histograms from <name>_quality.csv of each dataset. Raises InputError when one is damaged."""
    columns = ["width", "height", "brightness", "contrast", "sharpness"]
    return plot_picture_properties(title, {name: _table(Path(path), columns) for name, path in paths.items()})


# ---------------------------------------------------------------- face detection


def detection_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Share of pictures in which a face was detected, per class and dataset; none where all came cropped."""
    rates: dict[str, dict[str, list[int]]] = {}
    for name in study.datasets:
        path = study.output / "samples" / f"{name}_detection.csv"
        if path.is_file():
            table = _table(path, ["label", "n", "detected"])
            sums = table[table["label"] >= 0].groupby("label")[["n", "detected"]].sum()
            rates[name] = {EMOTIONS[int(str(c))]: [int(row["detected"]), int(row["n"])] for c, row in sums.iterrows()}
    if rates:
        title = [
            "Faces detected per class",
            joined("share of pictures in use, all splits; lines: 95 % Wilson intervals", *notes(study, *rates)),
        ]
        yield FigureJob("eda/face_detection_rate", plot_detection_rates, title, {"rates": rates})
