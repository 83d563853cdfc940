"""A section of the page for every run of the plan: state, curves, confusion matrix, mistakes, config, how to verify it.

Curves and matrix are drawn here from history.csv and the predictions, small and as text: a page of 200 runs loads no
picture for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fer.layouts.emotions import ALL_EMOTIONS
from fer.report.facts import RunState
from fer.report.page_figures import Figure
from fer.results.study_files import PredictionEntry, StoredRun, StoredStudy, read_history, read_predictions
from utils import InputError

CURVES = {"loss": "loss", "macro_f1": "macro-F1"}
WIDTH, HEIGHT = 220, 80  # of a small curve, in units of its own
WORST = 3


@dataclass(frozen=True)
class Curve:
    """Training and validation values of a quantity by epoch, as points of an SVG polyline; `words` say them."""

    name: str
    train: str
    validation: str
    words: str


@dataclass(frozen=True)
class Matrix:
    """Answers on a test set: `rows` hold a true class and, per answer, its count and its share of the class."""

    test_on: str
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]
    mistakes: str


@dataclass(frozen=True)
class RunSection:
    """What the page says of a run; `named` describes it in words, `config` holds all that is stored of it."""

    name: str
    named: str
    state: str
    note: str
    score: str
    curves: tuple[Curve, ...]
    matrix: Matrix | None
    figures: tuple[Figure, ...]
    config: str


def run_sections(
    study: StoredStudy, states: list[RunState], scores: dict[str, str], figures: list[Figure]
) -> list[RunSection]:
    """One section per run of the plan, in its order. `study` with unions; `scores`: validation scores in words."""
    runs = {run.name: run for run in study.runs}
    tests: dict[str, list[PredictionEntry]] = {}
    for entry in study.predictions:
        if entry.split == "test" and entry.tta == "none":
            tests.setdefault(entry.run.name, []).append(entry)
    found = []
    for one in states:
        described = study.planned[one.name]
        matrix = _matrix(runs[one.name], tests.get(one.name, [])) if one.name in runs else None
        own = tuple(figure for figure in figures if figure.run == one.name)
        curves = tuple(_curves(StoredRun(one.name, study.output / "saved_models" / one.name, described, {}, {})))
        found.append(RunSection(
            one.name, _words(described), one.state, one.note, scores.get(one.name, ""), curves, matrix, own,
            _config(described),
        ))  # fmt: skip
    return found


def _words(run: dict[str, Any]) -> str:
    split = "" if run["split"] == "official" else f", {run['split']}"
    oracle = ", ORACLE" if run["selection"] == "oracle" else ""
    return (
        f"{run['model']}, {run['variant']}, trained on {'+'.join(run['train_on'])}, seed {run['seed']}{split}{oracle}"
    )


def _config(run: dict[str, Any]) -> str:
    """All values of a run as lines of config."""
    flat = {name: value for name, value in run.items() if name != "hyper"} | dict(run.get("hyper", {}))
    return "\n".join(f"{name} = {value!r}" for name, value in flat.items())


# ---------------------------------------------------------------- curves


def _curves(run: StoredRun) -> Iterator[Curve]:
    """The curves of a run with two epochs or more; none where its history cannot be read, which the page says."""
    try:
        history = read_history(run)
    except InputError:
        return
    for column, words in CURVES.items():
        names = [f"train_{column}", f"val_{column}"]
        if len(history) < 2 or not set(names) <= set(history.columns):
            continue
        values = history[names].to_numpy(dtype=float)
        if not np.isfinite(values).all():
            continue
        train, validation = _points(values)
        ends = f"{words} of {len(history)} epochs: training {values[0, 0]:.3f} to {values[-1, 0]:.3f}, validation "
        yield Curve(words, train, validation, f"{ends}{values[0, 1]:.3f} to {values[-1, 1]:.3f}")


def _points(values: np.ndarray) -> Iterator[str]:
    """Both columns of `values` (epochs × 2) scaled to one picture of WIDTH × HEIGHT."""
    low, high = values.min(), values.max()
    x = np.linspace(2, WIDTH - 2, len(values))
    y = HEIGHT - 2 - (values - low) / max(high - low, 1e-9) * (HEIGHT - 4)
    for column in y.T:
        yield " ".join(f"{one:.0f},{other:.1f}" for one, other in zip(x, column, strict=True))


# ---------------------------------------------------------------- confusion matrix


def _matrix(run: StoredRun, tests: list[PredictionEntry]) -> Matrix | None:
    """The answers of a run on its own test set; None where that is not scored, or its predictions are damaged."""
    own = {entry.test_on: entry for entry in reversed(tests)}
    entry = own.get(run.train_on) or next(iter(own.values()), None)
    if entry is None:
        return None
    try:
        found = read_predictions(entry)
    except (InputError, OSError):
        return None  # told among what is left out
    answers, classes = found.probabilities.argmax(axis=1), range(len(found.classes))
    counts = pd.crosstab(found.labels, answers).reindex(classes, fill_value=0)
    table = counts.reindex(columns=classes, fill_value=0).to_numpy()
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    rows = tuple(
        (name, tuple((int(n), float(share)) for n, share in zip(line, part, strict=True)))
        for name, line, part in zip(found.classes, table, shares, strict=True)
    )
    return Matrix(entry.test_on, rows, _mistakes(table))


def _mistakes(table: np.ndarray) -> str:
    """The most frequent mistakes, in a sentence."""
    wrong = table - np.diag(np.diag(table))
    places = [divmod(int(place), len(table)) for place in np.argsort(-wrong, axis=None, kind="stable")[:WORST]]
    each = [f"{ALL_EMOTIONS[true]} taken for {ALL_EMOTIONS[said]} ({wrong[true, said]} of {table[true].sum()})"
            for true, said in places if wrong[true, said]]  # fmt: skip
    return f"Most frequent mistakes: {', '.join(each)}." if each else "No mistakes."
