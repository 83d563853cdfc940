"""A figure to draw, and the words and names that figures of all kinds share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fer.data.folds import OFFICIAL
from fer.results.study_files import StoredRun, StoredStudy
from utils import fingerprint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Raise when the same inputs would be drawn another way.
FIGURES_VERSION = 5


@dataclass(frozen=True)
class FigureJob:
    """A figure to draw: `draw(*sources, title=title, **details)`; `name` is its path without suffix.

    `title` and `details` are JSON-able; `stamp` changes with what the files behind `sources` hold.
    `run` is the folder name of the run shown, "" for none.
    """

    name: str
    draw: Callable[..., Figure]
    title: list[str]
    details: dict[str, Any]
    sources: tuple[Any, ...] = ()
    stamp: Any = None
    run: str = ""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of everything the figure shows."""
        drawn = [FIGURES_VERSION, self.draw.__name__, self.title, self.details, self.stamp]
        return fingerprint(drawn, length=16)


# ---------------------------------------------------------------- titles and names


def notes(study: StoredStudy, *datasets: str) -> list[str]:
    """What a reader must know before believing a figure of these datasets."""
    limit = [f"LIMIT_PER_SPLIT = {study.limit}"] if study.limit is not None else []
    return limit + (["SAMPLE DATA"] if study.is_sample(*datasets) else [])


def joined(*parts: str) -> str:
    """The parts of one line of a title."""
    return " · ".join(parts)


def run_words(run: StoredRun) -> str:
    """What a network was trained on, for titles."""
    split = "" if run.run["split"] == OFFICIAL else f", {run.run['split']}{' (folds pooled)' if run.folds else ''}"
    return f"trained on {run.train_on} ({run.run['variant']}), seed {run.run['seed']}{split}"


def name_parts(study: StoredStudy, run: StoredRun) -> list[str]:
    """What the file name of a run's figure needs beside the model: whatever the plan has several of."""
    train_on, variant, model, seed = run.name.split("__")[:4]
    columns = zip(*[name.split("__")[:4] for name in study.planned], strict=True)
    several_sets, several_variants, _, several_seeds = [len(set(values)) > 1 for values in columns]
    return [
        *([f"from_{train_on}"] if several_sets else []),
        *([variant] if several_variants else []),
        model,
        *([seed] if several_seeds else []),
    ]


BALANCE_WORDS = {
    "none": "not balanced",
    "oversample": "oversampled",
    "undersample": "undersampled",
    "weights": "weighted in the loss",
}
