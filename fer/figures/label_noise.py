"""The figure of label noise: how many rows of each given label are estimated to show another emotion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer.columns.files import LABEL_NOISE_MATRIX
from fer.figures.confusion import plot_matrices
from fer.figures.engine import FigureJob
from fer.figures.titles import joined, notes
from fer.layouts.emotions import classes_among
from fer.results.study_files import StoredStudy
from utils import InputError, file_fingerprint, read_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MATRIX = "label_noise_matrix.csv"


def label_noise_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """The noise matrix of every dataset and part that LABEL_NOISE judged; nothing without it."""
    path = study.output / "audit" / MATRIX
    if not path.is_file():
        return
    title = [
        "Label noise: what the rows of each label are estimated to show",
        joined("confident learning on out-of-fold predictions", *notes(study, *study.datasets)),
    ]
    yield FigureJob(
        "eda/label_noise", draw_noise_matrices, title, {}, (str(path),), file_fingerprint(path),
        section="audit",
        caption="For each given label (rows) the estimated share that truly shows each emotion (columns). What lies "
        "off the diagonal is label noise, or faces on which networks and labels cannot agree: an estimate by networks, "
        "not a count of errors, and the weaker the network, the less of it is noise.",
        alt="Matrices of given labels by estimated emotions, one per dataset and part.",
        is_key=True,
    )  # fmt: skip


def draw_noise_matrices(path: str, title: list[str]) -> Figure:
    """A panel per dataset and part, from label_noise_matrix.csv. Raises InputError when it is damaged."""
    try:
        table = read_csv(Path(path), ["dataset", "part"])[list(LABEL_NOISE_MATRIX)]
        panels, names = {}, classes_among(table["label"].to_numpy(), table["suggested"].to_numpy())
        for (name, part), rows in table.groupby(["dataset", "part"], sort=False):
            joint = np.zeros((len(names), len(names)))
            joint[rows["label"], rows["suggested"]] = rows["estimated"]
            share = 1 - np.trace(joint) / max(joint.sum(), 1)
            panels[f"{name}, {part} (n = {joint.sum():,.0f})\nestimated wrong: {share:.1%}"] = joint
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{path} cannot be read ({error}). Remove it and run main.py: it is made again.") from error
    return plot_matrices(title, panels, ("given label", "estimated emotion"), "share of the given label")
