"""Fit one network: epochs, schedule, early stopping, best weights, checkpoint and exact resume."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from data_loader import BatchSource, FaceRows, NetworkInput, make_loader, to_network_input
from evaluation import METRICS, predict, predict_together
from fer.columns.files import TRAIN_SCORES
from fer.faces.batch_augmentation import augment_batch
from fer.machine.memory import PeakMemory, is_out_of_memory, lost_worker
from fer.machine.precision import autocast_dtype
from fer.machine.processes import ALONE, Processes
from fer.networks.synced_batch_norm import batch_norms_of_all, refuse_unsynced
from fer.runs.epoch_words import say_epoch
from fer.runs.facts import training_facts
from fer.runs.fit_state import (
    FitState,
    as_bytes,
    enter_stage,
    from_bytes,
    save_checkpoint,
    stage_of,
    start_or_continue,
    start_state,
)  # fmt: skip
from fer.runs.fitting_sizes import halved, remember_size, remembered_size
from fer.runs.job import Job, Machine, Oracle, machine_here
from fer.runs.job import make_machine as make_machine
from fer.runs.job import training_source as training_source
from fer.runs.kept_epoch import mean_scores, validation_scores
from fer.runs.losses import Loss, as_labels, make_loss, weighted
from fer.runs.mixup import mixed
from fer.runs.optimization import STEPPED_BY_BATCH
from fer.runs.run import Run
from fer.runs.trained_network import not_finite, save_trained
from fer.settings.settings import ModelRow
from fer.settings.training_values import CLASSIC_HEADS
from model_utils import only_head_trains, train_mode, training_logits
from utils import InputError, derived_seed, log, progress, write_text

SIDE_WEIGHT = 0.3  # of the losses of GoogLeNet's and Inception's side heads (Szegedy et al. 2015)
LESS = 'Lower LEARNING_RATE, or set AMP = "off".'


class NonFiniteLossError(Exception):
    """Loss or weights became NaN or infinite; says in which epoch, and what to try."""


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
    With other processes each does its share of every batch (fer/machine/processes.py), and this one writes.
    Returns facts for run.json. Raises NonFiniteLossError, torch.OutOfMemoryError or what else says so (one picture does
    not fit), InputError (weights), ProcessError and OutOfStepError (several processes).
    """
    if run.hyper.head in CLASSIC_HEADS:
        from fer.runs.classic_head import fit_classic

        facts = fit_classic(run, train, validation, folder, machine.device, row)
        note_epoch(run, facts["best_validation"])
        return facts
    job = Job(run, train, validation, folder, machine, row, oracle)
    return _fit(job, partial(_start, job), note_epoch)


def _start(job: Job) -> FitState:
    """The state the training begins with or goes on from, in this process and in those that train with it."""
    run, machine, steps = job.run, job.machine, len(job.source)
    assert job.folder is not None, "only the process that writes starts"
    size = remembered_size(run, machine.device, machine.fits, machine.processes)
    state = start_or_continue(run, job.train, steps, machine.device, job.row, size, job.folder)
    if job.oracle is not None and len(state.oracle_history) != state.epoch:
        log.info("starting again: the oracle has to see every epoch")
        state = replace(start_state(run, steps, machine.device, job.row, size), identity=state.identity)
    if machine.processes.count > 1:
        state.micro_batch = min(state.micro_batch, size)  # a process that ran out of memory noted it and ended
        _share_out(job, state)
    return state


def _share_out(job: Job, state: FitState) -> None:
    """The other processes take part, from this state on."""
    processes = job.machine.processes
    fewest = len(job.train) // len(job.source)
    if fewest < processes.fewest:
        raise InputError(
            f"a batch holds {fewest} pictures, and {processes.count} processes need two each to share it. Raise "
            '"batch_size" in MODEL_CONFIG, or start fewer processes.'
        )
    refuse_unsynced(state.network, processes, job.run.hyper.sync_batch_norm)
    processes.tell(_follow, job, as_bytes(state))
    processes.agreed(lambda: None)  # all are ready, or one says why not


def _follow(job: Job, stored: bytes) -> None:
    """What the other processes do of `fit`; they write nothing. `stored`: the state of the main process."""
    machine = machine_here(job.machine)
    steps = len(job.source)
    job = replace(job, machine=machine, folder=None, oracle=job.oracle and replace(job.oracle, folder=None))
    started = partial(from_bytes, stored, job.run, steps, machine.device, job.row)
    with suppress(NonFiniteLossError):  # the main process has it as well, and says it
        _fit(job, partial(machine.processes.agreed, started), note_epoch=lambda *_: None)


