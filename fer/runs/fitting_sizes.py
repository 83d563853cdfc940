"""How many pictures at a time a run begins with: as many as were seen to fit this hardware after memory ran out."""

from __future__ import annotations

from pathlib import Path

import torch

from fer.machine.memory import fitting_size, note_fitting_size
from fer.machine.processes import Processes
from fer.runs.run import Run
from utils import canonical_json, log


def remembered_size(run: Run, device: torch.device, fits: Path | None, processes: Processes) -> int:
    """Pictures at a time, over all processes; the whole batch where memory never ran out."""
    each = fitting_size(fits, _network_key(run, device, processes))
    size = run.hyper.batch_size if each is None else each * processes.count
    if size < run.hyper.batch_size:
        log.info("%s starts with %d pictures at a time, as %s remembers", run.model, size, fits)
    return min(run.hyper.batch_size, size)


def remember_size(run: Run, size: int, device: torch.device, fits: Path | None, processes: Processes) -> None:
    """Note that `size` pictures at a time, over all processes, work, where the next runs would start with more."""
    network = _network_key(run, device, processes)
    known = (fitting_size(fits, network) or run.hyper.batch_size) * processes.count
    if size < min(run.hyper.batch_size, known):
        log.info("%s works with %d pictures at a time; its next runs start with that", run.model, size)
        note_fitting_size(fits, network, size // processes.count)


def halved(micro_batch: int, batch: int) -> int:
    """Half as many pictures at a time, said."""
    log.warning(
        "memory ran out with %d pictures at a time; going on with %d (batches stay %d, BatchNorm sees %d)",
        micro_batch, micro_batch // 2, batch, micro_batch // 2,
    )  # fmt: skip
    return micro_batch // 2


def _network_key(run: Run, device: torch.device, processes: Processes) -> str:
    """What the memory of a training step depends on, the number of pictures aside."""
    hyper = run.hyper
    shape = [hyper.architecture, hyper.options, hyper.input_size, hyper.channels, hyper.freeze, hyper.optimizer]
    shape += [hyper.stages, hyper.head, hyper.head_widths]
    where = str(device) if processes.count == 1 else device.type  # of several, each has a number of its own
    return canonical_json([*shape, hyper.ema_decay > 0, where, hyper.precision])
