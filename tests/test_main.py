"""Promises of the command line, end to end on tiny drawn pictures: reruns, kills, bad input, other folders."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from fer.networks.local_weights import tensors_of
from fer.runs.run import run_lock
from fer.settings.settings import PROJECT, Settings
from main import main
from model_utils import load_state
from utils import InputError


@pytest.fixture
def study_file(tiny_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a study file over tiny drawn datasets and returns its path."""

    def write(*names: str, **changes: Any) -> Path:
        settings = tiny_settings(*names, **changes)
        path = tmp_path / "study.py"
        lines = [f"{name} = {value!r}" for name, value in settings.describe().items()]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def output_of(study: Path) -> Path:
    return study.parent / "out"


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file but logs and locks."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".txt", ".lock") and path.name != "study.json"
    }


def figures_of(output: Path) -> set[str]:
    """The figures that the report lists, and the audit's sheets."""
    listed = [json.loads((output / "cache" / name).read_text()) for name in ("figures.json", "picture_figures.json")]
    sheets = {path.relative_to(output).as_posix() for path in (output / "audit").glob("*.png")}
    return {name for names in listed for name in names} | sheets


def run(study: Path, *arguments: str) -> int:
    return main(["--config", str(study), *arguments])


@pytest.mark.slow
def test_prepare_makes_every_picture_a_training_needs_and_no_network(study_file: Callable[..., Path]) -> None:
    changes = {"VARIANTS": ("raw", "augmented"), "EXPERIMENTS": ("individual", "combined"), "TEST_VARIANTS": ("raw",)}
    study = study_file("alpha", "beta", **changes)
    output, prepared = output_of(study), study.parent / "prepared"
    assert run(study, "--prepare") == 0
    assert not list(output.glob("saved_models/*/*"))
    assert {"class_distributions/all_dist_original.png", "sample_grids/alpha_samples.png"} <= figures_of(output)
    assert (output / "report.html").is_file()
    before = [snapshot(folder) for folder in (output / "cache" / "packed", prepared)]
    assert all(before)
    assert run(study) == 0
    assert [snapshot(folder) for folder in (output / "cache" / "packed", prepared)] == before


@pytest.mark.slow
def test_from_pictures_to_results_and_a_rerun_repeats_nothing(study_file: Callable[..., Path]) -> None:
    study = study_file("alpha", "beta", VARIANTS=("raw", "augmented"), EXPERIMENTS=("individual", "combined"))
    assert run(study) == 0
    output = output_of(study)
    results = pd.read_csv(output / "results.csv")
    trained = results[results["model"] == "tiny_plain"]
    assert len(trained) == 6 * 2 * 2 + 2 * 2  # runs × test sets × TTA policies, and the union for combined runs
    assert not trained.duplicated(["run", "test_on", "test_variant", "tta"]).any()
    assert set(trained["n_test"]) == {28, 56}
    for name in json.loads((output / "study.json").read_text())["runs"]:
        folder = output / "saved_models" / name
        assert {path.name for path in folder.iterdir()} >= {
            "weights.pth",
            "run.json",
            "history.csv",
            "predictions",
        }
        assert not (folder / "checkpoint.pth").exists()
    drawn = {path.relative_to(output).as_posix() for path in output.rglob("*.png")}
    assert {"sample_grids/alpha_samples.png", "eda/selection_funnel.png", "eda/picture_properties.png",
            "cross_dataset/cross_dataset_evaluation.png"} <= drawn  # fmt: skip
    assert any(name.startswith("mistakes/beta_from_") for name in drawn)
    assert drawn == figures_of(output)
    for folder in (output, output.parent / "prepared"):
        assert {path.parent for path in folder.rglob("*.lock")} == {folder / ".locks"}
    before = snapshot(output)
    assert run(study) == 0
    assert snapshot(output) == before


@pytest.mark.slow
def test_each_run_counts_once_on_each_test_set(study_file: Callable[..., Path]) -> None:
    study = study_file("alpha", "beta")
    run(study)
    run(study)
    reads = pd.read_csv(output_of(study) / "test_reads.csv")
    assert reads.groupby("test_on").size().to_dict() == {"alpha": 2, "beta": 2}


@pytest.mark.slow
def test_searching_without_the_test_set_never_scores_it(study_file: Callable[..., Path]) -> None:
    study = study_file(EVALUATE_TEST=False)
    assert run(study) == 0
    output = output_of(study)
    assert not (output / "test_reads.csv").exists()
    assert not list(output.rglob("*__test__*.npz"))
    assert len(pd.read_csv(output / "validation_results.csv")) > 0


