"""Figures of trainings: learning curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fer.figure_jobs import BALANCE_WORDS, FigureJob, joined, notes, run_words
from fer.plots import plot_learning_curves
from fer.study_files import StoredRun, StoredStudy, read_history
from utils import file_fingerprint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# ---------------------------------------------------------------- learning curves


def curve_jobs(study: StoredStudy) -> Iterator[FigureJob]:
    """Per run: loss, accuracy, macro-F1 and learning rate by epoch."""
    for run in study.runs:
        if run.members:
            continue
        path = run.folder / "history.csv"
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
            stamp=file_fingerprint(path) if path.is_file() else None,
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
