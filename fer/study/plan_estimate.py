"""What a plan will take on this machine, in seconds from preparing faces to drawing figures.

A finished run of the same network on this machine says best how fast it is; without one, a few batches and pictures
are timed (see study/speed.py). Epochs are counted in full: early stopping may end training sooner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer.faces.prepared import worker_count
from fer.machine.processes import joined
from fer.runs.run import ORACLE, PlannedRun, Run, read_run_json
from fer.settings.pretraining_row import SUPERVISED
from fer.study.disk_need import packed_shape, packs_to_make, unmade_extras, unprepared, wanted_pictures
from fer.study.plan import Study, planned_pretrainings
from fer.study.predictions import missing_predictions, scored_sets
from fer.study.pretraining import PlannedPretraining
from fer.study.speed import NetworkSpeed, SpeedBook, network_speed, picture_speed
from fer.views.policies import TTA_POLICIES
from utils import DAY, canonical_json, duration, environment

if TYPE_CHECKING:
    from training import Machine

PREPARING, PACKING, TRAINING, TESTING, FIGURES = "preparing faces", "packing", "training", "testing", "figures"
PRETRAINING = "pretraining"
# Seconds that the figures of one run on one test set take: 65 s for 36 runs × 3 test sets, two cores (docs/results.md).
FIGURES_OF_A_TEST = 65 / 108
LONG = DAY / 2  # seconds from which a CPU's user is told of the study for CPUs
# What has to be equal for one run to tell how fast another trains: of the machine, and of the settings.
MACHINE = ("cpu", "cores", "threads", "device")
COSTLY = ("architecture", "options", "input_size", "channels", "batch_size", "freeze", "augmentation", "augment_engine",
          "train_sizes", "precision")  # fmt: skip


@dataclass
class Estimate:
    """Seconds of each stage still to do. `untimed`: what no speed is known of; `device`: where networks are trained."""

    device: str = "cpu"
    seconds: dict[str, float] = field(default_factory=dict)
    untimed: set[str] = field(default_factory=set)

    def add(self, stage: str, seconds: float) -> None:
        """Add to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


def estimate_plan(study: Study, runs: list[PlannedRun], book: SpeedBook) -> Estimate:
    """What the runs to do and to score will take. Imports torch only where there are any."""
    found = Estimate()
    open_runs = [planned for planned in runs if not planned.finished or missing_predictions(study, planned)]
    if not open_runs:
        return found
    from training import make_machine

    machine = make_machine(study.settings)
    found.device = machine.device.type
    _add_pictures(found, study, open_runs, book)
    here = environment(machine.device)
    first: dict[Path, float] = {}
    known = _FinishedSpeeds(study.models_folder, here)
    to_train = {planned.name for planned in open_runs if not planned.finished}
    for planned in open_runs:
        speed = known.of(planned.run) or _timed_speed(study, planned.run, machine, book)
        if speed is None:
            found.untimed.add(planned.run.model)
            continue
        if planned.name in to_train:
            if before := next(iter(planned_pretrainings(study, [planned]).values()), None):
                first.setdefault(before.folder, _pretraining_seconds(before, speed))
            found.add(TRAINING, _training_seconds(study, planned, to_train, speed))
        found.add(TESTING, _scored_pictures(study, planned) * speed.test)
        found.add(FIGURES, FIGURES_OF_A_TEST * len(study.datasets))
    if first:
        found.add(PRETRAINING, sum(first.values()))
    return found


def describe_estimate(found: Estimate) -> list[str]:
    """An estimate in sentences; none where nothing is to be done."""
    lines, total = [], sum(found.seconds.values())
    if found.seconds:
        stages = ", ".join(f"{name} {duration(value)}" for name, value in found.seconds.items())
        lines.append(f"estimate: up to {duration(total)} ({stages}); early stopping may end sooner")
    if found.untimed:
        lines.append(f"no time known for {', '.join(sorted(found.untimed))}: --plan times what was never done here")
    if found.device == "cpu" and total > LONG:
        days = f"{total / DAY:.0f} days" if total >= 1.5 * DAY else "1 day"
        lines.append(f"on this CPU about {days}; a study for CPUs is studies/small_cpu.py")
    return lines


# ---------------------------------------------------------------- speeds


def _timed_speed(study: Study, run: Run, machine: Machine, book: SpeedBook) -> NetworkSpeed | None:
    """The speed of a run's network, with pictures as large as the largest of its datasets."""
    settings, size = study.settings, run.hyper.input_size
    shape = max(packed_shape(study.datasets[name], run.variant, size, settings) for name in run.train_on)
    timed = network_speed(book, run, settings.models[run.model], machine, shape)
    return None if timed is None else NetworkSpeed(timed.train * _share_of_full_size(run), timed.test)