@pytest.mark.slow
def test_deleting_a_folder_repeats_exactly_that(study_file: Callable[..., Path]) -> None:
    study = study_file("alpha", "beta")
    run(study)
    output = output_of(study)
    first = (output / "results.csv").read_text()
    victim, other = sorted((output / "saved_models").iterdir())
    kept = snapshot(other)
    weights = tensors_of(torch.load(victim / "weights.pth", weights_only=True))
    shutil.rmtree(victim)
    run(study)
    assert snapshot(other) == kept
    again = tensors_of(torch.load(victim / "weights.pth", weights_only=True))
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    timing = ["train_seconds", "images_per_second", "peak_gpu_mb", "peak_ram_mb", "latency_ms"]
    fresh = pd.read_csv(output / "results.csv").drop(columns=timing)
    pd.testing.assert_frame_equal(fresh, pd.read_csv(pd.io.common.StringIO(first)).drop(columns=timing))


@pytest.mark.slow
def test_changing_a_value_back_finds_the_old_weights(study_file: Callable[..., Path], capsys: Any) -> None:
    study = study_file()
    run(study)
    run(study, "--set", "EPOCHS=1")
    assert len(list((output_of(study) / "saved_models").iterdir())) == 2
    before = snapshot(output_of(study) / "saved_models")
    assert run(study) == 0
    assert snapshot(output_of(study) / "saved_models") == before
    assert len(json.loads((output_of(study) / "study.json").read_text())["runs"]) == 1


@pytest.mark.slow
def test_plan_and_check_train_nothing_and_import_no_torch(study_file: Callable[..., Path]) -> None:
    study = study_file("alpha", "beta")
    run(study)
    code = (
        "import sys; from main import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'timm', 'albumentations', 'matplotlib'} & set(sys.modules); "
        "print('HEAVY', heavy); sys.exit(code)"
    )
    for argument in ("--plan", "--check", "--no-train", None):
        command = [sys.executable, "-c", code, "--config", str(study), *([argument] if argument else [])]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "HEAVY set()" in done.stdout
    before = snapshot(output_of(study))
    run(study, "--check")
    assert snapshot(output_of(study)) == before


@pytest.mark.slow
@pytest.mark.parametrize("experiments", [("individual", "combined"), ("leave_one_out",)])
def test_one_active_dataset_is_never_refused(
    study_file: Callable[..., Path], capfd: pytest.CaptureFixture, experiments: tuple[str, ...]
) -> None:
    study = study_file(EXPERIMENTS=experiments, EPOCHS=1)
    for argument in ("--check", "--audit", "--plan", "--no-train", None, "--report"):
        assert run(study, *([argument] if argument else [])) == 0, argument
        said = capfd.readouterr()
        told = argument in ("--check", "--audit")  # what reads the data says it once a study
        assert (said.out + said.err).count("nothing to do for") == told, argument


def test_check_on_a_fresh_study_writes_nothing(study_file: Callable[..., Path]) -> None:
    study = study_file()
    assert run(study, "--check") == 0
    assert not output_of(study).exists()


@pytest.mark.slow
def test_it_works_from_any_working_directory(study_file: Callable[..., Path], tmp_path: Path) -> None:
    study = study_file()
    done = subprocess.run(
        [sys.executable, str(PROJECT / "main.py"), "--config", study.name],
        cwd=study.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (output_of(study) / "results.csv").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0, 1, 2])
