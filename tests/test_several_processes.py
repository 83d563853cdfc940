"""Promises about a training over several processes: it is the training of one, whoever does which part of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from several_processes import fit_here, losses_of, store_job, torchrun, two_fit

import main as program
import training
from evaluation import load_predictions
from fer.networks.local_weights import tensors_of
from fer.runs.job import Job, Machine
from fer.settings.settings import Settings
from fer.study.plan import open_study, planned_runs, training_samples
from fer.study.variants import training_faces
from model_utils import load_state

TIMED = ["seconds", "images_per_second", "peak_ram_mb"]
STRONG = {"kind": "strong", "strength": 1.0, "probability": 0.8}


def job_of(settings: Settings, changes: dict[str, Any], rows_to_validate: int | None = None) -> Job:
    """The first run of the plan with other hyperparameters, ready to be fitted anywhere."""
    study = open_study(settings)
    planned = planned_runs(study)[0]
    steady = {"optimizer": "sgd", "learning_rate": 0.05}  # Adam makes a step of any gradient, also of rounding
    run = replace(planned.run, hyper=replace(planned.run.hyper, **(steady | changes)))
    samples = training_samples(study, run.train_on)
    train, validation, _ = training_faces(study.datasets, samples, run, settings)
    validation = {name: faces.take(np.arange(len(faces))[:rows_to_validate]) for name, faces in validation.items()}
    assert len(train) % run.hyper.batch_size % 2, "batches and shares are uneven"
    return Job(run, train, validation, None, Machine(torch.device("cpu")), settings.models[run.model], None)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return tensors_of(load_state(folder / "weights.pth"))


def same(first: Path, second: Path) -> bool:
    """Whether two trainings took the same way: every epoch's scores, and the weights at its end."""
    histories = [pd.read_csv(folder / "history.csv").drop(columns=TIMED) for folder in (first, second)]
    pd.testing.assert_frame_equal(*histories, atol=1e-4, rtol=1e-4, check_dtype=False)
    ours, theirs = weights_of(first), weights_of(second)
    return all(torch.allclose(ours[name].float(), theirs[name].float(), atol=1e-4) for name in ours)


VARIED: dict[str, dict[str, Any]] = {
    "plain": {"epochs": 3},
    "augmented": {"augmentation": STRONG, "gradient_clip": 1.0, "ema_decay": 0.5, "schedule": "onecycle"},
    # One epoch: at 12 pixels a maximum soon turns, and rounding becomes 1e-4 of a loss, within one process too.
    "by_batch": {"augmentation": STRONG, "augment_engine": "batch", "train_sizes": ((0.5, 12),), "epochs": 1},
    "mixed": {"mixup": 0.4, "cutmix": 1.0, "label_smoothing": 0.1},
    "thawing": {"stages": (
        {"epochs": 1, "freeze": "backbone", "learning_rate": 0.05},
        {"epochs": 1, "freeze": "none", "learning_rate": 0.02},
    )},
}  # fmt: skip


@pytest.mark.slow
def test_two_processes_train_as_one(tiny_settings: Callable[..., Settings], tmp_path: Path) -> None:
    """Loss by loss, with BatchNorm, uneven shares, and once fewer faces to validate than processes."""
    settings = tiny_settings()
    jobs = {name: job_of(settings, {"epochs": 2} | changes) for name, changes in VARIED.items()}
    jobs["lonely"] = job_of(settings, {"epochs": 1}, rows_to_validate=1)
    jobs["apart"] = job_of(settings, {"epochs": 1, "sync_batch_norm": False})
    for name, job in jobs.items():
        fit_here(store_job(job, tmp_path / "one" / name))
        store_job(job, tmp_path / "two" / name)
    done = two_fit(tmp_path / "two")
    assert done.returncode == 0, done.stderr
    one, two = ({name: losses_of(tmp_path / count / name) for name in jobs} for count in ("one", "two"))
    assert max(np.abs(np.subtract(one["apart"], two["apart"]))) > 1e-3  # each its own statistics: another training
    for name in jobs.keys() - {"apart"}:
        assert len(one[name]) == jobs[name].run.hyper.epochs * len(jobs[name].source)
        assert one[name] == pytest.approx(two[name], abs=1e-5), name
        assert same(tmp_path / "one" / name, tmp_path / "two" / name), name


