"""Figures of trainings: learning curves, and those of all architectures of one training set side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fer.data.folds import OFFICIAL
from fer.figures.engine import FigureJob
from fer.figures.looks import Places, look, network_legend, places
from fer.figures.style import (
    LEGEND_LINE,
    MARK,
    SCORE_NAMES,
    TRAINING,
    VALIDATION,
    WIDTH,
    legend_rows,
    titled_figure,
)
from fer.figures.titles import BALANCE_WORDS, joined, notes, run_words
from fer.results.study_files import StoredRun, StoredStudy, read_history
from fer.runs.run import ORACLE
from fer.settings.augmentation_rows import words_of_augmentation
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
            section="run",
            caption=f"Loss, accuracy and macro-F1 of {run.run['model']} by epoch, on training and validation pictures; "
            f"epoch {run.facts['best_epoch']} is kept. A validation loss that rises while the training loss falls is "
            "overfitting; curves still rising at the end ask for more epochs.",
            alt=f"Three panels with training and validation curves of {run.run['model']} over its epochs.",
            is_lead=True,
        )


def _training_remark(run: StoredRun) -> str:
    """What affects the training curve alone: it is measured while learning, validation is not."""
    hyper = run.run["hyper"]
    augmentation = hyper["augmentation"]
    changes = {
        f"classes {BALANCE_WORDS[run.run['balance']]}": run.run["balance"] != "none",
        f"{words_of_augmentation(augmentation or {})} augmentation": augmentation is not None,
        f"{str(hyper.get('loss')).replace('_', ' ')} loss": hyper.get("loss", "cross_entropy") != "cross_entropy",
        "MixUp": hyper.get("mixup", 0) > 0,
        "CutMix": hyper.get("cutmix", 0) > 0,
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
    """Loss, accuracy and macro-F1 by epoch; the kept epoch is marked in each panel, and falls of the learning rate.

    `history` as in history.csv. A score that is NaN leaves a gap.
    """
    figure, top = titled_figure(title, WIDTH, 3.6)
    panels = figure.subplots(1, 3, sharex=True)
    falls = _rate_falls(history)
    for axes, metric in zip(panels, ("loss", "accuracy", "macro_f1"), strict=True):
        _curve(axes, history, f"train_{metric}", TRAINING, "-", "training")
        _curve(axes, history, f"val_{metric}", VALIDATION, "--", "validation")
        axes.set_title(SCORE_NAMES.get(metric, metric), size=9)
        axes.update_datalim([(1, 0)])
        axes.set_ylim(0, None if metric == "loss" else 1)
        axes.axvline(best_epoch, color=MARK, linewidth=1, linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.plot(falls, [0.0] * len(falls), "^", color=MARK, markersize=5, clip_on=False, zorder=4,
                  transform=axes.get_xaxis_transform(), label="learning rate lowered")  # fmt: skip
        axes.grid()
        axes.set_xlabel("epoch", labelpad=2)
    _epoch_axis(panels[0], len(history))
    kept = "the last one" if selection == "last" else f"best validation {SCORE_NAMES.get(selection, selection)}"
    handles, labels = panels[0].get_legend_handles_labels()
    shown = 4 if len(falls) else 3
    labels = [*labels[:2], f"{labels[2]} ({kept})", labels[3]]
    figure.legend(handles[:shown], labels[:shown], ncols=4, loc="lower left", bbox_to_anchor=(0, 0.075), fontsize=8)
    figure.text(0.011, 0.075, textwrap.fill(f"{_rate_words(history)} {remark}", 155), size=8, va="top")
    figure.subplots_adjust(left=0.045, right=0.99, bottom=0.265, top=top - 0.065, wspace=0.17)
    return figure


def _rate_falls(history: pd.DataFrame) -> list[int]:
    """Epochs that began with half the learning rate of the one before, or less."""
    rates = history["learning_rate"].to_numpy(float)
    epochs = history["epoch"].to_numpy()[1:]
    return [int(epoch) for epoch, fell in zip(epochs, rates[1:] <= 0.5 * rates[:-1], strict=True) if fell]


def _rate_words(history: pd.DataFrame) -> str:
    """The learning rate in a sentence: a panel of its own would mostly show one value."""
    rates = history["learning_rate"]
    low, high = float(rates.min()), float(rates.max())
    return f"Learning rate {high:.2g}." if low == high else f"Learning rate from {high:.2g} to {low:.2g}."


def _curve(axes: Axes, history: pd.DataFrame, column: str, colour: str, line: str, label: str) -> None:
    marker = "o" if len(history) <= 30 else None
    axes.plot(history["epoch"], history[column], line, color=colour, label=label, marker=marker, markersize=3)


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
            section="run",
            caption="Curves of a run under way: what it has learned up to its last epoch.",
            alt=f"Three panels with the training and validation curves so far of {name}.",
            is_key=True,
        )


def draw_curves_so_far(run: StoredRun, title: list[str], selection: str) -> Figure:
    """Learning curves of a run that may not have finished. Raises InputError when its history is damaged."""
    history = read_history(run)
    scores = -history["val_loss"] if selection == "loss" else history.get(f"val_{selection}", history["epoch"])
    best = int(history["epoch"][scores.fillna(-np.inf).to_numpy().argmax()])
    return plot_learning_curves(history, title, best, selection, "The run may go on; the report is made at its end.")


# ---------------------------------------------------------------- architectures side by side


def architecture_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Validation macro-F1 by epoch of all networks, and the time to the best epoch; per training set all curves.

    An oracle run has the history of its counterpart selected on validation, which is shown for both.
    """
    groups: dict[tuple[str, str], list[StoredRun]] = {}
    for run in study.runs:
        if not run.members and not run.folds and run.run["selection"] != ORACLE:
            groups.setdefault((run.train_on, run.run["variant"]), []).append(run)
    if not groups:
        return
    yield _all_curves_job(study, groups)
    for (train_on, variant), runs in groups.items():
        if len(runs) < 2:
            continue
        n = f"n = {runs[0].rows('n_train'):,} training, {runs[0].rows('n_val'):,} validation pictures"
        title = [
            f"Architectures trained on {train_on} ({variant})",
            joined(_line_words(runs), n, *notes(study, *runs[0].run["train_on"])),
        ]
        yield FigureJob(
            name=f"learning_curves/{train_on}_{variant}_architectures",
            draw=draw_architectures,
            title=title,
            details={"places": places(study, (run.run["model"] for run in runs))},
            sources=(runs,),
            stamp=[[run.name, _history_stamp(run)] for run in runs],
            section="training",
            caption=f"Validation accuracy, macro-F1 and loss by epoch of all networks trained on {train_on} "
            f"({variant}). Look at which network is ahead early and whether the order still changes at the end.",
            alt=f"Three panels of validation curves, a line per network, trained on {train_on} ({variant}).",
        )


