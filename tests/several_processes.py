"""Trainings that tests start by torchrun: processes on the CPU that fit networks together.

`python -m torch.distributed.run --nproc-per-node 2 tests/several_processes.py FOLDER TROUBLE` fits every
FOLDER/*/job.pkl that `store_job` left. Beside what a training writes, each then has losses.json, the loss of every
step, and facts.json.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

import training
from fer.machine.processes import join, joined
from fer.runs.job import Job, Machine
from fer.settings.settings import PROJECT

LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def store_job(job: Job, folder: Path) -> Path:
    """Leave what is to be fitted in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.pkl").write_bytes(pickle.dumps(job))
    return folder


def fit_here(folder: Path) -> None:
    """Fit the job of `folder` there: in this process, and in those that were started with it."""
    job: Job = pickle.loads((folder / "job.pkl").read_bytes())
    machine = Machine(torch.device("cpu"), fits=folder / "fits.json", processes=joined())
    losses: list[float] = []
    step = training._step

    def noting(*given: Any) -> Any:
        found = step(*given)
        losses.append(float(found[0]))
        return found

    with patch.object(training, "_step", noting):
        facts = training.fit(job.run, job.train, job.validation, folder, machine, job.row)
    (folder / "losses.json").write_text(json.dumps(losses))
    (folder / "facts.json").write_text(json.dumps(facts))


def losses_of(folder: Path) -> list[float]:
    """The loss of every step of the last training in `folder`."""
    return json.loads((folder / "losses.json").read_text())


def two_fit(folder: Path, trouble: str = "", *options: str) -> subprocess.CompletedProcess:
    """Fit the jobs in the folders of `folder` by two processes; `trouble`: one of TROUBLES; `options`: torchrun's."""
    return torchrun([__file__, str(folder), trouble], *options)


def torchrun(command: list[str], *options: str) -> subprocess.CompletedProcess:
    """A script with its arguments in two processes; waits for their end."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options]
    own = {name: value for name, value in os.environ.items() if name not in LAUNCHED} | {"OMP_NUM_THREADS": "1"}
    launcher = subprocess.Popen(
        [*start, *command], cwd=PROJECT, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        said = launcher.communicate(timeout=1800)
    except subprocess.TimeoutExpired:
        launcher.terminate()  # it ends its processes; killed, it would leave them
        launcher.communicate()
        raise
    return subprocess.CompletedProcess(launcher.args, launcher.returncode, *said)


# ---------------------------------------------------------------- what goes wrong


def _kill_after_an_epoch() -> None:
    """The main process ends as if it was killed, with the checkpoint of the first epoch on disk."""
    save = training.save_checkpoint

    def save_and_end(*given: Any) -> None:
        save(*given)
        os._exit(9)

    training.save_checkpoint = save_and_end


def _fail_in_the_third_step() -> None:
    """The second process alone."""
    step, done = training._step, []

    def failing(*given: Any) -> Any:
        done.append(1)
        if joined().number == 1 and len(done) == 3:
            raise OSError("the pack is gone")
        return step(*given)

    training._step = failing


def _have_room_for_four() -> None:
    """The second process runs out of memory with more than four pictures at a time."""
    logits = training.training_logits

    def refusing(network: Any, part: torch.Tensor) -> Any:
        if joined().number == 1 and len(part) > 4:
            raise MemoryError
        return logits(network, part)

    training.training_logits = refusing


TROUBLES: dict[str, Callable[[], None]] = {
    "": lambda: None, "killed": _kill_after_an_epoch, "error": _fail_in_the_third_step, "memory": _have_room_for_four,
}  # fmt: skip


def _fit_all(folder: Path) -> int:
    for job in sorted(folder.glob("*/job.pkl")):
        fit_here(job.parent)
    return 0


if __name__ == "__main__":
    processes = join("cpu")
    TROUBLES[sys.argv[2]]()
    sys.exit(processes.lead(lambda: _fit_all(Path(sys.argv[1]))))
