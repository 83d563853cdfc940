"""Anonymous memory of the main process and of its workers, stage by stage, at three sizes of the data.

    python benchmarks/memory.py

Counted is what a process holds for itself ("Anonymous" of Linux's smaps_rollup), not the mapped pack, which the system
drops when memory is short. Of a forked worker, what it still shares with the main process is not counted again. Given
is the highest value of each stage, looked at every 50 ms. The pictures are FER2013-like drawn ones, repeated with noise
of their own; each size is measured in a process of its own. Aims at 92,000 pictures: main below 1 GB, each worker below
400 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
import psutil
from made_pictures import class_folders, study_of

from fer.settings.settings import Settings
from utils import InputError, log, pick_device

MAIN_AIM, WORKER_AIM = 1000.0, 400.0  # MB
WORKERS = 2


def anonymous_mb(pid: int, own_only: bool = False) -> float:
    """Anonymous memory of a process in MB, with `own_only` without pages it shares; 0 for one that has ended.

    Raises InputError where Linux's file is not.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        if psutil.pid_exists(pid) and not Path("/proc/self/smaps_rollup").exists():
            raise InputError("memory.py reads /proc/<pid>/smaps_rollup, which only Linux has.") from None
        return 0.0
    if not lines:  # it ended just now
        return 0.0
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    held = kilobytes["Anonymous"]
    return min(held, kilobytes["Private_Dirty"]) / 1000 if own_only else held / 1000


class Watch:
    """Highest anonymous memory in MB of this process, of any child, and of all together, while `work` runs."""

    def __init__(self) -> None:
        self.main, self.worker, self.together = 0.0, 0.0, 0.0

    def over(self, work: Callable[[], Any]) -> Any:
        """Do `work` under watch and return what it returns."""
        done = threading.Event()
        watcher = threading.Thread(target=self._look, args=(done,))
        watcher.start()
        try:
            return work()
        finally:
            done.set()
            watcher.join()

    def _look(self, done: threading.Event) -> None:
        own = psutil.Process()
        while True:
            last = done.is_set()
            here = anonymous_mb(own.pid)
            workers = [anonymous_mb(child.pid, own_only=True) for child in own.children(recursive=True)]
            self.main, self.worker = max(self.main, here), max(self.worker, *workers, 0.0)
            self.together = max(self.together, here + sum(workers))
            if last:
                return
            done.wait(0.05)


# ---------------------------------------------------------------- one size, in a process of its own


def measure(settings: Settings) -> list[harness.Row]:
    """Main and worker memory of each stage, in MB."""
    from fer.study.plan import open_study, planned_runs
    from fer.study.variants import scored_faces, training_faces
    from preprocessing import preprocess_or_load

    rows: list[harness.Row] = []

    def stage(name: str, work: Callable[[], Any]) -> Any:
        watch = Watch()
        found = watch.over(work)
        rows.append({"stage": name, "main MB": watch.main, "worker MB": watch.worker})
        log.info("%s: main %.0f MB, worker %.0f MB", name, watch.main, watch.worker)
        return found

    study = stage("read", lambda: open_study(settings))
    data = study.datasets["measured"]
    stage("prepare", lambda: preprocess_or_load(data.samples, data.root, data.row, settings, data.name))
    run = stage("plan", lambda: planned_runs(study))[0].run
    samples = study.training(run.train_on).samples
    train, _, _ = stage("extras, pack", lambda: training_faces(study.datasets, samples, run, settings))
    stage("import torch", lambda: __import__("training"))
    stage("train", lambda: _train(train, run, settings))
    faces = scored_faces(data, "test", "preprocessed", run.hyper.input_size, settings)
    stage("evaluate", lambda: _evaluate(faces, run, settings))
    return rows


def _train(train: Any, run: Any, settings: Settings) -> None:
    """One epoch with workers, as `fit` does it; 200 batches at most, since every batch is alike."""
    from itertools import islice

    import training
    from data_loader import make_loader, to_network_input
    from fer.runs.fit_state import start_state
    from fer.runs.losses import make_loss

    machine = training.Machine(pick_device("cpu"), WORKERS)
    source = training.training_source(run, train)
    state = start_state(run, len(source), machine.device, settings.models[run.model], run.hyper.batch_size)
    criterion = make_loss(run, train, machine.device)
    scaler = training.torch.amp.GradScaler("cpu", enabled=False)
    for chunks in islice(make_loader(source, WORKERS), 200):
        pixels, truth = to_network_input(chunks, state.expected, machine.device)
        training._step(state, criterion, scaler, pixels, truth)


def _evaluate(faces: Any, run: Any, settings: Settings) -> None:
    from evaluation import predict
    from model_utils import build_network
    from utils import pick_device

    network, expected = build_network(run.model, settings.models[run.model], 7, False)
    predict(network, expected, faces, ("none", "three_views"), run.hyper.batch_size, pick_device("cpu"))


# ---------------------------------------------------------------- all sizes


def run(options: dict[str, Any]) -> list[harness.Row]:
    """One row for each stage and size. `options`: sizes (list of numbers of pictures)."""
    rows = []
    for count in options["sizes"]:
        with tempfile.TemporaryDirectory() as name:
            dataset = class_folders(Path(name) / "dataset", count)
            command = [sys.executable, __file__, "--one", str(dataset), name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        for row in json.loads(done.stdout.splitlines()[-1]):
            reached = row["main MB"] < MAIN_AIM and row["worker MB"] < WORKER_AIM
            rows.append({"pictures": count} | row | {"reached": reached})
    return rows


def main() -> None:
    """The command; `--one DATASET FOLDER` is how it calls itself for one size."""
    if sys.argv[1:2] == ["--one"]:
        harness.started("memory")
        settings = study_of(Path(sys.argv[2]), Path(sys.argv[3]) / "out", VARIANTS=("augmented",), WORKERS=WORKERS)
        print(json.dumps(measure(settings)))
        return
    title = f"Anonymous memory, highest of each stage; aims: main {MAIN_AIM:.0f} MB, each worker {WORKER_AIM:.0f} MB"
    harness.command("memory", __doc__, title, run, sizes=(3_000, 36_000, 92_000))


if __name__ == "__main__":
    main()
