"""Training: the rate of whole epochs against the same step fed with one ready batch, for each network.

    python benchmarks/training_ceiling.py

Ceiling: one uint8 batch, gathered once, is enlarged, normalised and trained on again and again. Epochs: the training
loop of training.py as `fit` runs it, without validation, with the strong set (albumentations, drawn anew for every
picture), in the main process and with one worker. "times" is epochs over ceiling: 1 would mean that loading is free.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import harness
import numpy as np
from made_pictures import fer2013_like, raf_like

import training
from data_loader import BatchSource, FaceRows, make_loader, to_network_input
from fer.faces.packs import pack_or_load
from fer.runs.fit_state import start_state
from fer.runs.losses import make_loss
from fer.runs.run import Hyperparameters, Run
from fer.settings.settings import ModelRow
from training import Machine
from utils import pick_device


@dataclass(frozen=True)
class Case:
    """A network, its input and batch, the pictures it learns from, and the aim (None: none is set)."""

    model: str
    size: int
    channels: Literal[1, 3]
    batch: int
    batches: int  # an epoch: some seconds of two cores
    aim: float | None

    @property
    def row(self) -> ModelRow:
        return ModelRow(batch_size=self.batch, weights=None, input_size=self.size, channels=self.channels)


CASES = (
    Case("resnet18", 64, 3, 64, 4, 0.97),
    Case("mobilenetv3_small_050", 96, 3, 64, 16, 0.90),
    Case("small_residual", 48, 1, 128, 4, None),
)
NETWORKS = tuple(case.model for case in CASES)
STRONG = {"kind": "strong", "strength": 1.0, "probability": 0.8}


def run_of(case: Case) -> Run:
    """The training this measures, as a study would describe it."""
    hyper = Hyperparameters(
        architecture=case.model, weights=None, options={}, input_size=case.size, channels=case.channels,
        batch_size=case.batch, dropout=0.0, freeze="none", epochs=1000, learning_rate=1e-4, optimizer="adamw",
        weight_decay=0.01, momentum=0.9, schedule="plateau", plateau_patience=3, plateau_factor=0.5, patience=None,
        label_smoothing=0.0, ema_decay=0.0, train_sizes=(), augmentation=STRONG, augment_engine="albumentations",
    )  # fmt: skip
    return Run(("drawn",), "raw", case.model, 1, "official", "none", "natural", "macro_f1", hyper)


def faces_for(case: Case, folder: Path) -> FaceRows:
    """Packed faces of one epoch: gray ones of 48 px for one channel, else colour ones of 100 px."""
    make = fer2013_like if case.channels == 1 else raf_like
    source = 48 if case.channels == 1 else 100
    pictures = make(folder / case.model, case.batch * case.batches)
    side = min(case.size, source)
    pack = pack_or_load(pictures.files, pictures.root, side, pictures.gray, folder / "cache", case.model)
    return FaceRows.from_pack(pack, np.arange(len(pictures)), pictures.labels, list(pictures.files["face"]))


def epochs(state: training.FitState, run: Run, faces: FaceRows, machine: Machine) -> Callable[[], int]:
    """A function that trains one epoch, as `fit` does, and returns the number of pictures."""
    source = training.training_source(run, faces)
    loader = make_loader(source, machine.workers, machine.device.type == "cuda")

    def work() -> int:
        loader.sampler.epoch = state.epoch  # type: ignore[union-attr, attr-defined, unused-ignore]
        training.train_epoch(state, run, loader, source, machine)
        state.epoch += 1
        return len(faces)

    return work


def ceiling(state: training.FitState, run: Run, faces: FaceRows, machine: Machine, steps: int) -> Callable[[], int]:
    """A function that does the same steps on one ready batch."""
    chunks = BatchSource(faces, run.hyper.batch_size)[(0, 0)]
    criterion = make_loss(run, faces, machine.device)
    scaler = training.torch.amp.GradScaler(machine.device.type, enabled=False)

    def work() -> int:
        training.train_mode(state.network)
        done = 0
        for _ in range(steps):
            pixels, truth = to_network_input(chunks, state.expected, machine.device)
            loss, _ = training._step(state, criterion, scaler, pixels, truth)
            done += len(truth)
        loss.item()
        return done

    return work


def measure(case: Case, folder: Path, rounds: int, workers: Sequence[int]) -> list[harness.Row]:
    """Rows of one network: one for each number of workers."""
    run, faces = run_of(case), faces_for(case, folder)
    machine = Machine(pick_device("auto"))
    state = start_state(run, case.batches, machine.device, case.row, case.batch)
    sides = {"ceiling": ceiling(state, run, faces, machine, case.batches)}
    sides |= {str(n): epochs(state, run, faces, replace(machine, workers=n)) for n in workers}
    found = harness.in_turn(sides, rounds)
    rows = []
    for number in workers:
        row: dict[str, Any] = {"network": case.model, "px": case.size, "batch": case.batch, "workers": number}
        row |= harness.compared(found[str(number)], found["ceiling"])
        reached = None if case.aim is None else row["times"] >= case.aim
        rows.append(row | {"aim": case.aim, "reached": reached})
    return rows


def run(options: dict[str, Any]) -> list[harness.Row]:
    """Every row of the table. `options`: networks (names of CASES), rounds, workers (numbers)."""
    cases = [case for case in CASES if case.model in options["networks"]]
    with tempfile.TemporaryDirectory() as folder:
        return [row for case in cases for row in measure(case, Path(folder), options["rounds"], options["workers"])]


def main() -> None:
    """The command."""
    title = "Training: whole epochs (ours) against the same step on a ready batch (theirs), images/s, drawn faces"
    harness.command("training_ceiling", __doc__, title, run, networks=NETWORKS, rounds=5, workers=(0, 1))


if __name__ == "__main__":
    main()