def _fit(job: Job, start: Callable[[], FitState], note_epoch: Callable[[Run, dict[str, Any]], None]) -> dict[str, Any]:
    """The epochs of `fit`, in each process."""
    run, machine, source = job.run, job.machine, job.source
    state = start()
    loader = make_loader(source, machine.workers, machine.device.type == "cuda")
    with PeakMemory(machine.device) as memory:
        while not _is_over(state, run):
            epoch = partial(_whole_epoch, state, job, loader, source, memory)
            micro_batch, workers = state.micro_batch, loader.num_workers
            with machine.processes.in_step(NonFiniteLossError):
                trouble = _trouble_of(epoch, micro_batch > machine.processes.fewest, workers)
                if not trouble:
                    note_epoch(run, state.history[-1])
                elif machine.processes.count > 1:
                    _end_all(trouble, micro_batch, job)
            if not trouble:
                continue
            del state, loader, epoch  # what they hold is in the way of what comes next
            if trouble == LOST_WORKER:
                workers //= 2
            else:
                micro_batch = halved(micro_batch, run.hyper.batch_size)
            state = _started_again(job, micro_batch)
            loader = make_loader(source, workers, machine.device.type == "cuda")
    return training_facts(state.history, state.best_epoch, state.micro_batch, state.oracle_epoch)


def _is_over(state: FitState, run: Run) -> bool:
    """After the last epoch, or out of patience in the last stage: an earlier one is always trained to its end."""
    out_of_patience = run.hyper.patience is not None and state.stale >= run.hyper.patience
    out_of_patience &= state.stage == max(len(run.hyper.stages) - 1, 0)
    return state.epoch >= run.hyper.epochs or out_of_patience


# ---------------------------------------------------------------- out of memory

RAN_OUT, LOST_WORKER = "memory ran out", "a worker was killed"
AGAIN = "Started again they go on with half of them; torchrun --max-restarts 5 does that by itself."


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
    state: FitState, job: Job, loader: torch.utils.data.DataLoader, source: BatchSource, memory: PeakMemory
) -> None:
    """One epoch with all that is kept of it; the checkpoint comes last."""
    machine = job.machine
    _one_epoch(state, job, loader, source, memory)
    if job.oracle is not None:
        _note_oracle(state, job.run, job.oracle, machine)
    if job.folder is not None:
        save_checkpoint(state, job.folder)
        remember_size(job.run, state.micro_batch, machine.device, machine.fits, machine.processes)