def test_killed_at_a_random_moment_it_resumes_to_the_same_weights(
    study_file: Callable[..., Path], tmp_path: Path, moment: int
) -> None:
    study = study_file(EPOCHS=30, PATIENCE=None, VARIANTS=("augmented",))
    command = [sys.executable, str(PROJECT / "main.py"), "--config", str(study)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    models = output_of(study) / "saved_models"
    deadline = time.monotonic() + 120
    while not list(models.rglob("checkpoint.pth")):  # the first epoch is done: from here on, any moment
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(random.Random(moment).uniform(0, 1.2))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert run(study) == 0
    (folder,) = models.iterdir()
    resumed = tensors_of(torch.load(folder / "weights.pth", weights_only=True))
    shutil.rmtree(folder)
    assert run(study) == 0
    whole = tensors_of(torch.load(folder / "weights.pth", weights_only=True))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


@pytest.mark.slow
def test_no_train_scores_what_is_there_and_lists_what_is_missing(study_file: Callable[..., Path], caplog: Any) -> None:
    study = study_file("alpha", "beta")
    run(study)
    models = output_of(study) / "saved_models"
    scored, gone = sorted(models.iterdir())
    shutil.rmtree(scored / "predictions")
    shutil.rmtree(gone)
    assert run(study, "--no-train") == 0
    assert list((scored / "predictions").iterdir())
    assert not gone.exists() or not (gone / "run.json").exists()
    log_file = max(output_of(study).glob("execution_log_*.txt"))
    assert gone.name in log_file.read_text()


@pytest.mark.slow
def test_a_failed_run_does_not_stop_the_others_and_the_exit_code_says_so(
    study_file: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "weights.pth").write_bytes(b"none")
    row = {"batch_size": 16, "weights": None, "input_size": 16, "channels": 1}
    broken = {"architecture": "tiny_plain", "weights_file": str(tmp_path / "weights.pth")}
    study = study_file(MODEL_CONFIG={"broken": row | broken, "tiny_plain": row})
    assert run(study) == 1
    failed = list((output_of(study) / "saved_models").glob("*__broken__*/failed.txt"))
    assert len(failed) == 1
    assert "weights.pth" in failed[0].read_text()
    assert (pd.read_csv(output_of(study) / "results.csv")["model"] == "tiny_plain").any()


@pytest.mark.slow
def test_a_run_held_by_another_process_is_left_to_it(study_file: Callable[..., Path]) -> None:
    study = study_file("alpha", "beta", EPOCHS=1)
    run(study)
    victim = sorted((output_of(study) / "saved_models").iterdir())[0]
    shutil.rmtree(victim)
    victim.mkdir()
    other = run_lock(victim)
    other.acquire()
    command = [sys.executable, str(PROJECT / "main.py"), "--config", str(study)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "another process" in line:
            break
    assert not (victim / "weights.pth").exists()
    other.release()
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert (victim / "run.json").is_file()


def test_missing_datasets_are_all_named_before_any_work(study_file: Callable[..., Path], capsys: Any) -> None:
    study = study_file("alpha", "beta")
    shutil.rmtree(study.parent / "in")
    assert run(study) == 2
    said = capsys.readouterr().err
    assert "alpha" in said and "beta" in said and "ACTIVE_DATASETS" in said
    assert not (output_of(study) / "saved_models").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output_folder_is_named(study_file: Callable[..., Path], capsys: Any) -> None:
    study = study_file()
    output_of(study).mkdir(mode=0o500)
    assert run(study) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_an_output_folder_that_is_a_file_is_named(study_file: Callable[..., Path], capsys: Any) -> None:
    study = study_file()
    output_of(study).write_text("in the way")
    assert run(study) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.slow
def test_a_full_disk_stops_with_a_clear_word_and_keeps_what_is_finished(
    study_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import model_utils

    study = study_file("alpha", "beta")
    save, calls = model_utils.torch.save, []

    def full(state: Any, stream: Any) -> None:
        calls.append(1)
        if len(calls) > 5:
            stream.error = OSError(28, "No space left on device")
            raise RuntimeError("PytorchStreamWriter failed writing file data/1")  # what torch makes of it
        save(state, stream)

    monkeypatch.setattr(model_utils.torch, "save", full)
    assert run(study) == 1
    said = capsys.readouterr().err
    assert re.search(r"disk full: \S+\.pth needs more than [\d.]+ MB, [\d.]+ MB are free", said)
    assert "What is finished is kept" in said
    assert "Traceback" not in said
    assert len(list((output_of(study) / "saved_models").rglob("run.json"))) == 1
    assert not list(output_of(study).rglob(".partial-*"))


@pytest.mark.slow
def test_damaged_predictions_are_made_again(study_file: Callable[..., Path]) -> None:
    study = study_file()
    run(study)
    first = (output_of(study) / "results.csv").read_bytes()
    (victim, *_) = output_of(study).rglob("*__test__*.npz")
    victim.write_bytes(victim.read_bytes()[:100])
    assert run(study) == 0
    assert (output_of(study) / "results.csv").read_bytes() == first


@pytest.mark.slow
def test_weights_that_would_run_code_fail_that_run_only(study_file: Callable[..., Path], tmp_path: Path) -> None:
    study = study_file("alpha", "beta")
    run(study)
    (victim, _) = sorted((output_of(study) / "saved_models").iterdir())
    shutil.rmtree(victim / "predictions")
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple:
            return marker.write_text, ("code ran",)

    torch.save(Hostile(), victim / "weights.pth")
    assert run(study) == 1
    assert "was changed" in (victim / "failed.txt").read_text()
    with pytest.raises(InputError, match="could run code"):
        load_state(victim / "weights.pth")
    assert not marker.exists()


@pytest.mark.slow
def test_ctrl_c_says_what_to_do(study_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import training

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_one_epoch", interrupt)
    assert run(study_file()) == 130
    assert "same command" in capsys.readouterr().err


def test_empty_datasets_folder_means_the_demo(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import argparse

    import main as program

    arguments = argparse.Namespace(demo=False, config=None, report=None, set=[f"DATASETS_DIR={tmp_path}"])
    chosen = program.choose_config(arguments)
    if any((PROJECT / "datasets").glob("[!.]*")):
        pytest.skip("this checkout has datasets of its own")
    assert chosen == program.DEMO
    assert "SAMPLE FACES" in caplog.text
