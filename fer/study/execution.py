"""Doing the plan: every run that is not finished is trained and scored, one after another."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer.data.splits import SPLITS
from fer.networks.names import UnavailableWeightsError
from fer.runs.epoch_words import say_epoch
from fer.runs.run import PlannedRun, Run, locked
from fer.settings.settings import ModelRow
from fer.study.grid import GridPoint
from fer.study.grid_progress import GridProgress
from fer.study.label_noise import doubtful_rows
from fer.study.plan import Study
from fer.study.predictions import missing_predictions, prediction_files, score_run
from fer.study.pretraining import FailedPretrainingError, pretrain_or_load
from fer.study.variants import scored_faces, scored_variant, training_faces
from utils import DiskFullError, InputError, environment, file_fingerprint, log, write_sealed, write_text

if TYPE_CHECKING:
    from data_loader import FaceRows
    from fer.study.predictions import Loaded
    from training import Machine

EpochNote = Callable[[Run, dict[str, Any]], None]


def write_study(study: Study, runs: list[PlannedRun], points: Sequence[GridPoint] = ()) -> None:
    """Name the runs and predictions of the present plan in study.json: tables and figures cover exactly these.

    The runs of other `points` of GRID are named apart: one table compares them, by validation.
    """
    write_sealed(
        study.settings.output_path / "study.json",
        {
            "runs": [planned.name for planned in runs],
            "plan": {planned.name: planned.run.describe() for planned in runs},
            "predictions": {planned.name: _listed_predictions(study, planned) for planned in runs},
            "config": study.settings.describe(),
            "sample_data": [name for name, data in study.datasets.items() if data.row.sample],
            "counts": {
                name: {split: len(data.rows(split)) for split in SPLITS} for name, data in study.datasets.items()
            },
        }
        | ({"grid": _described_grid(study, points)} if points else {}),
    )


def _described_grid(study: Study, points: Sequence[GridPoint]) -> dict[str, Any]:
    """The points of GRID with the names of their runs, and the predictions of every run among them."""
    runs = {planned.name: planned for point in points for planned in point.runs}
    described = [
        {"values": point.values, "runs": [planned.name for planned in point.runs], "is_own": point.is_own}
        for point in points
    ]
    return {
        "points": described,
        "plan": {name: planned.run.describe() for name, planned in runs.items()},
        "predictions": {name: _listed_predictions(study, planned) for name, planned in runs.items()},
    }


def _listed_predictions(study: Study, planned: PlannedRun) -> list[dict[str, str]]:
    files = prediction_files(study, planned)
    return [
        {"file": file.path.name}
        | {name: getattr(file, name) for name in ("key", "test_on", "split", "test_variant", "tta")}
        for file in files
    ]


class StoppedRunError(Exception):
    """Whoever is told of every epoch wants no more of this run."""


def execute(
    study: Study,
    runs: list[PlannedRun],
    train: bool = True,
    after_each: Callable[[], None] | None = None,
    after_epoch: EpochNote | None = None,
) -> dict[str, str]:
    """Train and score every run that is not finished; returns {run name: what went wrong}.

    A run another process works on is left to it and looked at again later. One failed run does not
    stop the others, except those that start from the same pretrained weights, where these cannot be had.
    With `train` False, only runs with finished weights are scored. `after_each` is called after every
    run that was worked on here, `after_epoch` after every epoch; a StoppedRunError of it ends all.
    """
    failures: dict[str, str] = {}
    lost: dict[str, str] = {}  # pretrained weights that could not be had, and what was said about it
    waiting = [planned for planned in runs if train or planned.finished]
    announced = False
    grid = GridProgress(study, runs, after_epoch)
    try:
        while waiting:
            busy = [one for one in waiting if not _attempt(study, one, grid, failures, lost, after_each)]
            if len(busy) == len(waiting):
                if not announced:
                    log.info("%d runs are being trained by another process; waiting for it", len(busy))
                announced = True
                time.sleep(2)
            waiting = busy
    finally:
        grid.close()
    return failures


def _attempt(
    study: Study,
    planned: PlannedRun,
    grid: GridProgress,
    failures: dict[str, str],
    lost: dict[str, str],
    after_each: Callable[[], None] | None,
) -> bool:
    """Finish one run and its predictions; False when another process holds it."""
    study = study.of(planned)
    if planned.finished and not missing_predictions(study, planned):
        grid.skip(planned)
        return True
    if planned.counterpart is not None and not planned.finished and not planned.counterpart.finished:
        if planned.counterpart.name not in failures:
            return False  # another process trains the run whose epochs this one is chosen from
        failures[planned.name] = f"{planned.counterpart.name}, whose epochs it is chosen from, failed"
        return True
    if not planned.finished and (missing := _missing_needs(study, planned)):
        lost_needs = [need.name for need in missing if need.name in failures]
        if lost_needs:
            failures[planned.name] = f"{lost_needs[0]}, which has to be finished first, failed"
        return bool(lost_needs)  # else another process trains what is missing
    if not planned.finished and _start_of(planned.run) in lost:
        failures[planned.name] = lost[_start_of(planned.run)]
        return True
    with locked(planned.folder) as mine:
        if not mine:
            return False
        failed = planned.folder / "failed.txt"
        try:
            if not planned.finished:
                _pretrain(study, planned.run)  # before its time is taken
                grid.start(planned)
                score_run(study, planned, _train(study, planned, grid.runs, grid.note_epoch))
                grid.end()
            else:
                score_run(study, planned)
            failed.unlink(missing_ok=True)
        except (DiskFullError, StoppedRunError):
            raise  # the other runs would find the disk as full; who stops one wants none of them
        except (UnavailableWeightsError, FailedPretrainingError) as error:
            unforeseen = isinstance(error, FailedPretrainingError) and not isinstance(error.__cause__, InputError)
            lost[_start_of(planned.run)] = failures[planned.name] = str(error)
            log.error(
                "%s failed, and so do the other runs that start from these weights: %s",
                planned.name, error, exc_info=unforeseen,
            )  # fmt: skip
            write_text(failed, f"{error}\n")
        except Exception as error:
            to_mend = isinstance(error, InputError)  # says in words what to do: a traceback would only hide it
            failures[planned.name] = str(error) if to_mend else f"{type(error).__name__}: {error}"
            log.error("%s failed; the other runs go on: %s", planned.name, error, exc_info=not to_mend)
            write_text(failed, f"{error}\n" if to_mend else traceback.format_exc())
    if after_each is not None:
        after_each()
    return True


def _missing_needs(study: Study, planned: PlannedRun) -> list[PlannedRun]:
    """What a run needs that is not finished, or not scored."""
    return [need for need in planned.needs if not need.finished or missing_predictions(study, need)]


def _start_of(run: Run) -> str:
    """What a network starts from: runs of equal starts share the cause when it cannot be had."""
    return f"{run.hyper.architecture}.{run.hyper.weights}"


def train_and_score(study: Study, planned: PlannedRun) -> None:
    """Train one run in its folder and score it, whatever is there already."""
    study = study.of(planned)
    score_run(study, planned, _train(study, planned, [], say_epoch))


def _train(study: Study, planned: PlannedRun, runs: Sequence[PlannedRun], note_epoch: EpochNote) -> Loaded:
    """Train one run; returns its network as stored. Its oracle, where one is to do, is taken from the same epochs.

    An oracle asked for when its counterpart is finished repeats that training in a scratch folder inside its own.
    """
    if planned.counterpart is not None:
        scratch = planned.folder / "training"
        loaded = _fit(study, planned.counterpart, scratch, note_epoch, planned)
        shutil.rmtree(scratch)
        return loaded
    oracle = next((other for other in runs if other.counterpart and other.counterpart.name == planned.name), None)
    if oracle is None or oracle.finished:
        return _fit(study, planned, planned.folder, note_epoch)
    with locked(oracle.folder) as free:
        return _fit(study, planned, planned.folder, note_epoch, oracle if free else None)


def _fit(
    study: Study, planned: PlannedRun, folder: Path, note_epoch: EpochNote, oracle: PlannedRun | None = None
) -> Loaded:
    """Train `planned` in `folder`; run.json comes last and means finished, the oracle's before the run's own.

    Returns the network of the run that was finished last, and the input it expects, as weights.pth holds them.
    """
    from training import Oracle, fit, make_machine

    settings, run = study.settings, planned.run
    machine = make_machine(settings)
    samples = study.training(run.train_on).samples
    doubtful = doubtful_rows(study, planned)
    train, validation, counts = training_faces(study.datasets, samples, run, settings, doubtful)
    watched = None if oracle is None else Oracle(_oracle_faces(study, run), oracle.folder)
    row = _starting_row(study, run, machine)
    facts = fit(run, train, validation, folder, machine, row, watched, note_epoch)
    if oracle is not None:
        on_test = {"best_epoch": facts["oracle_epoch"], "best_validation": facts["oracle_validation"]}
        loaded = _finish(study, oracle, facts | on_test, counts, machine)
    if folder == planned.folder:
        loaded = _finish(study, planned, facts, counts, machine)
        (folder / "checkpoint.pth").unlink(missing_ok=True)
    return loaded


def _oracle_faces(study: Study, run: Run) -> dict[str, FaceRows]:
    """The test rows an oracle looks at after every epoch, per dataset trained on."""
    variant, size = scored_variant(run.variant), run.hyper.input_size
    return {name: scored_faces(study.datasets[name], "test", variant, size, study.settings) for name in run.train_on}


def _finish(
    study: Study, planned: PlannedRun, facts: dict[str, Any], counts: dict[str, dict[str, Any]], machine: Machine
) -> Loaded:
    """Measure the network's cost and write run.json; returns the network as it was read back."""
    from fer.runs.trained_network import load_trained
    from model_utils import network_cost

    digest = file_fingerprint(planned.folder / "weights.pth", 64)
    network, expected = load_trained(planned, digest, machine.device)
    write_sealed(
        planned.folder / "run.json",
        {
            "run": planned.run.describe(),
            "inputs": planned.inputs,
            "counts": counts,
            "facts": facts | network_cost(network, expected, machine.device),
            "weights_sha256": digest,
            "config": study.settings.describe(),
            "environment": environment(machine.device) | {"processes": machine.processes.count},
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    return network, expected


def _pretrain(study: Study, run: Run) -> None:
    """Do what a run starts from, where it is not there yet."""
    from training import make_machine

    before = study.pretraining(run.train_on, run.variant, run.model)
    if before is not None and not before.finished:
        pretrain_or_load(before, study.learnt_from(before.name), study.settings, make_machine(study.settings))


def _starting_row(study: Study, run: Run, machine: Machine) -> ModelRow:
    """The row of a run's network with the file it starts from as an absolute path; a pretraining is done now."""
    settings = study.settings
    row, before = settings.models[run.model], study.pretraining(run.train_on, run.variant, run.model)
    if before is not None:
        weights = pretrain_or_load(before, study.learnt_from(before.name), settings, machine)
        return row.model_copy(update={"weights": before.row.weights, "weights_file": str(weights)})
    if row.weights_file is None:
        return row
    return row.model_copy(update={"weights_file": str(settings.resolve(row.weights_file))})
