"""Fit one network: epochs, schedule, early stopping, best weights, checkpoint and exact resume."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from data_loader import BatchSource, FaceRows, NetworkInput, make_loader, resolve_workers, to_network_input
from evaluation import METRICS, predict
from fer.columns.files import TRAIN_SCORES
from fer.faces.batch_augmentation import augment_batch
from fer.machine.memory import (
    PeakMemory,
    fitting_size,
    hardware_name,
    is_out_of_memory,
    lost_worker,
    note_fitting_size,
)
from fer.machine.precision import autocast_dtype
from fer.runs.epoch_words import say_epoch
from fer.runs.facts import training_facts
from fer.runs.fit_state import FitState, enter_stage, save_checkpoint, stage_of, start_or_continue, start_state
from fer.runs.kept_epoch import mean_scores, validation_scores
from fer.runs.losses import Loss, as_labels, make_loss, weighted
from fer.runs.mixup import mixed
from fer.runs.optimization import STEPPED_BY_BATCH
from fer.runs.run import Run
from fer.runs.trained_network import not_finite, save_trained
from fer.settings.settings import ModelRow, Settings
from fer.settings.training_values import CLASSIC_HEADS
from model_utils import only_head_trains, train_mode, training_logits
from utils import canonical_json, derived_seed, log, pick_device, progress, write_text

SIDE_WEIGHT = 0.3  # of the losses of GoogLeNet's and Inception's side heads (Szegedy et al. 2015)
LESS = 'Lower LEARNING_RATE, or set AMP = "off".'


class NonFiniteLossError(Exception):
    """Loss or weights became NaN or infinite; says in which epoch, and what to try."""


@dataclass(frozen=True)
class Machine:
    """Where a run trains: none of it is part of the key."""

    device: torch.device
    workers: int = 0
    fits: Path | None = None  # file that notes how many pictures at a time fit this hardware


def make_machine(settings: Settings) -> Machine:
    """Device and workers for `settings` on this computer. Raises InputError when the named device is not there."""
    import cv2

    cv2.setNumThreads(0)
    device = pick_device(settings.device)
    torch.backends.cudnn.benchmark = True
    workers = resolve_workers(settings.workers, device.type, os.cpu_count() or 1)
    return Machine(device, workers, settings.output_path / "cache" / "fits" / f"{hardware_name(device)}.json")


@dataclass(frozen=True)
class Oracle:
    """Where the epoch with the best test accuracy is kept too: test rows per dataset, folder."""

    test: dict[str, FaceRows]
    folder: Path


def fit(
    run: Run,
    train: FaceRows,
    validation: dict[str, FaceRows],
    folder: Path,
    machine: Machine,
    row: ModelRow,
    oracle: Oracle | None = None,
    note_epoch: Callable[[Run, dict[str, Any]], None] = say_epoch,
) -> dict[str, Any]:
    """Train `run` and leave weights.pth (the kept epoch) and history.csv in `folder`.

    `validation` holds one table per dataset trained on. Continues from checkpoint.pth when that is
    there. With `oracle`, the epoch with the best test accuracy (mean over its datasets) is left in that
    folder as well; the training does not depend on it. Where memory runs out, it goes on with smaller micro-batches;
    where a worker is killed, with fewer of them. `note_epoch` is told each row of the history.
    Returns facts for run.json. Raises NonFiniteLossError, torch.OutOfMemoryError or what else says so (one picture does
    not fit), InputError (weights).
    """
    if run.hyper.head in CLASSIC_HEADS:
        from fer.runs.classic_head import fit_classic

        facts = fit_classic(run, train, validation, folder, machine.device, row)
        note_epoch(run, facts["best_validation"])
        return facts
    source = _training_source(run, train)
    size = _remembered_size(run, machine)
    state = start_or_continue(run, train, len(source), machine.device, row, size, folder)
    if oracle is not None and len(state.oracle_history) != state.epoch:
        log.info("starting again: the oracle has to see every epoch")
        state = replace(start_state(run, len(source), machine.device, row, size), identity=state.identity)
    loader = make_loader(source, machine.workers, machine.device.type == "cuda")
    with PeakMemory(machine.device) as memory:
        while not _is_over(state, run):
            epoch = partial(_whole_epoch, state, run, loader, source, validation, folder, machine, oracle, memory)
            micro_batch, workers = state.micro_batch, loader.num_workers
            trouble = _trouble_of(epoch, micro_batch > 1, workers)
            if not trouble:
                note_epoch(run, state.history[-1])
                continue
            del state, loader, epoch  # what they hold is in the way of what comes next
            if trouble == LOST_WORKER:
                workers //= 2
            else:
                micro_batch = _smaller(micro_batch, run)
            state = _started_again(run, source, machine, row, folder, micro_batch)
            loader = make_loader(source, workers, machine.device.type == "cuda")
    return training_facts(state.history, state.best_epoch, state.micro_batch, state.oracle_epoch)


def _training_source(run: Run, train: FaceRows) -> BatchSource:
    in_workers = run.hyper.augment_engine == "albumentations"
    return BatchSource(
        train,
        run.hyper.batch_size,
        run.seed,
        shuffle=True,
        mixing=run.mixing,  # type: ignore[arg-type]
        even_classes=run.balance == "weighted_sampler",
        augmentation=run.hyper.augmentation if in_workers else None,
    )


def _is_over(state: FitState, run: Run) -> bool:
    """After the last epoch, or out of patience in the last stage: an earlier one is always trained to its end."""
    out_of_patience = run.hyper.patience is not None and state.stale >= run.hyper.patience
    out_of_patience &= state.stage == max(len(run.hyper.stages) - 1, 0)
    return state.epoch >= run.hyper.epochs or out_of_patience


# ---------------------------------------------------------------- out of memory

RAN_OUT, LOST_WORKER = "memory ran out", "a worker was killed"


def _trouble_of(epoch: Callable[[], None], divisible: bool, workers: int) -> str:
    """Do an epoch; "" when it is done, else what can be mended by starting it again.

    Mending begins after this function was left: while the error is handled, its traceback holds the tensors of the
    failed step (PyTorch's FAQ), and the smaller step would find no room either.
    """
    try:
        epoch()
    except (MemoryError, RuntimeError) as error:
        if workers and (who := lost_worker(error)):
            log.warning(
                "%s, one of %d that prepare pictures: most likely memory ran out; going on with %d",
                who, workers, workers // 2,
            )  # fmt: skip
            return LOST_WORKER
        if divisible and is_out_of_memory(error):
            return RAN_OUT
        raise
    return ""


def _whole_epoch(
    state: FitState,
    run: Run,
    loader: torch.utils.data.DataLoader,
    source: BatchSource,
    validation: dict[str, FaceRows],
    folder: Path,
    machine: Machine,
    oracle: Oracle | None,
    memory: PeakMemory,
) -> None:
    """One epoch with all that is kept of it; the checkpoint comes last."""
    _one_epoch(state, run, loader, source, validation, folder, machine, memory)
    if oracle is not None:
        _note_oracle(state, run, oracle, machine)
    save_checkpoint(state, folder)
    _remember_size(state, run, machine)


def _network_key(run: Run, machine: Machine) -> str:
    """What the memory of a training step depends on, the number of pictures aside."""
    hyper = run.hyper
    shape = [hyper.architecture, hyper.options, hyper.input_size, hyper.channels, hyper.freeze, hyper.optimizer]
    shape += [hyper.stages, hyper.head, hyper.head_widths]
    return canonical_json([*shape, hyper.ema_decay > 0, str(machine.device), hyper.precision])


def _remembered_size(run: Run, machine: Machine) -> int:
    size = fitting_size(machine.fits, _network_key(run, machine)) or run.hyper.batch_size
    if size < run.hyper.batch_size:
        log.info("%s starts with %d pictures at a time, as %s remembers", run.model, size, machine.fits)
    return min(run.hyper.batch_size, size)


def _remember_size(state: FitState, run: Run, machine: Machine) -> None:
    network = _network_key(run, machine)
    if state.micro_batch < min(run.hyper.batch_size, fitting_size(machine.fits, network) or run.hyper.batch_size):
        log.info("%s works with %d pictures at a time; its next runs start with that", run.model, state.micro_batch)
        note_fitting_size(machine.fits, network, state.micro_batch)


def _smaller(micro_batch: int, run: Run) -> int:
    """Half of it, said."""
    log.warning(
        "memory ran out with %d pictures at a time; going on with %d (batches stay %d, BatchNorm sees %d)",
        micro_batch,
        micro_batch // 2,
        run.hyper.batch_size,
        micro_batch // 2,
    )
    return micro_batch // 2


def _started_again(
    run: Run, source: BatchSource, machine: Machine, row: ModelRow, folder: Path, micro_batch: int
) -> FitState:
    """The state before the epoch that failed, with this micro-batch."""
    gc.collect()
    if machine.device.type == "cuda":
        torch.cuda.empty_cache()
    fresh = start_or_continue(run, source.faces, len(source), machine.device, row, micro_batch, folder)
    fresh.micro_batch = micro_batch
    return fresh


# ---------------------------------------------------------------- one epoch


def _one_epoch(
    state: FitState,
    run: Run,
    loader: torch.utils.data.DataLoader,
    source: BatchSource,
    validation: dict[str, FaceRows],
    folder: Path,
    machine: Machine,
    memory: PeakMemory,
) -> None:
    """Train one epoch, validate, and keep the weights if they are the best."""
    started = time.perf_counter()
    begin_epoch(state, run)
    learning_rate = max(group["lr"] for group in state.optimizer.param_groups)
    loader.sampler.epoch = state.epoch  # type: ignore[attr-defined]
    torch.manual_seed(derived_seed(run.seed, state.epoch, 1))
    torch.empty((), dtype=torch.int64).random_()  # one number; loaders without a generator of their own took it once
    row: dict[str, Any] = {"epoch": state.epoch + 1} | train_epoch(state, run, loader, source, machine)
    row |= validate(state.evaluated, state.expected, run, validation, machine)
    if not math.isfinite(row["val_loss"]):
        raise NonFiniteLossError(f"the validation loss became {row['val_loss']} in epoch {row['epoch']}. {LESS}")
    row |= {"learning_rate": learning_rate, "seconds": time.perf_counter() - started}
    row |= {"peak_gpu_mb": memory.gpu_mb, "peak_ram_mb": memory.ram_mb, "micro_batch": state.micro_batch}
    if run.hyper.schedule == "plateau":
        state.scheduler.step(row["val_loss"])
    _note_epoch(state, run, row, folder)


def begin_epoch(state: FitState, run: Run) -> None:
    """Enter the stage that the coming epoch belongs to."""
    if (stage := stage_of(run.hyper, state.epoch)) != state.stage:
        enter_stage(state, stage)
        log.info("stage %d of %d: %s", stage + 1, len(run.hyper.stages), run.hyper.stages[stage])


def _note_epoch(state: FitState, run: Run, row: dict[str, float], folder: Path) -> None:
    """Update what depends on validation, then write weights and history; the checkpoint follows last.

    Killed before that, the epoch is repeated from the older checkpoint and writes the same files.
    """
    state.epoch += 1
    state.history.append(row)
    watched = -selection_score(row, run.hyper.stop_by)
    state.stale = 0 if watched < state.best_loss else state.stale + 1
    state.best_loss = min(state.best_loss, watched)
    score = selection_score(row, run.selection)
    if score > state.best_score or run.selection == "last":
        state.best_score, state.best_epoch = score, state.epoch
        _save_weights(state, run, folder)
    write_text(folder / "history.csv", pd.DataFrame(state.history).to_csv(index=False))


def _note_oracle(state: FitState, run: Run, oracle: Oracle, machine: Machine) -> None:
    """Keep this epoch in the oracle's folder when its test accuracy is the best so far."""
    scores = validate(state.evaluated, state.expected, run, oracle.test, machine)
    state.oracle_history.append({name.replace("val_", "test_"): value for name, value in scores.items()})
    if scores["val_accuracy"] > state.oracle_score:
        state.oracle_score, state.oracle_epoch = scores["val_accuracy"], state.epoch
        _save_weights(state, run, oracle.folder)
    both = pd.concat([pd.DataFrame(state.history), pd.DataFrame(state.oracle_history)], axis=1)
    write_text(oracle.folder / "history.csv", both.to_csv(index=False))


def _save_weights(state: FitState, run: Run, folder: Path) -> None:
    bad = not_finite(state.evaluated.state_dict())
    if bad:
        raise NonFiniteLossError(f"{bad} became NaN or infinite in epoch {state.epoch}. {LESS}")
    save_trained(folder / "weights.pth", state.evaluated, run, state.expected)


def selection_score(row: dict[str, float], selection: str) -> float:
    """The number whose highest value marks the kept epoch; NaN counts as worst."""
    score = -row["val_loss"] if selection in ("loss", "last") else row[f"val_{selection}"]
    return -math.inf if math.isnan(score) else score


def train_epoch(
    state: FitState, run: Run, loader: torch.utils.data.DataLoader, source: BatchSource, machine: Machine
) -> dict[str, float]:
    """One epoch of optimizer steps; returns train_loss, train scores and images_per_second. Keeps nothing on disk."""
    started = time.perf_counter()
    loss_of = make_loss(run, source.faces, machine.device)
    scaler = torch.amp.GradScaler(machine.device.type, enabled=run.hyper.precision == "fp16")
    expected = replace(state.expected, size=train_size(run, state.epoch))
    train_mode(state.network, frozen=only_head_trains(state.network), norms=not run.hyper.freeze_batch_norm)
    autocast = autocast_dtype(run.hyper.precision)
    losses, predicted, labels = [], [], []
    for number, chunks in enumerate(progress(loader, f"epoch {state.epoch + 1}", len(source))):
        if run.hyper.augmentation and run.hyper.augment_engine == "batch":
            chunks = _augmented_chunks(chunks, run, (run.seed, state.epoch, number), machine.device)
        pixels, target = to_network_input(chunks, expected, machine.device)
        if source.faces.weight is not None:
            target = weighted(target, source.faces.weight[source.positions(state.epoch, number)], run.hyper.classes)
        if run.hyper.mixup or run.hyper.cutmix:
            pixels, target = mixed(pixels, target, run.hyper, (run.seed, state.epoch, number))
        loss, logits = _step(state, loss_of, scaler, pixels, target, autocast, run.hyper.gradient_clip)
        losses.append(loss)
        predicted.append(logits)
        labels.append(as_labels(target))
        if run.hyper.schedule in STEPPED_BY_BATCH:
            state.scheduler.step()
        if number % 50 == 0:
            _refuse_non_finite(losses, state.epoch)
    _refuse_non_finite(losses, state.epoch)
    probabilities = torch.cat(predicted).float().softmax(1).cpu().numpy()
    truth_all = torch.cat(labels).cpu().numpy()
    scores = {f"train_{name}": METRICS[name](truth_all, probabilities) for name in TRAIN_SCORES}
    seconds = time.perf_counter() - started
    return {"train_loss": float(torch.stack(losses).mean())} | scores | {"images_per_second": len(truth_all) / seconds}


def train_size(run: Run, epoch: int) -> int:
    """Side in pixels at which epoch `epoch` (from 0) trains: early epochs may be smaller, and faster."""
    for share, size in run.hyper.train_sizes:
        if epoch < share * run.hyper.epochs:
            return size
    return run.hyper.input_size


def _step(
    state: FitState,
    loss_of: Loss,
    scaler: torch.amp.GradScaler,
    pixels: torch.Tensor,
    target: torch.Tensor,
    autocast: torch.dtype | None = None,
    gradient_clip: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One optimizer step over a batch, in micro-batches. Returns mean loss [] and logits [B, C], detached.

    `target`: labels int64 [B], or shares of the classes float [B, C], see fer/runs/losses.py.
    """
    state.optimizer.zero_grad(set_to_none=True)
    norm = loss_of.norm(target)
    total, outputs = torch.zeros((), device=pixels.device), []
    count = math.ceil(len(target) / state.micro_batch)  # nearly equal parts: BatchNorm cannot train on one picture
    for part, part_target in zip(pixels.tensor_split(count), target.tensor_split(count), strict=True):
        part = part.contiguous(memory_format=torch.channels_last)
        with torch.autocast(pixels.device.type, dtype=autocast, enabled=autocast is not None):
            logits, *side = training_logits(state.network, part)
            loss = loss_of(logits.float(), part_target) / norm
            loss = loss + sum(SIDE_WEIGHT * loss_of(one.float(), part_target) / norm for one in side)
        scaler.scale(loss).backward()
        total += loss.detach()
        outputs.append(logits.detach())
    if gradient_clip is not None:
        scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.network.parameters(), gradient_clip)
    scaler.step(state.optimizer)
    scaler.update()
    if state.average is not None:
        state.average.update_parameters(state.network)
    return total, torch.cat(outputs)


def _augmented_chunks(chunks: list, run: Run, key: tuple[int, ...], device: torch.device) -> list:
    """Each chunk moved to the device and augmented there, at pack size."""
    how = run.hyper.augmentation or {}
    return [
        (augment_batch(pixels.to(device, non_blocking=True), how, (*key, number)), labels)
        for number, (pixels, labels) in enumerate(chunks)
    ]


def _refuse_non_finite(losses: list[torch.Tensor], epoch: int) -> None:
    finite = torch.isfinite(torch.stack(losses))
    if not finite.all():
        step = int((~finite).nonzero()[0]) + 1
        raise NonFiniteLossError(f"the loss became {losses[step - 1].item()} in epoch {epoch + 1}, step {step}. {LESS}")


# ---------------------------------------------------------------- validation


def validate(
    network: nn.Module, expected: NetworkInput, run: Run, validation: dict[str, FaceRows], machine: Machine
) -> dict[str, float]:
    """Validation loss and metrics: the mean over datasets of each one's own value."""
    scores, autocast = [], autocast_dtype(run.hyper.precision)
    for faces in validation.values():
        found = predict(network, expected, faces, ("none",), run.hyper.batch_size, machine.device, 0, autocast)
        scores.append(validation_scores(faces.label, found["none"]))
    return mean_scores(scores)
