"""What a training is given: its rows, its network, and where it trains."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from data_loader import BatchSource, FaceRows, resolve_workers
from fer.machine.memory import hardware_name
from fer.machine.processes import ALONE, Processes, joined
from fer.runs.run import Run
from fer.settings.settings import ModelRow, Settings
from utils import pick_device


@dataclass(frozen=True)
class Machine:
    """Where a run trains: none of it is part of the key."""

    device: torch.device
    workers: int = 0
    fits: Path | None = None  # file that notes how many pictures at a time fit this hardware
    processes: Processes = ALONE  # those that train together


def make_machine(settings: Settings) -> Machine:
    """Device and workers for `settings` on this computer. Raises InputError when the named device is not there."""
    processes = joined()
    device = processes.device(pick_device(settings.device))
    _set_up()
    workers = resolve_workers(settings.workers, device.type, (os.cpu_count() or 1) // processes.neighbours)
    fits = settings.output_path / "cache" / "fits" / f"{hardware_name(device)}.json"
    return Machine(device, workers, fits, processes)


def _set_up() -> None:
    import cv2

    cv2.setNumThreads(0)
    torch.backends.cudnn.benchmark = True


def machine_here(machine: Machine) -> Machine:
    """What the main process told of its machine, as it is in this process: the same on a device of its own."""
    _set_up()
    return replace(machine, device=machine.processes.device(machine.device))


@dataclass(frozen=True)
class Oracle:
    """Where the epoch with the best test accuracy is kept too: test rows per dataset, folder (None: not written)."""

    test: dict[str, FaceRows]
    folder: Path | None


@dataclass(frozen=True)
class Job:
    """What is fitted: the arguments of `fit`. `folder` None: another process writes."""

    run: Run
    train: FaceRows
    validation: dict[str, FaceRows]
    folder: Path | None
    machine: Machine
    row: ModelRow
    oracle: Oracle | None

    @property
    def source(self) -> BatchSource:
        """Its training rows as batches."""
        return training_source(self.run, self.train, self.machine.processes)


def training_source(run: Run, train: FaceRows, processes: Processes = ALONE) -> BatchSource:
    """Batches of training rows; of each, this process's share where its pictures can be made apart from the others."""
    hyper = run.hyper
    in_workers = hyper.augment_engine == "albumentations"
    apart = not (hyper.mixup or hyper.cutmix or (hyper.augmentation and not in_workers))
    return BatchSource(
        train,
        run.hyper.batch_size,
        run.seed,
        shuffle=True,
        mixing=run.mixing,  # type: ignore[arg-type]
        even_classes=run.balance == "weighted_sampler",
        augmentation=hyper.augmentation if in_workers else None,
        share=(processes.number, processes.count) if apart else (0, 1),
    )
