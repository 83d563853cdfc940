"""Promises of the four methods: they learn from drawn faces, and go on where they were stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fer.pretraining.self_supervised as self_supervised
from data_loader import FaceRows
from fer.columns.files import PRETRAINING_HISTORY
from fer.pretraining.methods import METHODS
from fer.pretraining.self_supervised import Task, pretrain, rate_at
from fer.runs.run import Run
from fer.settings.settings import ModelRow, Settings
from fer.study.plan import _told, open_study
from fer.study.variants import scored_faces
from model_utils import load_state
from training import Machine
from utils import InputError, read_csv

pytest.importorskip("lightly")
CPU = Machine(torch.device("cpu"))


@pytest.fixture
def faces(tiny_settings: Callable[..., Settings]) -> FaceRows:
    settings = tiny_settings()
    return scored_faces(open_study(settings).datasets["alpha"], "train", "raw", 16, settings)


def task(settings: Settings, method: str, epochs: int = 3, **changes: Any) -> Task:
    row = ModelRow(batch_size=16, weights=None, input_size=16, channels=1, architecture="tiny_plain")
    hyper = _told(settings, "raw", "tiny_plain", row, settings, None)
    hyper = replace(hyper, **({"epochs": epochs, "learning_rate": 0.02, "weight_decay": 5e-4} | changes))
    run = Run(("alpha",), "raw", "tiny_plain", 0, "official", "none", "natural", "last", hyper)
    return Task("faces", method, 0.5, run, row)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls_and_faces_stay_apart(
    method: str, faces: FaceRows, tiny_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    pretrain(task(tiny_settings(), method, epochs=12), faces, tmp_path, CPU)
    history = read_csv(tmp_path / "history.csv")
    assert tuple(history.columns) == PRETRAINING_HISTORY
    assert history["loss"].iloc[-3:].mean() < history["loss"].iloc[0]
    assert history["feature_spread"].iloc[-1] > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_continued_is_the_same_bit_for_bit(
    method: str,
    faces: FaceRows,
    tiny_settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = task(tiny_settings(), method, epochs=4)
    pretrain(asked, faces, tmp_path / "whole", CPU)
    monkeypatch.setattr(self_supervised, "_say", stop_in_epoch(3))
    with pytest.raises(KeyboardInterrupt):
        pretrain(asked, faces, tmp_path / "stopped", CPU)
    monkeypatch.undo()
    torch.rand(7)  # draws in between must not matter
    pretrain(asked, faces, tmp_path / "stopped", CPU)
    whole, stopped = (load_state(tmp_path / name / "weights.pth")["state_dict"] for name in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
    losses = [read_csv(tmp_path / name / "history.csv")["loss"].tolist() for name in ("whole", "stopped")]
    assert losses[0] == losses[1] and len(losses[0]) == 4


def stop_in_epoch(number: int) -> Callable[..., None]:
    def say(_: Task, state: self_supervised.State) -> None:
        if state.epoch == number:
            raise KeyboardInterrupt

    return say


@pytest.mark.slow
def test_a_checkpoint_of_other_rows_is_not_continued(
    faces: FaceRows, tiny_settings: Callable[..., Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked = task(tiny_settings(), "simsiam", epochs=2)
    monkeypatch.setattr(self_supervised, "_say", stop_in_epoch(2))
    with pytest.raises(KeyboardInterrupt):
        pretrain(asked, faces, tmp_path, CPU)
    monkeypatch.undo()
    pretrain(asked, faces.take(torch.arange(40).numpy()), tmp_path, CPU)
    assert "another pretraining or other rows" in caplog.text
    assert len(read_csv(tmp_path / "history.csv")) == 2


@pytest.mark.slow
def test_memory_that_runs_out_names_the_value_to_lower(
    faces: FaceRows, tiny_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(self_supervised, "_step", full)
    with pytest.raises(InputError, match=r'PRETRAININGS "faces": 16 pictures at a time .* Lower its "batch_size"'):
        pretrain(task(tiny_settings(), "simclr"), faces, tmp_path, CPU)


def test_the_rate_rises_then_falls_to_zero() -> None:
    assert rate_at(0) == 0 and rate_at(0.05) == 0.5 and rate_at(0.1) == 1
    assert abs(rate_at(0.55) - 0.5) < 1e-12 and rate_at(1.0) < 1e-12
