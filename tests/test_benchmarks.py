"""Promises of the benchmarks: each runs, and its two sides do the same work. No promise about a time."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fer.runs.fit_state import start_state
from fer.settings.settings import PROJECT, load_settings
from utils import read_json

sys.path.append(str(PROJECT / "benchmarks"))

import face_finding
import growth
import harness
import input_pipeline
import made_pictures
import memory
import plain
import plan_reads
import reading
import rerun
import run_all
import training_ceiling
import views

from data_loader import BatchSource, NetworkInput, to_network_input

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


def test_a_report_is_json_with_the_state_of_the_machine(tmp_path: Path) -> None:
    rows = [{"what": "a", "times": 1.23456, "aim": None, "grows by": float("nan")}]
    harness.report("x", "Title", rows, {"images": 3, "output": tmp_path}, tmp_path)
    stored = read_json(tmp_path / "x.json")
    assert stored["rows"] == [{"what": "a", "times": 1.235, "aim": None, "grows by": None}]
    assert {"cores", "threads", "load_1_minute", "torch"} <= stored["machine"].keys()


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize(("kind", "size", "mode"), [("RAF-like 100 px", 100, "RGB"), ("FER2013-like 48 px", 48, "L")])
def test_made_crops_are_like_their_dataset_and_all_different(tmp_path: Path, kind: str, size: int, mode: str) -> None:
    pictures = made_pictures.KINDS[kind](tmp_path, 15)
    opened = [Image.open(pictures.root / path) for path in pictures.files["path"]]
    assert {(p.size, p.mode) for p in opened} == {((size, size), mode)}
    assert len({p.tobytes() for p in opened}) == len(pictures) == 15


def test_made_boxes_lie_in_their_photos(tmp_path: Path) -> None:
    pictures = made_pictures.expw_like(tmp_path, 8)
    assert len(pictures) == 8
    for path, _, left, top, right, bottom in pictures.files.itertuples(index=False):
        width, height = Image.open(pictures.root / path).size
        assert left < min(right, width)
        assert top < min(bottom, height)


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


def test_the_same_list_changes_every_picture(tmp_path: Path) -> None:
    pictures = made_pictures.fer2013_like(tmp_path, 8)
    faces = input_pipeline.packed(pictures, tmp_path / "cache")
    source = input_pipeline.SameListSource(faces, 8, 1, augmentation=input_pipeline.DEFAULT)
    (changed, _), *_ = source[(0, 0)]
    (as_packed, _), *_ = BatchSource(faces, 8)[(0, 0)]
    assert all(not torch.equal(a, b) for a, b in zip(changed, as_packed, strict=True))


@pytest.mark.slow
def test_input_pipeline_measures_every_list_and_worker_count() -> None:
    rows = input_pipeline.run({"images": 8, "rounds": 1, "batch": 8, "workers": [0, 1]})
    found = {(row["pictures"], row["list"], row["workers"]) for row in rows}
    assert found == {(k, name, n) for k in made_pictures.KINDS for name in ("own default", "same list") for n in (0, 1)}
    assert all(row["ours/s"] > 0 and row["theirs/s"] > 0 for row in rows)


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
    rows = training_ceiling.run({"rounds": 1, "workers": [0]}, (case,))
    assert [(row["network"], row["workers"], row["aim"]) for row in rows] == [("tiny_plain", 0, None)]


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


def test_views_measure_every_network_and_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "SIDE", 32)
    monkeypatch.setattr(views, "NETWORKS", (("tiny_plain", 16),))
    first, second = views.run({"images": 6, "rounds": 1, "batch": 4})
    assert [row["network"] for row in first] == ["tiny_plain"]
    assert [row["pictures"] for row in second] == list(made_pictures.KINDS)


@pytest.mark.slow
def test_both_sides_find_the_same_faces(tmp_path: Path) -> None:
    tasks = face_finding.tasks_of(made_pictures.photos(tmp_path, 3))
    with ThreadPoolExecutor(2) as pool:
        rows = face_finding.measure("photos", tasks, pool, 2, 1)  # type: ignore[arg-type]
    assert [row["processes"] for row in rows] == ["1", "2"]
    assert all(row["found by ours"] == row["by theirs"] == 3 for row in rows)
    assert rows[0]["IoU 0.95"] == 1.0
    assert rows[0]["eyes apart"] < 0.05


# ---------------------------------------------------------------- stages


@pytest.mark.slow
def test_reading_counts_every_file() -> None:
    rows = reading.run({"images": 140, "rounds": 1, "again": 1, "fer2013": None})
    assert [(row["what"], row["files"]) for row in rows] == [("first", 140), ("again", 140)]


@pytest.mark.slow
def test_growth_measures_every_stage_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(growth.pipeline, "report", lambda *arguments: reported.append(arguments))
    rows = growth.run({"images": 98, "times": [1]})
    assert {"read", "prepare", "plan", "train, score", "tables, figures"} <= {row["stage"] for row in rows}
    assert len(reported) == 2
    assert growth._row("x", [harness.Round(1, 1, 1), harness.Round(1, 3, 3)], [1, 3])["grows by"] == pytest.approx(1)
    assert not growth._row("x", [harness.Round(1, 1, 1), harness.Round(1, 9, 9)], [1, 3])["reached"]


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="anonymous memory is read from Linux's /proc")
def test_memory_sees_what_is_held_and_not_what_is_mapped(tmp_path: Path) -> None:
    before, watch = memory.anonymous_mb(os.getpid()), memory.Watch()
    held = watch.over(lambda: np.ones(60_000_000, dtype=np.uint8))
    assert 50 < watch.main - before < 120
    del held
    np.save(tmp_path / "mapped.npy", np.ones(60_000_000, dtype=np.uint8))
    before, watch = memory.anonymous_mb(os.getpid()), memory.Watch()
    watch.over(lambda: int(np.load(tmp_path / "mapped.npy", mmap_mode="r").sum()))
    assert watch.main - before < 30


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="anonymous memory is read from Linux's /proc")
def test_memory_measures_main_and_workers_of_every_stage(tmp_path: Path) -> None:
    dataset = made_pictures.class_folders(tmp_path / "dataset", 98)
    rows = {row["stage"]: row for row in memory.measure(memory.settings_for(dataset, tmp_path / "out"))}
    assert {"read", "prepare", "plan", "extras, pack", "train", "evaluate"} <= rows.keys()
    assert all(row["main MB"] > 10 for row in rows.values())
    assert rows["train"]["worker MB"] > 1


@pytest.mark.slow
def test_the_study_that_is_rerun_has_36_runs(tmp_path: Path) -> None:
    path = rerun.study_file(tmp_path, 6)
    settings = load_settings(path, [])
    assert 3 * len(settings.models) * len(settings.seeds) == 36
    found = rerun.once("--config", str(path), "--plan")
    assert found["code"] == 0


@pytest.mark.slow
def test_a_finished_plan_is_read_once(tmp_path: Path) -> None:
    settings = plan_reads.settings_for(tmp_path, 3)
    plan_reads.make_finished(settings)
    found = plan_reads.in_new_process(plan_reads.again, settings)
    assert (found["run.json"], found["predictions"], found["networks built"]) == (3, 6, 0)


def test_run_all_names_scripts_that_exist() -> None:
    for name, *_ in run_all.STEPS:
        assert (PROJECT / "benchmarks" / f"{name}.py").is_file()
