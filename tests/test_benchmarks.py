"""Promises of the benchmarks: each runs, and its two sides do the same work. No promise about a time."""

from __future__ import annotations

import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fer.runs.fit_state import start_state
from fer.settings.settings import PROJECT
from utils import read_json

sys.path.append(str(PROJECT / "benchmarks"))

import face_finding
import harness
import input_pipeline
import made_pictures
import near_copies
import plain
import plan_reads
import rerun
import run_all
import scale
import training_ceiling
import views

from data_loader import BatchSource, NetworkInput, to_network_input

pytestmark = pytest.mark.slow
LINUX = Path("/proc/self/smaps_rollup").exists()


def test_rounds_alternate_and_ratios_are_medians_of_pairs() -> None:
    order: list[str] = []
    sides = {name: lambda name=name: order.append(name) or 10 for name in "ab"}  # type: ignore[misc]
    found = harness.in_turn(sides, 3)
    assert order == ["a", "b", *"ab", *"ba", *"ab"]
    assert all(one.items == 10 for rounds in found.values() for one in rounds)
    ours = [harness.Round(10, seconds, seconds) for seconds in (1.0, 2.0, 4.0)]
    theirs = [harness.Round(10, seconds, 2 * seconds) for seconds in (4.0, 4.0, 4.0)]
    row = harness.compared(ours, theirs)
    assert (row["times"], row["lowest"], row["highest"], row["times by CPU"], row["n"]) == (2, 1, 4, 4, 3)


def test_cpu_time_counts_what_a_worker_does() -> None:
    before = harness.cpu_seconds()
    code = "x = 0\nfor i in range(3_000_000): x += i"
    harness.measured(lambda: subprocess.run([sys.executable, "-c", code], check=True).returncode)
    assert harness.cpu_seconds() - before > 0.05


# ---------------------------------------------------------------- a million faces


def test_every_stage_of_scale_works_on_what_the_ones_before_left(tmp_path: Path) -> None:
    scale.make_pictures(tmp_path / "faces", 1400)
    settings = scale.settings_in(tmp_path)
    found = {stage: work(settings) for stage, work in scale.STAGES.items() if stage != "statistics"}  # half a minute
    assert found["near copies"] > 0.9
    output = settings.output_path
    samples = pd.read_csv(output / "samples" / "measured_samples.csv")
    assert len(samples) == 1400 and (samples["split"] == "test").sum() == 700
    assert samples["content"].nunique() == 1400 - 14
    results = pd.read_csv(output / "results.csv")
    assert (results["n_test"] == 700).all() and results["run"].nunique() == 6 + 9 + 1  # runs, votes, majority class


def test_the_peak_of_a_stage_is_not_that_of_the_process_that_starts_it() -> None:
    held = np.ones(800 << 20, dtype=np.uint8)
    code = "import sys; sys.path.append(sys.argv[1]); import scale; print(scale.peak_bytes())"
    done = subprocess.run([sys.executable, "-c", code, str(PROJECT / "benchmarks")], capture_output=True, text=True)
    assert 20 << 20 < int(done.stdout) < held.nbytes, done.stderr


def test_growth_is_the_exponent_between_the_two_largest_sizes() -> None:
    found = [{"cpu": cpu, "wall": 1.0, "gb": 0.5} for cpu in (5.0, 20.0, 200.0)]
    row = scale._row("read", [1, 10, 100], found)
    assert row["p"] == pytest.approx(1.0) and row["reached"]
    assert not scale._row("read", [1, 10], [found[0], found[2]])["reached"]
    assert not scale._row("read", [1, 10], [found[1], found[2] | {"gb": 4.5}])["reached"]


# ---------------------------------------------------------------- input pipeline


@pytest.mark.parametrize("kind", made_pictures.KINDS)
def test_both_sides_deliver_the_same_normalised_batch(tmp_path: Path, kind: str) -> None:
    pictures = made_pictures.KINDS[kind](tmp_path, 6)
    (theirs, labels), *_ = plain.plain_loader(pictures, plain.test_list(plain.SIDE), 6, 0, shuffle=False)
    faces = input_pipeline.packed(pictures, tmp_path / "cache")
    chunks = BatchSource(faces, 6)[(0, 0)]
    ours, truth = to_network_input(chunks, input_pipeline.EXPECTED, torch.device("cpu"))
    assert ours.shape == theirs.shape == (6, 3, 224, 224)
    assert ours.dtype == theirs.dtype == torch.float32
    assert truth.tolist() == labels.tolist()
    assert (ours - theirs).abs().mean() < 0.02  # of about 4.5 between black and white: rounding to bytes


