"""Working on a search: trial after trial, its runs trained and scored on validation rows, until none is left.

A run that ends early, or fails, keeps its history.csv alone. No trial is scored on a test set.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from evaluation import load_predictions
from fer.columns.files import VALIDATION_SCORES
from fer.metrics.metrics import METRICS
from fer.runs.run import PlannedRun, Run, locked
from fer.search.storage import once, open_trials
from fer.search.trials import Taken, TrialBook, pruner
from fer.settings.grid import Point, words_of
from fer.settings.search import first_point, values_of
from fer.settings.settings import Settings
from fer.study.execution import StoppedRunError, execute
from fer.study.plan import Study, needed_runs, planned_runs
from fer.study.predictions import prediction_files
from fer.study.preflight import refuse_impossible
from utils import InputError, fingerprint, log, read_csv

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

STRIDE = 1_000_000  # epochs that a step of Optuna leaves to each run of a trial: more than any has
DIVERGED = "NonFiniteLossError"  # a failure that says something about the values, not about the machine
LOOK_AGAIN = 2.0  # seconds
VALIDATION_ONLY: dict[str, Any] = {
    "evaluate_test": False, "oracle": False, "tta": ("none",), "test_variants": ("same",),
}  # fmt: skip


def at_point(study: Study, point: Point) -> Study:
    """The study with the values of a point, scored on validation rows alone, as they are."""
    settings = study.settings.at(point)
    return study.with_settings(settings.model_copy(update=VALIDATION_ONLY))


def search_key(study: Study) -> str:
    """Fingerprint of all that makes two searches one: rows, every value not searched for, SEARCH, PRIMARY_METRIC."""
    there = at_point(study, first_point(study.settings.search))
    names = sorted(planned.name for planned in planned_runs(there))
    described = study.settings.describe()
    return fingerprint([names, described["SEARCH"], described["PRIMARY_METRIC"]], 16)


def idle_axes(study: Study) -> str:
    """In words: the axes of SEARCH none of whose values changes a run beside the first of the others; "" for none."""
    search, first = study.settings.search, first_point(study.settings.search)
    idle = [name for name, axis in search.items() if len({_names(study, first | {name: value})
                                                          for value in values_of(axis)}) == 1]  # fmt: skip
    if not idle:
        return ""
    return (
        f"SEARCH: {', '.join(idle)} changes no run of the first point: a recipe or the rows of MODEL_CONFIG name a "
        "value of their own, or nothing reads it beside the other settings."
    )


def _names(study: Study, point: Point) -> tuple[str, ...]:
    return tuple(planned.name for planned in planned_runs(at_point(study, point)))


def open_book(study: Study, storage: RDBStorage) -> TrialBook:
    """The trials of the study's search. Raises InputError as `open_trials` does."""
    trials = open_trials(study.settings, storage, search_key(study))
    return TrialBook(trials, study.settings, lambda point: planned_runs(at_point(study, point)))


def search(study: Study, book: TrialBook) -> None:
    """Work on the search until no trial is left to give and none is worked on elsewhere."""
    wanted, announced = study.settings.search_trials, False
    while True:
        taken = book.next()
        if taken is not None:
            log.info("trial %d (%d wanted): %s", taken.trial.number, wanted, words_of(taken.point))
            _work_on(study, book, taken)
        elif book.running():
            if not announced:
                log.info("%d trials are worked on by other processes; waiting for them", book.running())
            announced = True
            time.sleep(LOOK_AGAIN)
        else:
            return


