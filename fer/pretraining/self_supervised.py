"""Train a network without labels: epochs over two views of every face, checkpoint and exact resume.

A training that was interrupted continues after its last whole epoch and ends with the same weights, bit for bit.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn.functional import normalize

from data_loader import BatchSource, FaceRows, NetworkInput, enlarged, make_loader, normalised
from fer.machine.memory import is_out_of_memory
from fer.machine.precision import autocast_dtype
from fer.networks.heads import classifier_of, put_in_place
from fer.pretraining.methods import METHODS, Method
from fer.pretraining.views import random_views
from fer.runs.run import Hyperparameters, Run
from fer.settings.settings import ModelRow
from model_utils import build_network, load_state, own_interpolation, save_state
from training import Machine, NonFiniteLossError
from utils import InputError, derived_seed, duration, fingerprint, log, progress, write_text

WARMUP = 0.1  # share of the steps in which the rate rises
CHECKPOINT = "checkpoint.pth"


@dataclass(frozen=True)
class Task:
    """What is learnt: `run` tells network, rate and seed; `crop` as in PRETRAININGS; `name` is its row there."""

    name: str
    method: str
    crop: float
    run: Run
    row: ModelRow


@dataclass
class State:
    """All that changes meanwhile; everything a checkpoint holds. `head`: the network's own last layer, put aside."""

    module: Method
    expected: NetworkInput
    optimizer: torch.optim.Optimizer
    head: tuple[str, nn.Module]
    identity: str
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def pretrain(task: Task, faces: FaceRows, folder: Path, machine: Machine) -> dict[str, Any]:
    """Leave weights.pth and history.csv in `folder`; continues from checkpoint.pth when that is there.

    weights.pth holds the network as `build_network` makes it, its last layer as drawn: what starts from it gets a new
    one. Returns epochs, seconds, images_per_second and the last loss.
    Raises NonFiniteLossError, InputError where memory runs out: without labels a batch cannot be divided.
    """
    source = BatchSource(faces, task.run.hyper.batch_size, task.run.seed, shuffle=True)
    state = _start_or_continue(task, faces, machine, folder)
    loader = make_loader(source, machine.workers, machine.device.type == "cuda")
    while state.epoch < task.run.hyper.epochs:
        try:
            row = _epoch(task, state, loader, machine)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(
                f'PRETRAININGS "{task.name}": {task.run.hyper.batch_size} pictures at a time do not fit into memory. '
                'Lower its "batch_size".'
            ) from error
        state.history.append(row)
        state.epoch += 1
        _say(task, state)
        write_text(folder / "history.csv", pd.DataFrame(state.history).to_csv(index=False))
        _save_checkpoint(state, folder)
    _save_network(task, state, folder)
    return _facts(state)


def rate_at(done: float) -> float:
    """What the learning rate is multiplied by: a linear rise, then half a cosine down to zero."""
    if done < WARMUP:
        return done / WARMUP
    return (1 + math.cos(math.pi * (done - WARMUP) / (1 - WARMUP))) / 2


# ---------------------------------------------------------------- an epoch


def _epoch(task: Task, state: State, loader: Any, machine: Machine) -> dict[str, float]:
    """One pass over the faces; returns the row of history.csv.

    `feature_spread`: standard deviation of features of length 1, times the root of their number: near 1 where they
    use all directions, near 0 where all faces have become one (SimSiam's figure 2).
    """
    hyper, seed, started = task.run.hyper, task.run.seed, time.perf_counter()
    loader.sampler.epoch = state.epoch
    torch.manual_seed(derived_seed(seed, state.epoch, 1))
    scaler = torch.amp.GradScaler(machine.device.type, enabled=hyper.precision == "fp16")
    state.module.train()
    losses, spreads, pictures = [], [], 0
    for number, chunks in enumerate(progress(loader, f"{task.name}, epoch {state.epoch + 1}", len(loader))):
        done = (state.epoch + number / len(loader)) / hyper.epochs
        pixels = enlarged(chunks, state.expected, machine.device)
        views = [random_views(pixels, (seed, state.epoch, number, side), task.crop) for side in (0, 1)]
        loss, features = _step(state, [normalised(view, state.expected) for view in views], hyper, done, scaler)
        losses.append(loss)
        spreads.append(normalize(features.float(), dim=1).std(0).mean() * features.shape[1] ** 0.5)
        pictures += len(pixels)
    mean = float(torch.stack(losses).mean())
    if not math.isfinite(mean):
        raise NonFiniteLossError(
            f'PRETRAININGS "{task.name}": the loss became {mean} in epoch {state.epoch + 1}. Lower its '
            '"learning_rate", or set AMP = "off".'
        )
    seconds = time.perf_counter() - started
    return {
        "epoch": state.epoch + 1, "loss": mean, "feature_spread": float(torch.stack(spreads).mean()),
        "learning_rate": hyper.learning_rate * rate_at(done), "seconds": seconds,
        "images_per_second": pictures / seconds,
    }  # fmt: skip


