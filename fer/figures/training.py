"""Figures of trainings: learning curves, and those of all architectures of one training set side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer.data.folds import OFFICIAL
from fer.figures.engine import FigureJob
from fer.figures.style import (
    COLOURS,
    LEGEND_LINE,
    LINES,
    MARK,
    SCORE_NAMES,
    TRAINING,
    VALIDATION,
    WIDTH,
    legend_columns,
    legend_rows,
    titled_figure,
)
from fer.figures.titles import BALANCE_WORDS, joined, notes, run_words
from fer.results.study_files import StoredRun, StoredStudy, read_history
from fer.runs.run import ORACLE
from utils import InputError, file_fingerprint, log, read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# ---------------------------------------------------------------- learning curves of a run


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
    """What affects the training curve alone: it is measured while learning, validation is not."""
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


def _history_stamp(run: StoredRun) -> str | None:
    path = run.folder / "history.csv"
    return file_fingerprint(path) if path.is_file() else None


def draw_learning_curves(run: StoredRun, **shown: Any) -> Figure:
    """Learning curves of a stored run. Raises InputError when its history is damaged."""
    return plot_learning_curves(read_history(run), **shown)


def plot_learning_curves(
    history: pd.DataFrame, title: list[str], best_epoch: int, selection: str, remark: str
) -> Figure:
    """Loss, accuracy, macro-F1 and learning rate by epoch; the kept epoch is marked in each panel.

    `history` as in history.csv. A score that is NaN leaves a gap.
    """
    figure, top = titled_figure(title, 9, 5.6)
    panels = figure.subplots(2, 2, sharex=True).ravel()
    for axes, metric in zip(panels, ("loss", "accuracy", "macro_f1"), strict=False):
        _curve(axes, history, f"train_{metric}", TRAINING, "-", "training")
        _curve(axes, history, f"val_{metric}", VALIDATION, "--", "validation")
        axes.set_title(SCORE_NAMES.get(metric, metric))
        axes.update_datalim([(1, 0)])
        axes.set_ylim(0, None if metric == "loss" else 1)
    _rate_panel(panels[3], history)
    for axes in panels:
        axes.axvline(best_epoch, color=MARK, linewidth=1, linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.grid()
    for axes in panels[2:]:
        axes.set_xlabel("epoch", labelpad=2)
    _epoch_axis(panels[0], len(history))
    kept = "the last one" if selection == "last" else f"best validation {SCORE_NAMES.get(selection, selection)}"
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, [*labels[:2], f"{labels[2]} ({kept})"], ncols=3, loc="lower left", bbox_to_anchor=(0, 0.045))
    figure.text(0.011, 0.05, textwrap.fill(remark, 150), size=8, va="top")
    figure.subplots_adjust(left=0.06, right=0.985, bottom=0.17, top=top - 0.045, hspace=0.2, wspace=0.17)
    return figure


def _curve(axes: Axes, history: pd.DataFrame, column: str, colour: str, line: str, label: str) -> None:
    marker = "o" if len(history) <= 30 else None
    axes.plot(history["epoch"], history[column], line, color=colour, label=label, marker=marker, markersize=3)


def _rate_panel(axes: Axes, history: pd.DataFrame) -> None:
    """Learning rate on a logarithmic scale, its ticks at the values it took where they are few."""
    from matplotlib.ticker import NullLocator

    rates = history["learning_rate"]
    marker = "o" if len(history) <= 30 else None
    axes.plot(history["epoch"], rates, color=MARK, drawstyle="steps-mid", marker=marker, markersize=3)
    axes.set_title("learning rate (logarithmic)")
    axes.set_yscale("log")
    taken = np.unique(rates[rates > 0])
    ticks = taken if len(taken) <= 5 else np.geomspace(taken[0], taken[-1], 5)
    axes.set_yticks(ticks, [f"{tick:.2g}" for tick in ticks])
    axes.yaxis.set_minor_locator(NullLocator())


def _epoch_axis(axes: Axes, epochs: int) -> None:
    """Whole epochs only, from the first to the last."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


# ---------------------------------------------------------------- runs under way


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
    """Learning curves of a run that may not have finished. Raises InputError when its history is damaged."""
    history = read_history(run)
    scores = -history["val_loss"] if selection == "loss" else history.get(f"val_{selection}", history["epoch"])
    best = int(history["epoch"][scores.fillna(-np.inf).to_numpy().argmax()])
    return plot_learning_curves(history, title, best, selection, "The run may go on; the report is made at its end.")


# ---------------------------------------------------------------- architectures side by side


def architecture_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per training set and variant with two networks or more: validation by epoch, all models in one figure.

    An oracle run has the history of its counterpart selected on validation, which is shown for both.
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
            joined(f"thin: {_thin_line(runs)}, thick: mean over all", n, *notes(study, *runs[0].run["train_on"])),
        ]
        yield FigureJob(
            name=f"learning_curves/{train_on}_{variant}_architectures",
            draw=draw_architectures,
            title=title,
            details={},
            sources=(runs,),
            stamp=[[run.name, _history_stamp(run)] for run in runs],
        )


def _thin_line(runs: list[StoredRun]) -> str:
    """What a thin line stands for."""
    return "a seed" if all(run.run["split"] == OFFICIAL for run in runs) else "a fold of a seed"


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


def plot_architectures(histories: Mapping[str, Sequence[pd.DataFrame]], title: list[str]) -> Figure:
    """Validation accuracy, macro-F1 and loss by epoch, a colour a model: its seeds thin, their mean thick.

    `histories`: by model, one history.csv per seed. The mean goes as far as every seed was trained.
    """
    below = 0.5 + LEGEND_LINE * legend_rows(list(histories))
    figure, top = titled_figure(title, WIDTH, 3.2 + below)
    panels = figure.subplots(1, 3, sharex=True)
    heads = {
        "val_accuracy": "validation accuracy",
        "val_macro_f1": "validation macro-F1",
        "val_loss": "validation loss",
    }
    for axes, (column, heading) in zip(panels, heads.items(), strict=True):
        for place, (model, seeds) in enumerate(histories.items()):
            _model_curve(axes, model, seeds, column, place)
        axes.set_title(heading)
        axes.set_xlabel("epoch", labelpad=2)
        axes.grid()
        axes.update_datalim([(1, 0)])
        axes.set_ylim(0, None if column == "val_loss" else 1)
    _epoch_axis(panels[0], max(len(table) for seeds in histories.values() for table in seeds))
    handles, labels = panels[0].get_legend_handles_labels()
    columns = legend_columns(list(histories))
    figure.legend(handles, labels, ncols=columns, loc="lower left", bbox_to_anchor=(0.04, 0), fontsize=8)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.045, right=0.99, bottom=below / height, top=top - 0.3 / height, wspace=0.15)
    return figure


def _model_curve(axes: Axes, model: str, seeds: Sequence[pd.DataFrame], column: str, place: int) -> None:
    colour, line = COLOURS[place % len(COLOURS)], LINES[place % len(LINES)]
    if len(seeds) > 1:
        for table in seeds:
            axes.plot(table["epoch"], table[column], line, color=colour, linewidth=0.7, alpha=0.55)
    shortest = min(len(table) for table in seeds)
    mean = np.mean([table[column].to_numpy(float)[:shortest] for table in seeds], axis=0)
    marker = "o" if shortest <= 30 else None
    epochs = seeds[0]["epoch"][:shortest]
    axes.plot(epochs, mean, line, color=colour, linewidth=1.8, label=model, marker=marker, markersize=3)
