"""What is read from disk, and how often: by large plans that are finished, and by one training.

    python benchmarks/plan_reads.py

A finished study of 63 and one of 1,000 runs (small made-up run.json, predictions by chance: nothing is trained), each
planned (`--plan`) and gone through again (all of main.py before tables and figures) in a process of its own. Then one
augmented training of drawn faces, from folders to predictions. Opened files are counted by Python's own audit events.
"""

from __future__ import annotations

import collections
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import harness
import numpy as np
from made_pictures import class_folders, study_of

from evaluation import Predictions, store_predictions
from fer.settings.settings import EMOTIONS, Settings
from fer.study.disk_need import needed_space, refuse_full_disk
from fer.study.execution import execute, write_study
from fer.study.inspection import print_plan
from fer.study.plan import open_study, planned_runs
from fer.study.predictions import prediction_files
from fer.study.preflight import problems_before_start, refuse_impossible
from fer.study.speed import speed_book
from utils import write_sealed

COUNTED = {
    "run.json": "run.json",
    "manifest.csv": "manifest",
    ".npz": "predictions",
    ".jpg": "picture",
    ".png": "picture",
}
opened: collections.Counter[str] = collections.Counter()


def count_opened(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: counts the files opened to be read, by kind."""
    if event == "open" and isinstance(arguments[0], str) and (arguments[1] or "r").startswith("r"):
        opened.update(kind for ending, kind in COUNTED.items() if arguments[0].endswith(ending))


def settings_for(folder: Path, seeds: int, **changes: Any) -> Settings:
    """One set of drawn faces, a network as small as can be, `seeds` runs."""
    dataset = class_folders(folder / "dataset", 168)
    return study_of(dataset, folder / "out", size=16, TTA=("none",), AMP="off", SEEDS=tuple(range(seeds)), **changes)


def make_finished(settings: Settings) -> None:
    """Every run of the plan as a training leaves it, with made-up numbers."""
    study = open_study(settings)
    for planned in planned_runs(study):
        planned.folder.mkdir(parents=True)
        (planned.folder / "weights.pth").write_bytes(b"weights")
        rows = {"n_train": 100, "n_val": 10, "original": [10] * 7, "balanced": [10] * 7}
        facts = {"epochs": 1, "best_epoch": 1, "train_seconds": 1.0, "images_per_second": 1.0, "parameters": 1,
                 "micro_batch": 64, "flops": 1, "latency_ms": 1.0}  # fmt: skip
        write_sealed(planned.folder / "run.json", {
            "run": planned.run.describe(), "inputs": planned.inputs, "counts": {"measured": rows}, "facts": facts,
            "weights_sha256": "0" * 64, "config": settings.describe(),
        })  # fmt: skip
        for file in prediction_files(study, planned):
            table, _ = study.scored(planned.run, file.test_on, file.split)
            chances = np.random.default_rng(planned.run.seed).dirichlet(np.ones(7), len(table)).astype(np.float32)
            names = (planned.name, file.test_on, file.split, file.test_variant, file.tta, EMOTIONS)
            ids, labels = table["sample_id"].to_numpy(dtype=str), table["label"].to_numpy()
            store_predictions(file.path, Predictions(*names, ids, labels, chances, file.key))


def plan(settings: Settings) -> None:
    """What --plan does, without its terminal's table."""
    study = open_study(settings)
    problems_before_start(settings)
    runs = planned_runs(study)
    refuse_impossible(settings, runs)
    print_plan(study, runs)
    refuse_full_disk(needed_space(study, runs, speed_book(settings, measure=False)))


def again(settings: Settings) -> None:
    """What main.py does with a finished study before tables and figures."""
    study = open_study(settings)
    problems_before_start(settings)
    runs = planned_runs(study)
    refuse_impossible(settings, runs)
    refuse_full_disk(needed_space(study, runs, speed_book(settings, measure=False)))
    write_study(study, runs)
    print_plan(study, runs, only_summary=True)
    execute(study, runs)
    write_study(study, runs)
    assert all(planned.finished for planned in runs)


def train(settings: Settings) -> None:
    """One training, from folders to predictions."""
    study = open_study(settings)
    runs = planned_runs(study)
    if failures := execute(study, runs):
        raise RuntimeError(f"the run failed: {failures}")


def measured(command: Callable[[Settings], None], settings: Settings) -> harness.Row:
    """Seconds, networks built and files read of `command`; for a process of its own."""
    from model_utils import build_network

    built = mock.Mock(side_effect=build_network)
    sys.addaudithook(count_opened)
    started = time.perf_counter()
    with (
        mock.patch("fer.runs.trained_network.build_network", built),
        mock.patch("fer.runs.fit_state.build_network", built),
    ):
        command(settings)
    return {"seconds": time.perf_counter() - started, "networks built": built.call_count, **opened}


def in_new_process(command: Callable[[Settings], None], settings: Settings) -> harness.Row:
    """`measured`, in a new process, so that nothing is remembered."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (command, settings))


def run(options: dict[str, Any]) -> list[harness.Row]:
    """One row a plan and command, and one of the training. `options`: runs (list of numbers)."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for count in options["runs"]:
            settings = settings_for(Path(name) / str(count), count)
            make_finished(settings)
            each = {command.__name__: in_new_process(command, settings) for command in (plan, again)}
            rows += [{"what": what, "runs": count} | found for what, found in each.items()]
        augmented = settings_for(Path(name) / "trained", 1, VARIANTS=("augmented",))
        rows.append({"what": "train", "runs": 1} | in_new_process(train, augmented))
    return rows


def main() -> None:
    """The command."""
    harness.command("plan_reads", __doc__, "Seconds, and how many files of each kind are read", run, runs=(63, 1000))


if __name__ == "__main__":
    main()