def _step(
    state: State, views: list[torch.Tensor], hyper: Hyperparameters, done: float, scaler: torch.amp.GradScaler
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of the optimizer; returns the loss [] and the features of the first views, detached."""
    for group in state.optimizer.param_groups:
        group["lr"] = hyper.learning_rate * rate_at(done)
    autocast = autocast_dtype(hyper.precision)
    one, two = (view.contiguous(memory_format=torch.channels_last) for view in views)
    state.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(one.device.type, dtype=autocast, enabled=autocast is not None):
        loss, features = state.module.loss(one, two, done)
    scaler.scale(loss).backward()
    scaler.step(state.optimizer)
    scaler.update()
    state.module.after_step(done)
    return loss.detach(), features.detach()


def _say(task: Task, state: State) -> None:
    epochs, row = task.run.hyper.epochs, state.history[-1]
    left = row["seconds"] * (epochs - state.epoch)
    log.info(
        "pretraining %s, epoch %d of %d, about %s left: loss %.4f, spread of features %.2f",
        task.name, state.epoch, epochs, duration(left), row["loss"], row["feature_spread"],
    )  # fmt: skip


# ---------------------------------------------------------------- start, checkpoint, end


def _start(task: Task, machine: Machine, identity: str) -> State:
    """The state before the first epoch, its weights drawn from the seed."""
    hyper = task.run.hyper
    torch.manual_seed(derived_seed(task.run.seed))
    network, expected = build_network(task.run.model, task.row, hyper.classes, hyper.weights is not None)
    if hyper.interpolation == "model":
        expected = replace(expected, interpolation=own_interpolation(network))
    name, head = classifier_of(network)
    put_in_place(network, name, nn.Identity())
    module = METHODS[task.method](network, head.in_features)
    module = module.to(machine.device).to(memory_format=torch.channels_last)
    moved = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(moved, hyper.learning_rate, momentum=0.9, weight_decay=hyper.weight_decay)
    return State(module, expected, optimizer, (name, head), identity)


def _start_or_continue(task: Task, faces: FaceRows, machine: Machine, folder: Path) -> State:
    """The state after the last whole epoch that `folder` holds of this task on these faces, else the first."""
    identity = fingerprint([task.method, task.crop, task.run.describe(), list(faces.sample_ids)], 32)
    state, path = _start(task, machine, identity), folder / CHECKPOINT
    if not path.is_file():
        return state
    try:
        stored = load_state(path)
        if stored["identity"] != identity:
            raise ValueError("it is of another pretraining or other rows")
        state.module.load_state_dict(stored["module"])
        state.optimizer.load_state_dict(stored["optimizer"])
        state.epoch, state.history = stored["epoch"], stored["history"]
    except (InputError, KeyError, ValueError, TypeError, RuntimeError) as error:
        log.warning("%s cannot be used: %s. The pretraining starts again from its first epoch.", path, error)
        path.unlink()
        return _start(task, machine, identity)
    log.info("pretraining %s: continuing after epoch %d", task.name, state.epoch)
    return state


def _save_checkpoint(state: State, folder: Path) -> None:
    kept = {"module": state.module.state_dict(), "optimizer": state.optimizer.state_dict()}
    said = {"epoch": state.epoch, "history": state.history, "identity": state.identity}
    save_state(folder / CHECKPOINT, kept | said)


def _save_network(task: Task, state: State, folder: Path) -> None:
    name, head = state.head
    whole = dict(state.module.backbone.state_dict())
    whole |= {f"{name}.{part}": value for part, value in head.state_dict().items()}
    hyper = task.run.hyper
    save_state(
        folder / "weights.pth",
        {
            "state_dict": {part: value.detach().cpu().contiguous() for part, value in whole.items()},
            "network": {"architecture": hyper.architecture, "options": hyper.options},
            "input": asdict(state.expected),
        },
    )


def _facts(state: State) -> dict[str, Any]:
    table, last = pd.DataFrame(state.history), state.history[-1]
    return {
        "epochs": state.epoch,
        "train_seconds": round(float(table["seconds"].sum()), 2),
        "images_per_second": round(float(table["images_per_second"].median()), 1),
        "loss": last["loss"],
        "feature_spread": last["feature_spread"],
    }