def _end_all(trouble: str, micro_batch: int, job: Job) -> None:
    """One of several processes cannot go on otherwise than the others: it notes what to change, and ends."""
    if trouble == LOST_WORKER:
        raise InputError("a worker was killed: most likely memory ran out. Lower WORKERS.")
    machine = job.machine
    remember_size(job.run, micro_batch // 2, machine.device, machine.fits, machine.processes)
    raise InputError(f"{RAN_OUT} with {micro_batch} pictures at a time over all processes. {AGAIN}")


def _started_again(job: Job, micro_batch: int) -> FitState:
    """The state before the epoch that failed, with this micro-batch."""
    gc.collect()
    if job.machine.device.type == "cuda":
        torch.cuda.empty_cache()
    assert job.folder is not None, "several processes end instead"
    fresh = start_or_continue(job.run, job.train, len(job.source), job.machine.device, job.row, micro_batch, job.folder)
    fresh.micro_batch = micro_batch
    return fresh


# ---------------------------------------------------------------- one epoch


def _one_epoch(
    state: FitState, job: Job, loader: torch.utils.data.DataLoader, source: BatchSource, memory: PeakMemory
) -> None:
    """Train one epoch, validate, and keep the weights if they are the best."""
    started = time.perf_counter()
    run, processes = job.run, job.machine.processes
    begin_epoch(state, run)
    learning_rate = max(group["lr"] for group in state.optimizer.param_groups)
    loader.sampler.epoch = state.epoch  # type: ignore[attr-defined]
    own_draws = [] if processes.is_main else [processes.number]  # dropout's, of other pictures
    torch.manual_seed(derived_seed(run.seed, state.epoch, 1, *own_draws))
    torch.empty((), dtype=torch.int64).random_()  # one number; loaders without a generator of their own took it once
    row: dict[str, Any] = {"epoch": state.epoch + 1} | train_epoch(state, run, loader, source, job.machine)
    processes.take_buffers(state.evaluated)
    row |= validate(state.evaluated, state.expected, run, job.validation, job.machine)
    row = processes.from_main(row)  # what is decided by it is decided alike
    if not math.isfinite(row["val_loss"]):
        raise NonFiniteLossError(f"the validation loss became {row['val_loss']} in epoch {row['epoch']}. {LESS}")
    row |= {"learning_rate": learning_rate, "seconds": time.perf_counter() - started}
    row |= {"peak_gpu_mb": memory.gpu_mb, "peak_ram_mb": memory.ram_mb, "micro_batch": state.micro_batch}
    if run.hyper.schedule == "plateau":
        state.scheduler.step(row["val_loss"])
    _note_epoch(state, run, row, job.folder)


def begin_epoch(state: FitState, run: Run) -> None:
    """Enter the stage that the coming epoch belongs to."""
    if (stage := stage_of(run.hyper, state.epoch)) != state.stage:
        enter_stage(state, stage)
        log.info("stage %d of %d: %s", stage + 1, len(run.hyper.stages), run.hyper.stages[stage])


def _note_epoch(state: FitState, run: Run, row: dict[str, float], folder: Path | None) -> None:
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
    if folder is not None:
        write_text(folder / "history.csv", pd.DataFrame(state.history).to_csv(index=False))


def _note_oracle(state: FitState, run: Run, oracle: Oracle, machine: Machine) -> None:
    """Keep this epoch in the oracle's folder when its test accuracy is the best so far."""
    scores = validate(state.evaluated, state.expected, run, oracle.test, machine)
    state.oracle_history.append({name.replace("val_", "test_"): value for name, value in scores.items()})
    if scores["val_accuracy"] > state.oracle_score:
        state.oracle_score, state.oracle_epoch = scores["val_accuracy"], state.epoch
        _save_weights(state, run, oracle.folder)
    if oracle.folder is None:
        return
    both = pd.concat([pd.DataFrame(state.history), pd.DataFrame(state.oracle_history)], axis=1)
    write_text(oracle.folder / "history.csv", both.to_csv(index=False))


def _save_weights(state: FitState, run: Run, folder: Path | None) -> None:
    bad = not_finite(state.evaluated.state_dict())
    if bad:
        raise NonFiniteLossError(f"{bad} became NaN or infinite in epoch {state.epoch}. {LESS}")
    if folder is not None:
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
        pixels, target = _own_part(chunks, (run.seed, state.epoch, number), run, source, expected, machine)
        count = source.batch_length(number)
        loss, logits = _step(
            state, loss_of, scaler, pixels, target, autocast, run.hyper.gradient_clip, machine.processes, count
        )
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
    of_each = machine.processes.gathered((probabilities, truth_all))
    probabilities, truth_all = (np.concatenate(parts) for parts in zip(*of_each, strict=True))
    scores = {f"train_{name}": METRICS[name](truth_all, probabilities) for name in TRAIN_SCORES}
    seconds = time.perf_counter() - started
    return {"train_loss": float(torch.stack(losses).mean())} | scores | {"images_per_second": len(truth_all) / seconds}


def _own_part(
    chunks: list, key: tuple[int, int, int], run: Run, source: BatchSource, expected: NetworkInput, machine: Machine
) -> tuple[torch.Tensor, torch.Tensor]:
    """What of a batch goes through the network in this process: pixels float32 [B, C, S, S], target as in `_step`.

    `key`: seed, epoch, number of the batch.
    """
    hyper, (_, epoch, number) = run.hyper, key
    if hyper.augmentation and hyper.augment_engine == "batch":
        chunks = _augmented_chunks(chunks, run, key, machine.device)
    pixels, target = to_network_input(chunks, expected, machine.device)
    if source.faces.weight is not None:
        target = weighted(target, source.faces.weight[source.positions(epoch, number)], hyper.classes)
    if hyper.mixup or hyper.cutmix:
        pixels, target = mixed(pixels, target, hyper, key)
    if machine.processes.count > 1 and source.share == (0, 1):  # made whole, since its pictures depend on each other
        own = machine.processes.share(len(target))
        return pixels[own], target[own]
    return pixels, target


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
    processes: Processes = ALONE,
    whole: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One optimizer step over a batch, in micro-batches. Returns mean loss [] and logits [B, C], detached.

    `target`: labels int64 [B], or shares of the classes float [B, C], see fer/runs/losses.py. With other `processes`
    pixels and target are this one's share of a batch of `whole` pictures, and the loss is that of the whole batch.
    """
    state.optimizer.zero_grad(set_to_none=True)
    norm = processes.total(loss_of.norm(target), pixels.device)
    total, outputs = torch.zeros((), device=pixels.device), []
    whole = whole or len(target)
    # nearly equal parts: BatchNorm cannot train on one picture
    count = min(math.ceil(whole / state.micro_batch), whole // processes.fewest)
    synced = batch_norms_of_all(processes, state.hyper.sync_batch_norm)
    for part, part_target in zip(pixels.tensor_split(count), target.tensor_split(count), strict=True):
        part = part.contiguous(memory_format=torch.channels_last)
        with synced, torch.autocast(pixels.device.type, dtype=autocast, enabled=autocast is not None):
            logits, *side = training_logits(state.network, part)
            loss = loss_of(logits.float(), part_target) / norm
            loss = loss + sum(SIDE_WEIGHT * loss_of(one.float(), part_target) / norm for one in side)
        scaler.scale(loss).backward()
        total += loss.detach()
        outputs.append(logits.detach())
    processes.add_gradients(state.network)
    if gradient_clip is not None:
        scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.network.parameters(), gradient_clip)
    scaler.step(state.optimizer)
    scaler.update()
    if state.average is not None:
        state.average.update_parameters(state.network)
    return processes.sum(total), torch.cat(outputs)


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

    def answer(faces: FaceRows) -> dict[str, np.ndarray]:
        return predict(network, expected, faces, ("none",), run.hyper.batch_size, machine.device, 0, autocast)

    for faces in validation.values():
        found = predict_together(machine.processes, faces, answer)
        scores.append(validation_scores(faces.label, found["none"]))
    return mean_scores(scores)