def _work_on(study: Study, book: TrialBook, taken: Taken) -> None:
    there, number = at_point(study, taken.point), taken.trial.number
    book.trials.pruner = pruner(min(planned.run.hyper.epochs for planned in taken.runs))
    watch = Watch(taken, there.settings)
    try:
        refuse_impossible(there.settings, taken.runs)
        failures = execute(there, [*needed_runs(there, taken.runs), *taken.runs], after_epoch=watch)
    except InputError as error:
        failures = {"": " ".join(error.problems)}
    except StoppedRunError as stopped:
        log.info("trial %d is ended early: %s", number, stopped)
        keep_history_alone(taken.runs)
        book.tell(taken, "PRUNED")
        return
    if failures:
        keep_history_alone(taken.runs)
        diverged = all(words.startswith(DIVERGED) for words in failures.values())
        book.tell(taken, "PRUNED" if diverged else "FAIL", problem="; ".join(failures.values()))
        return
    score = trial_score(there, taken.runs, study.settings.primary_metric)
    log.info("trial %d: validation %s %.4f", number, METRICS[study.settings.primary_metric].words, score)
    book.tell(taken, "COMPLETE", score)


def keep_history_alone(runs: list[PlannedRun]) -> None:
    """Remove weights and checkpoints of the runs that are not finished: they would only fill the disk."""
    for planned in runs:
        with locked(planned.folder) as mine:
            if mine and not planned.finished:
                for name in ("weights.pth", "checkpoint.pth"):
                    (planned.folder / name).unlink(missing_ok=True)


def trial_score(study: Study, runs: list[PlannedRun], metric: str) -> float:
    """Mean over runs of the mean over its datasets of the score on validation rows; not a number counts as worst."""
    return float(np.mean([np.mean([_score(path, metric) for path in validation_files(study, run)]) for run in runs]))


def validation_files(study: Study, planned: PlannedRun) -> list[Path]:
    """The validation predictions of a finished run, one file per dataset trained on."""
    return [file.path for file in prediction_files(study, planned) if file.split == "val"]


def _score(path: Path, metric: str) -> float:
    found = load_predictions(path)
    score = METRICS[metric](found.labels, found.probabilities)
    return score if np.isfinite(score) else -1.0


# ---------------------------------------------------------------- after every epoch


@dataclass
class Watch:
    """Told every epoch of a trial's runs: notes the score so far, and ends the run where the pruner says so."""

    taken: Taken
    settings: Settings
    noted: set[int] = field(default_factory=set)

    def __call__(self, run: Run, _row: dict[str, Any]) -> None:
        """Raises StoppedRunError where the trial lags behind the others."""
        place = next((number for number, one in enumerate(self.taken.runs) if one.run == run), None)
        if place is None:  # a run that is needed before those of the trial
            return
        scores = self._scores(place)
        fresh = {step: value for step, value in scores.items() if step not in self.noted}
        if once(partial(self._note, fresh), self.settings, otherwise=False):
            step = max(scores)
            raise StoppedRunError(
                f"{scores[step]:.4f} after epoch {step % STRIDE} is below the median of the trials before it"
            )

    def _note(self, fresh: dict[int, float]) -> bool:
        for step, value in sorted(fresh.items()):
            self.taken.trial.report(value, step)
            self.noted.add(step)
        return bool(self.taken.trial.should_prune())

    def _scores(self, place: int) -> dict[int, float]:
        """By step of this run, from its history: the mean of the runs before it and of its own kept epoch so far."""
        before = [_kept_scores(one, self.settings.primary_metric)[-1] for one in self.taken.runs[:place]]
        own = _kept_scores(self.taken.runs[place], self.settings.primary_metric)
        return {place * STRIDE + epoch: float(np.mean([*before, value])) for epoch, value in enumerate(own, 1)}


def _kept_scores(planned: PlannedRun, metric: str) -> list[float]:
    """The score of the epoch that would be kept if the run ended after its first, its second, … epoch."""
    from training import selection_score

    history: pd.DataFrame = read_csv(planned.folder / "history.csv")
    shown = f"val_{metric if metric in VALIDATION_SCORES else 'macro_f1'}"
    found: list[float] = []
    best = -np.inf
    for row in history.to_dict("records"):
        score = selection_score({str(name): value for name, value in row.items()}, planned.run.selection)
        if score > best or planned.run.selection == "last" or not found:
            best, value = score, float(row[shown])
            found.append(value if np.isfinite(value) else -1.0)
        else:
            found.append(found[-1])
    return found
