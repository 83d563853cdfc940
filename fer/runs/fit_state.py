"""What changes while a network is fitted: its start, the optimizer and schedule, and the checkpoint it resumes from."""

from __future__ import annotations

import io
import itertools
import math
import zipfile
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data_loader import FaceRows, NetworkInput
from fer.networks.freezing import freeze, freeze_batch_norms
from fer.runs.optimization import make_optimizer, make_scheduler
from fer.runs.run import Hyperparameters, Run
from fer.runs.trained_network import head_plan
from fer.settings.settings import ModelRow
from model_utils import build_network, head_parameters, load_state, own_interpolation, save_state
from utils import InputError, derived_seed, fingerprint, log

PROGRESS = (
    "micro_batch", "epoch", "best_score", "best_epoch", "best_loss", "stale", "history", "oracle_score",
    "oracle_epoch", "oracle_history",
)  # fmt: skip


@dataclass
class FitState:
    """All that changes while a network is fitted; everything a checkpoint holds."""

    network: nn.Module
    expected: NetworkInput
    hyper: Hyperparameters
    average: AveragedModel | None
    micro_batch: int
    steps: int  # batches of an epoch
    optimizer: torch.optim.Optimizer = field(init=False)
    scheduler: lr_scheduler.LRScheduler = field(init=False)
    trainable: set[nn.Parameter] = field(init=False)  # what trains where nothing is frozen
    stage: int = 0  # of STAGES; follows from the epoch
    epoch: int = 0
    best_score: float = -math.inf
    best_epoch: int = 0
    best_loss: float = math.inf  # the lowest of what early stopping watches: a loss, or a score times -1
    stale: int = 0  # epochs without a lower one
    history: list[dict[str, float]] = field(default_factory=list)
    oracle_score: float = -math.inf
    oracle_epoch: int = 0
    oracle_history: list[dict[str, float]] = field(default_factory=list)
    identity: str = ""

    @property
    def evaluated(self) -> nn.Module:
        """The network whose scores count: the running average of weights where there is one."""
        return self.network if self.average is None else self.average.module


def start_state(run: Run, steps: int, device: torch.device, row: ModelRow, micro_batch: int) -> FitState:
    """The state before the first epoch, its weights drawn from the run's seed; `steps` is the batches of an epoch."""
    hyper = run.hyper
    torch.manual_seed(derived_seed(run.seed))
    pretrained = hyper.weights is not None
    network, expected = build_network(
        run.model, row, hyper.classes, pretrained, hyper.dropout, hyper.drop_path, head_plan(hyper)
    )
    if hyper.interpolation == "model":
        expected = replace(expected, interpolation=own_interpolation(network))
    network = network.to(device).to(memory_format=torch.channels_last)
    average = None
    if hyper.ema_decay:
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(hyper.ema_decay), use_buffers=True)
    state = FitState(network, expected, hyper, average, micro_batch, steps)
    state.trainable = {p for p in network.parameters() if p.requires_grad}
    enter_stage(state, 0)
    return state


def stage_of(hyper: Hyperparameters, epoch: int) -> int:
    """The number of the stage (from 0) that `epoch` (from 0) belongs to; a run without STAGES is one stage."""
    ends = itertools.accumulate(stage["epochs"] for stage in hyper.stages[:-1])
    return sum(epoch >= end for end in ends)


def enter_stage(state: FitState, number: int) -> None:
    """Freeze what a stage freezes; its optimizer and schedule begin anew, and early stopping counts from here."""
    hyper = state.hyper
    stage = hyper.stages[number] if hyper.stages else {}
    freeze(state.network, stage.get("freeze", hyper.freeze), head_parameters(state.network), state.trainable)
    if hyper.freeze_batch_norm:
        freeze_batch_norms(state.network)
    state.optimizer = make_optimizer(state.network, hyper, stage.get("learning_rate", hyper.learning_rate))
    state.scheduler = make_scheduler(state.optimizer, hyper, stage.get("epochs", hyper.epochs), state.steps)
    state.stage, state.stale, state.best_loss = number, 0, math.inf


def start_or_continue(
    run: Run, rows: FaceRows, steps: int, device: torch.device, row: ModelRow, micro_batch: int, folder: Path
) -> FitState:
    """The state after the last whole epoch that `folder` holds of this training, else the one before the first.

    A checkpoint that is damaged, or of another run or other training rows, is named in the log and removed.
    """
    state = start_state(run, steps, device, row, micro_batch)
    state.identity = fingerprint([run.describe(), rows.label.tolist(), list(rows.sample_ids)], 32)
    try:
        restore_checkpoint(state, folder)
    except InputError as error:
        log.warning("%s The run starts again from its first epoch.", error)
        (folder / "checkpoint.pth").unlink()
        identity, state = state.identity, start_state(run, steps, device, row, micro_batch)
        state.identity = identity
    return state


def save_checkpoint(state: FitState, folder: Path) -> None:
    """Write checkpoint.pth in `folder`, whole or not at all."""
    save_state(folder / "checkpoint.pth", _contents(state))


def _contents(state: FitState) -> dict[str, Any]:
    return {
        "network": state.network.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scheduler": state.scheduler.state_dict(),
        "average": None if state.average is None else state.average.state_dict(),
        "progress": {name: getattr(state, name) for name in PROGRESS},
        "identity": state.identity,
    }


def as_bytes(state: FitState) -> bytes:
    """What a checkpoint of `state` would hold, for another process."""
    stream = io.BytesIO()
    torch.save(_contents(state), stream)
    return stream.getvalue()


def from_bytes(stored: bytes, run: Run, steps: int, device: torch.device, row: ModelRow) -> FitState:
    """The state that another process gave as `as_bytes`, on `device`; the other arguments as in `start_state`."""
    state = start_state(run, steps, device, row, run.hyper.batch_size)
    _fill_state(state, torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True))
    return state


def restore_checkpoint(state: FitState, folder: Path) -> None:
    """Continue from the checkpoint in `folder`, if there is one.

    Raises InputError when it is damaged or of another training; `state` may then be half changed.
    """
    path = folder / "checkpoint.pth"
    if not path.is_file():
        return
    try:
        _refuse_changed_bytes(path)
        stored = load_state(path)
        if stored.get("identity", state.identity) != state.identity:  # versions before this one wrote none
            raise ValueError("it is of another run or other training rows")
        progress = stored["progress"]
        if set(progress) != set(PROGRESS) or not 0 < progress["epoch"] == len(progress["history"]):
            raise ValueError("what it says of its epochs is not whole")
        _fill_state(state, stored)
    except InputError:
        raise
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be used: {reason}.") from error
    log.info("continuing after epoch %d", state.epoch)


def _refuse_changed_bytes(path: Path) -> None:
    """Raise ValueError where a checksum of the file's parts does not match: torch writes them, but checks none."""
    try:
        with zipfile.ZipFile(path) as parts:
            damaged = parts.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    if damaged is not None:
        raise ValueError(f"it is damaged ({damaged} changed since it was written)")


def _fill_state(state: FitState, stored: dict[str, Any]) -> None:
    progress = stored["progress"]
    if (stage := stage_of(state.hyper, progress["epoch"] - 1)) != state.stage:
        enter_stage(state, stage)
    state.network.load_state_dict(stored["network"])
    state.optimizer.load_state_dict(stored["optimizer"])
    state.scheduler.load_state_dict(stored["scheduler"])
    if state.average is not None:
        state.average.load_state_dict(stored["average"])
    for name, value in progress.items():
        setattr(state, name, value)