def _all_curves_job(study: StoredStudy, groups: Mapping[tuple[str, str], list[StoredRun]]) -> FigureJob:
    runs = [run for found in groups.values() for run in found]
    trained = list(dict.fromkeys(train_on for train_on, _ in groups))
    variants = list(dict.fromkeys(variant for _, variant in groups))
    panels = [f"{train_on}\n{variant}" for train_on in trained for variant in variants]
    return FigureJob(
        name="learning_curves/all_architectures",
        draw=draw_all_curves,
        title=[
            "Validation macro-F1 by epoch, a panel per training set and variant",
            joined(f"{_line_words(runs)}; dot: best epoch", *notes(study, *study.datasets)),
        ],
        details={
            "panels": panels, "columns": len(variants) if len(variants) > 1 else min(2, len(trained)),
            "places": places(study, (run.run["model"] for run in runs)),
        },
        sources=(runs,),
        stamp=[[run.name, _history_stamp(run)] for run in runs],
        section="training",
        caption="Validation macro-F1 of every network by epoch, a panel per training set and variant. Look for curves "
        "still rising at their end, which ask for more epochs, and for networks whose best epoch came first.",
        alt="Grid of line charts of validation macro-F1 by epoch, a line per network.",
        is_key=True,
        is_lead=True,
    )  # fmt: skip


def draw_all_curves(runs: list[StoredRun], title: list[str], panels: list[str], columns: int, places: Places) -> Figure:
    """`plot_all_curves` of stored runs. Raises InputError when no history can be read."""
    found: dict[str, dict[str, list[pd.DataFrame]]] = {heading: {} for heading in panels}
    by_panel: dict[str, list[StoredRun]] = {}
    for run in runs:
        by_panel.setdefault(f"{run.train_on}\n{run.run['variant']}", []).append(run)
    for heading, some in by_panel.items():
        found[heading] = _histories(some, title[0])
    if not any(found.values()):
        raise InputError("no training history of this study can be read")
    return plot_all_curves(title, found, columns, places)