def test_the_same_list_holds_the_same_changes_with_the_same_probabilities() -> None:
    same = {
        "RandomHorizontalFlip": "HorizontalFlip", "RandomRotation": "Rotate", "ColorJitter": "ColorJitter",
        "RandomAffine": "Affine", "RandomPerspective": "Perspective", "RandomErasing": "CoarseDropout",
    }  # fmt: skip
    theirs = [step for step in plain.training_list(224).transforms if type(step).__name__ in same]
    ours = input_pipeline.same_list().transforms
    assert [same[type(step).__name__] for step in theirs] == [type(step).__name__ for step in ours]
    assert [getattr(step, "p", 1) for step in theirs] == [step.p for step in ours]


# ---------------------------------------------------------------- training, views, faces


def test_ceiling_and_epochs_train_the_same_network_on_as_many_pictures(tmp_path: Path) -> None:
    case = training_ceiling.Case("tiny_plain", 16, 1, 8, 2, None)
    faces, run = training_ceiling.faces_for(case, tmp_path), training_ceiling.run_of(case)
    machine = training_ceiling.Machine(torch.device("cpu"))
    state = start_state(run, 2, machine.device, case.row, 8)
    for work in (
        training_ceiling.epochs(state, run, faces, machine),
        training_ceiling.ceiling(state, run, faces, machine, 2),
    ):
        before = state.network.head.weight.clone()  # type: ignore[union-attr, operator]
        assert work() == 16
        assert not torch.equal(before, state.network.head.weight)  # type: ignore[arg-type]


def test_views_by_tensors_and_image_by_image_give_the_same_probabilities(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pictures = made_pictures.raf_like(tmp_path, 6)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 7, 9, 4), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    ours = views.predict(
        network, NetworkInput(64, 3, plain.MEAN, plain.STD), input_pipeline.packed(pictures, tmp_path / "cache"),
        ("three_views",), 4, torch.device("cpu"),
    )["three_views"]  # fmt: skip
    theirs = views.image_by_image(network, pictures, 64, 4)
    assert np.abs(ours - theirs).max() < 0.02
    assert ours.std(0).max() > 0.001  # the network tells the pictures apart


def test_both_sides_find_the_same_faces(tmp_path: Path) -> None:
    tasks = face_finding.tasks_of(made_pictures.photos(tmp_path, 3))
    with ThreadPoolExecutor(2) as pool:
        rows = face_finding.measure("photos", tasks, pool, 2, 1)  # type: ignore[arg-type]
    assert [row["processes"] for row in rows] == ["1", "2"]
    assert all(row["found by ours"] == row["by theirs"] == 3 for row in rows)
    assert rows[0]["IoU 0.95"] == 1.0
    assert rows[0]["eyes apart"] < 0.05


# ---------------------------------------------------------------- stages


WATCHED = """
import os, sys
import numpy as np
sys.path.insert(0, "benchmarks")
import memory

def growth(work):
    before, watch = memory.anonymous_mb(os.getpid()), memory.Watch()
    watch.over(work)
    return watch.main - before

np.save(sys.argv[1], np.ones(60_000_000, dtype=np.uint8))
print(growth(lambda: int(np.load(sys.argv[1], mmap_mode="r").sum())))
print(growth(lambda: np.ones(60_000_000, dtype=np.uint8)))
"""


@pytest.mark.skipif(not LINUX, reason="anonymous memory is read from Linux's /proc")
def test_memory_sees_what_is_held_and_not_what_is_mapped(tmp_path: Path) -> None:
    # In a process of its own: one that has run other tests may hold freed memory that it fills again.
    command = [sys.executable, "-c", WATCHED, str(tmp_path / "mapped.npy")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    mapped, held = map(float, done.stdout.split())
    assert mapped < 30
    assert 50 < held < 120


def test_a_finished_plan_is_read_once(tmp_path: Path) -> None:
    settings = plan_reads.settings_for(tmp_path, 3)
    plan_reads.make_finished(settings)
    found = plan_reads.in_new_process(plan_reads.again, settings)
    assert (found["run.json"], found["predictions"], found["networks built"]) == (3, 6, 0)


def test_near_copies_are_planted_and_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = rerun.study_file(tmp_path, 1)
    rows = run_main(near_copies, f"--config {config} --each 2", tmp_path, monkeypatch)
    assert {row["kind"] for row in rows} == near_copies.RANGES.keys() - {"gray"}  # the drawn ones are gray
    assert all(row["planted"] == 2 for row in rows)


@pytest.mark.parametrize("step", run_all.STEPS, ids=lambda step: step.name)
def test_each_runs_at_its_smallest(step: run_all.Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if step.name in ("memory", "figures") and not LINUX:
        pytest.skip("anonymous memory is read from Linux's /proc")
    rows = run_main(importlib.import_module(step.name), step.smallest, tmp_path, monkeypatch)
    assert rows and not any(value is None for row in rows for name, value in row.items() if name.endswith(("/s", " s")))


def run_main(script: ModuleType, options: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The rows that a benchmark writes when it is run as a command with these options."""
    monkeypatch.setattr(sys, "argv", [str(script.__file__), *options.split(), "--output", str(folder / "found")])
    script.main()
    return read_json(folder / "found" / f"{script.__name__}.json")["rows"]
