"""Figures of trainings: learning curves, and those of all architectures of one training set side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fer.data.folds import OFFICIAL
from fer.figures.jobs import BALANCE_WORDS, FigureJob, joined, notes, run_words
from fer.figures.plots_compare import plot_architectures
from fer.figures.style import plot_learning_curves
from fer.results.study_files import StoredRun, StoredStudy, read_history
from fer.runs.run import ORACLE
from utils import InputError, file_fingerprint, log, read_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# ---------------------------------------------------------------- learning curves


def curve_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per run: loss, accuracy, macro-F1 and learning rate by epoch."""
    for run in study.runs:
        if run.members or run.folds:
            continue
        n = f"n = {run.rows('n_train'):,} training, {run.rows('n_val'):,} validation pictures"
        title = [
            f"Learning curves of {run.run['model']}",
            joined(run_words(run), n, *notes(study, *run.run["train_on"])),
        ]
        yield FigureJob(
            name=f"learning_curves/{run.name.rsplit('__', 1)[0]}",
            draw=draw_learning_curves,
            title=title,
            details={
                "best_epoch": run.facts["best_epoch"],
                "selection": run.run["selection"],
                "remark": _training_remark(run),
            },
            sources=(run,),
            stamp=_history_stamp(run),
            run=run.name,
        )


def _training_remark(run: StoredRun) -> str:
    """What else moves the training curve, since it is measured while learning and validation is not."""
    hyper = run.run["hyper"]
    augmentation = hyper["augmentation"]
    changes = {
        f"classes {BALANCE_WORDS[run.run['balance']]}": run.run["balance"] != "none",
        f"{augmentation and augmentation['kind']} augmentation": augmentation is not None,
        f"label smoothing {hyper['label_smoothing']:g}": hyper["label_smoothing"] > 0,
        f"dropout {hyper['dropout']:g}": hyper["dropout"] > 0,
    }
    named = [words for words, holds in changes.items() if holds]
    means = " Validation is the mean over the datasets." if len(run.run["train_on"]) > 1 else ""
    with_these = f", with {', '.join(named)}" if named else ""
    return f"Training is measured while learning{with_these}.{means}"


def draw_learning_curves(run: StoredRun, **shown: Any) -> Figure:
    """Learning curves of a stored run. Raises InputError when its history is damaged."""
    return plot_learning_curves(read_history(run), **shown)


def live_jobs(study: StoredStudy, plot_format: str) -> Iterator[FigureJob]:
    """Per run of the plan with an epoch behind it, finished or not, what `curve_jobs` has not drawn yet."""
    selection = read_json(study.output / "study.json")["config"]["SELECT_BY"]
    finished = {run.name for run in study.runs}
    for name in study.planned:
        run = StoredRun(name, study.output / "saved_models" / name, {}, {}, {})
        final = study.output / f"learning_curves/{name.rsplit('__', 1)[0]}.{plot_format}"
        if not (run.folder / "history.csv").is_file() or (name in finished and final.is_file()):
            continue
        yield FigureJob(
            name=f"learning_curves/live_{name}",
            draw=draw_curves_so_far,
            title=["Learning curves so far", name],
            details={"selection": selection},
            sources=(run,),
            stamp=_history_stamp(run),
            run=name,
        )


def draw_curves_so_far(run: StoredRun, title: list[str], selection: str) -> Figure:
    """Learning curves of a run that may go on. Raises InputError when its history is damaged."""
    history = read_history(run)
    scores = -history["val_loss"] if selection == "loss" else history.get(f"val_{selection}", history["epoch"])
    best = int(history["epoch"][scores.fillna(-np.inf).to_numpy().argmax()])
    return plot_learning_curves(history, title, best, selection, "The run may go on; the report is made at its end.")


# ---------------------------------------------------------------- architectures side by side


def architecture_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set and variant with two networks or more: validation by epoch, all models in one figure.

    An oracle run has the history of its honest twin, which stands here for both.
    """
    groups: dict[tuple[str, str], list[StoredRun]] = {}
    for run in study.runs:
        if not run.members and not run.folds and run.run["selection"] != ORACLE:
            groups.setdefault((run.train_on, run.run["variant"]), []).append(run)
    for (train_on, variant), runs in groups.items():
        if len(runs) < 2:
            continue
        n = f"n = {runs[0].rows('n_train'):,} training, {runs[0].rows('n_val'):,} validation pictures"
        title = [
            f"Architectures trained on {train_on} ({variant})",
            joined(f"thin: {_one(runs)}, thick: mean over all", n, *notes(study, *runs[0].run["train_on"])),
        ]
        yield FigureJob(
            name=f"learning_curves/{train_on}_{variant}_architectures",
            draw=draw_architectures,
            title=title,
            details={},
            sources=(runs,),
            stamp=[[run.name, _history_stamp(run)] for run in runs],
        )


def _one(runs: list[StoredRun]) -> str:
    """What a thin line is."""
    return "a seed" if all(run.run["split"] == OFFICIAL for run in runs) else "a fold of a seed"


def _history_stamp(run: StoredRun) -> str | None:
    path = run.folder / "history.csv"
    return file_fingerprint(path) if path.is_file() else None


def draw_architectures(runs: list[StoredRun], title: list[str]) -> Figure:
    """Validation curves of stored runs, by model; damaged histories are named in the log and left out.

    Raises InputError when none is left.
    """
    histories: dict[str, list[pd.DataFrame]] = {}
    problems = []
    for run in sorted(runs, key=_by_model):
        try:
            histories.setdefault(run.run["model"], []).append(read_history(run))
        except InputError as error:
            problems.append(str(error))
            log.warning("%s shows no run of %s: %s", title[0], run.name, error)
    histories = {model: found for model, found in histories.items() if found}
    if not histories:
        raise InputError(problems)
    return plot_architectures(histories, title=title)


def _by_model(run: StoredRun) -> tuple[str, int]:
    return run.run["model"], run.run["seed"]