def plot_all_curves(
    title: list[str], panels: Mapping[str, Mapping[str, Sequence[pd.DataFrame]]], columns: int, places: Places
) -> Figure:
    """Validation macro-F1 by epoch; `panels`: heading to model to one history.csv per seed."""
    names = sorted({name for found in panels.values() for name in found}, key=lambda name: places[name])
    lines = -(-len(panels) // columns)
    below = 0.5 + LEGEND_LINE * legend_rows(names)
    body = 1.75 * lines + below
    figure, top = titled_figure(title, WIDTH, body)
    height = body / top
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    longest = 1
    for axes, (heading, models) in zip(grid.ravel(), panels.items(), strict=False):
        for model, seeds in models.items():
            _model_curve(axes, model, seeds, "val_macro_f1", places[model])
            longest = max(longest, *(len(table) for table in seeds))
        axes.set_title(heading.replace("\n", ": "), size=9)
        axes.set_ylim(0, 1)
        axes.grid()
    for axes in grid.ravel()[len(panels) :]:
        axes.set_visible(False)
    for axes in grid.ravel()[max(len(panels) - columns, 0) : len(panels)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("epoch", labelpad=2)
    for axes in grid[:, 0]:
        axes.set_ylabel("macro-F1")
    _epoch_axis(grid[0, 0], longest)
    network_legend(figure, names, places)
    figure.subplots_adjust(
        left=0.06, right=0.99, bottom=below / height, top=top - 0.28 / height, hspace=0.28, wspace=0.07
    )
    return figure


def _line_words(runs: list[StoredRun]) -> str:
    """What thin and thick lines stand for."""
    if all(run.run["split"] == OFFICIAL for run in runs):
        one_seed = len({run.run["seed"] for run in runs}) == 1
        return "one seed" if one_seed else "thin: a seed, thick: mean over all"
    return "thin: a fold of a seed, thick: mean over all"


def draw_architectures(runs: list[StoredRun], title: list[str], places: Places) -> Figure:
    """Validation curves of stored runs, by model; damaged histories are named in the log and left out.

    Raises InputError when none is left.
    """
    return plot_architectures(_histories(runs, title[0], needed=True), title, places)


def _histories(runs: list[StoredRun], what: str, needed: bool = False) -> dict[str, list[pd.DataFrame]]:
    """Histories by model; damaged ones are named in the log. Raises InputError when none is left and one `needed`."""
    histories: dict[str, list[pd.DataFrame]] = {}
    problems = []
    for run in sorted(runs, key=_by_model):
        try:
            histories.setdefault(run.run["model"], []).append(read_history(run))
        except InputError as error:
            problems.append(str(error))
            log.warning("%s shows no run of %s: %s", what, run.name, error)
    histories = {model: found for model, found in histories.items() if found}
    if needed and not histories:
        raise InputError(problems)
    return histories


def _by_model(run: StoredRun) -> tuple[str, int]:
    return run.run["model"], run.run["seed"]


def plot_architectures(histories: Mapping[str, Sequence[pd.DataFrame]], title: list[str], places: Places) -> Figure:
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
        for model, seeds in histories.items():
            _model_curve(axes, model, seeds, column, places[model])
        axes.set_title(heading)
        axes.set_xlabel("epoch", labelpad=2)
        axes.grid()
        axes.update_datalim([(1, 0)])
        axes.set_ylim(0, None if column == "val_loss" else 1)
    _epoch_axis(panels[0], max(len(table) for seeds in histories.values() for table in seeds))
    network_legend(figure, list(histories), places)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.045, right=0.99, bottom=below / height, top=top - 0.3 / height, wspace=0.15)
    return figure


def _model_curve(axes: Axes, model: str, seeds: Sequence[pd.DataFrame], column: str, place: int) -> None:
    """A network's seeds thin, their mean thick as far as every seed was trained, a dot at the mean's best."""
    shown = look(place)
    if len(seeds) > 1:
        for table in seeds:
            axes.plot(table["epoch"], table[column], shown.line, color=shown.colour, linewidth=0.6, alpha=0.5)
    shortest = min(len(table) for table in seeds)
    mean = np.mean([table[column].to_numpy(float)[:shortest] for table in seeds], axis=0)
    epochs = seeds[0]["epoch"].to_numpy()[:shortest]
    axes.plot(epochs, mean, shown.line, color=shown.colour, linewidth=1.6, label=model)
    if not np.isnan(mean).all():
        best = int(np.nanargmin(mean) if column.endswith("loss") else np.nanargmax(mean))
        axes.plot(epochs[best], mean[best], "o", color=shown.colour, markersize=3.5)