@dataclass
class _FinishedSpeeds:
    """What a picture took in finished runs of the machine `here`; those of a network are read once, when asked for."""

    models_folder: Path
    here: dict[str, Any]
    _newest: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def of(self, run: Run) -> NetworkSpeed | None:
        """Of the newest finished run like this one; None without one."""
        if run.model not in self._newest:
            self._newest[run.model] = self._read(run.model)
        stored = self._newest[run.model].get(_cost(vars(run.hyper)))
        return None if stored is None else _speed_of(stored)

    def _read(self, model: str) -> dict[str, dict[str, Any]]:
        newest: dict[str, dict[str, Any]] = {}
        for folder in self.models_folder.glob(f"*__{model}__*"):
            stored = read_run_json(folder)
            if stored is None or any(stored["environment"].get(name) != self.here[name] for name in MACHINE):
                continue
            if stored["environment"].get("processes", 1) != joined().count:
                continue
            like = _cost(stored["run"]["hyper"])
            if like not in newest or stored["finished"] > newest[like]["finished"]:
                newest[like] = stored
        return newest


def _cost(hyper: Mapping[str, Any]) -> str:
    """The same for trainings of one network that cost the same a picture."""
    return canonical_json([hyper.get(name) for name in COSTLY])


def _speed_of(stored: dict[str, Any]) -> NetworkSpeed:
    """From run.json: what an epoch took beyond its training was validation."""
    facts, counts = stored["facts"], stored["counts"].values()
    train = 1 / facts["images_per_second"]
    rows, val_rows = sum(sum(count["balanced"]) for count in counts), sum(count["n_val"] for count in counts)
    beyond = facts["train_seconds"] / facts["epochs"] - rows * train
    return NetworkSpeed(train, max(beyond, 0.0) / val_rows)


def _share_of_full_size(run: Run) -> float:
    """Mean cost of an epoch where early ones train on smaller pictures, over one at full size."""
    share, before = 0.0, 0.0
    for until, size in (*run.hyper.train_sizes, (1.0, run.hyper.input_size)):
        share += (until - before) * (size / run.hyper.input_size) ** 2
        before = until
    return share


# ---------------------------------------------------------------- training and testing


def _training_seconds(study: Study, planned: PlannedRun, to_train: Collection[str], speed: NetworkSpeed) -> float:
    """All epochs of a run with their validation; an oracle's share is looking at the test rows after each."""
    run = planned.run
    study = study.at(run.split)
    watching = 0.0
    if run.selection == ORACLE:
        test_rows = sum(len(study.datasets[name].rows("test")) for name in run.train_on)
        watching = run.hyper.epochs * test_rows * speed.test
        if planned.counterpart is not None and planned.counterpart.name in to_train:
            return watching  # taken from the training of its counterpart
    learnt = study.training(run.train_on)
    rows = sum(trained_rows(counts, run.balance) for counts in learnt.class_counts)
    val_rows = sum(len(table) for table, _ in learnt.validation.values())
    return run.hyper.epochs * (run.hyper.train_share * rows * speed.train + val_rows * speed.test) + watching


def _pretraining_seconds(planned: PlannedPretraining, speed: NetworkSpeed) -> float:
    """At the speed of a run's training; 0 where it is done. Without labels a face is seen twice a step."""
    views = 1 if planned.asked.method == SUPERVISED else 2
    return 0.0 if planned.finished else planned.run.hyper.epochs * planned.count * views * speed.train


def trained_rows(counts: np.ndarray, balance: str) -> int:
    """Rows of one dataset that an epoch sees, after balancing; `counts`: training rows of each class, int64 [C]."""
    present = counts[counts > 0]
    if not len(present) or balance not in ("oversample", "undersample"):
        return int(counts.sum())
    return len(present) * int(present.max() if balance == "oversample" else present.min())


def _scored_pictures(study: Study, planned: PlannedRun) -> int:
    """Pictures times views that are still to be answered by a run."""
    study = study.of(planned)
    if planned.finished:
        wanted = {(file.test_on, file.split, file.test_variant) for file in missing_predictions(study, planned)}
    else:
        wanted = set(scored_sets(study, planned.run))
    views = {view for policy in study.settings.tta for view in TTA_POLICIES[policy]}
    return len(views) * sum(len(study.scored(planned.run, name, split)[0]) for name, split, _ in wanted)


# ---------------------------------------------------------------- pictures


def _add_pictures(found: Estimate, study: Study, runs: Iterable[PlannedRun], book: SpeedBook) -> None:
    """Preparing faces, making extra copies and packing, of what `runs` need and is not there yet."""
    workers = max(worker_count(study.settings.workers), 1)
    for name, wanted in wanted_pictures(study, runs).items():
        variants = {variant for variant, _ in wanted} - {"raw"}
        faces = unprepared(study, name) if variants else 0
        extras = unmade_extras(study, name) if "augmented" in variants else 0
        packed = sum(packs_to_make(study, name, wanted).values())
        if not faces + extras + packed:
            continue
        speed = picture_speed(book, study.datasets[name], study.settings, bool(faces))
        if speed is None:
            found.untimed.add(f"the pictures of {name}")
            continue
        found.add(PREPARING, (faces * speed.prepared + extras * speed.opened) / workers)
        found.add(PACKING, packed * speed.opened / workers)