@pytest.mark.slow
def test_a_training_goes_on_with_another_number_of_processes(
    tiny_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tiny_settings(), {"epochs": 3})
    whole, begun_by_two, begun_by_one = (
        store_job(job, tmp_path / name / "run") for name in ("whole", "begun_by_two", "begun_by_one")
    )
    fit_here(whole)
    assert two_fit(begun_by_two.parent, "killed").returncode != 0
    fit_here(begun_by_two)
    with monkeypatch.context() as patch:
        save = training.save_checkpoint

        def save_and_stop(*given: Any) -> None:
            save(*given)
            raise KeyboardInterrupt

        patch.setattr(training, "save_checkpoint", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            fit_here(begun_by_one)
    done = two_fit(begun_by_one.parent)
    assert done.returncode == 0, done.stderr
    steps = len(job.source)
    for folder in (begun_by_two, begun_by_one):
        assert losses_of(folder) == pytest.approx(losses_of(whole)[steps:], abs=1e-5)  # the first epoch is not repeated
        assert same(whole, folder)


@pytest.mark.slow
def test_what_fails_in_one_process_ends_all_and_is_named(
    tiny_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    store_job(job_of(tiny_settings(), {"epochs": 2}), tmp_path / "run")
    done = two_fit(tmp_path, "error")
    assert done.returncode == 1
    assert "process 1 of 2" in done.stderr and "OSError: the pack is gone" in done.stderr


@pytest.mark.slow
def test_processes_that_run_out_of_memory_start_again_with_smaller_parts(
    tiny_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """One of them alone has no room; all of them agree on the size that it notes."""
    folder = store_job(job_of(tiny_settings(), {"epochs": 1}), tmp_path / "run")
    done = two_fit(tmp_path, "memory", "--max-restarts", "1")
    assert done.returncode == 0, done.stderr
    assert "memory ran out with 16 pictures at a time over all processes" in done.stderr
    assert json.loads((folder / "facts.json").read_text())["micro_batch"] == 8


@pytest.mark.slow
def test_a_study_by_torchrun_is_found_finished_by_one_process(
    tiny_settings: Callable[..., Settings], arguments: Callable[[Settings], list[str]], tmp_path: Path
) -> None:
    settings = tiny_settings(OPTIMIZER="sgd", LEARNING_RATE=0.05)
    done = torchrun(["main.py", *arguments(settings)])
    assert done.returncode == 0, done.stderr
    assert len(list(settings.output_path.glob("execution_log_*.txt"))) == 1  # the main process alone
    two = stamps_and_answers(settings)
    assert program.main(arguments(settings)) == 0
    assert stamps_and_answers(settings).keys() == two.keys()
    assert all(before[0] == stamps_and_answers(settings)[name][0] for name, before in two.items())
    again = tiny_settings(OPTIMIZER="sgd", LEARNING_RATE=0.05, OUTPUT_DIR=str(tmp_path / "one"))
    assert program.main(arguments(again)) == 0
    one = stamps_and_answers(again)
    assert one.keys() == two.keys()  # runs of the same keys, the same predictions
    for name, (_, ids, probabilities) in one.items():
        assert ids.tolist() == two[name][1].tolist(), name  # each row once, in its place
        assert np.allclose(probabilities, two[name][2], atol=1e-4), name


def stamps_and_answers(settings: Settings) -> dict[str, tuple[int, np.ndarray, np.ndarray]]:
    """Of every file of predictions: when it was written, its rows, their probabilities."""
    models = settings.output_path / "saved_models"
    return {
        str(path.relative_to(models)): (path.stat().st_mtime_ns, found.sample_ids, found.probabilities)
        for path in sorted(models.glob("*/predictions/*.npz"))
        if (found := load_predictions(path)) is not None
    }
