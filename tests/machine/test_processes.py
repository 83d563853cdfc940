"""Promises about the processes of one training: what each takes, and what is refused before they begin."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fer.machine import extras, processes
from fer.machine.processes import ALONE, OutOfStepError, ProcessError, Processes, join, share_of
from fer.settings.settings import Settings
from fer.study.plan import open_study, planned_runs
from fer.study.preflight import refuse_impossible
from utils import InputError

STARTED = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}


@given(st.integers(0, 60), st.integers(1, 9))
def test_shares_are_nearly_equal_and_hold_each_row_once(length: int, count: int) -> None:
    rows = np.arange(length)
    for number, part in enumerate(np.array_split(rows, count)):
        assert rows[share_of(length, number, count)].tolist() == part.tolist()


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as torchrun starts the second of two."""
    for name, value in STARTED.items():
        monkeypatch.setenv(name, value)


def test_a_plain_command_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")  # some batch systems say it to everyone
    assert join("cpu") is ALONE
    assert ALONE.lead(lambda: 3) == 3


def test_without_the_extra_it_is_named(launched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="--extra accelerate"):
        join("cpu")


@pytest.mark.parametrize(("device", "count", "said"), [("cuda:1", 2, "is one GPU"), ("cuda", 1, "has 1 GPUs")])
def test_each_process_needs_a_gpu_of_its_own(
    launched: None, monkeypatch: pytest.MonkeyPatch, device: str, count: int, said: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(InputError, match=said):
        join(device)


def test_the_device_is_the_gpu_of_its_own_number() -> None:
    second = Processes(5, 8, place=1, neighbours=4)
    assert second.device(torch.device("cuda")) == torch.device("cuda", 1)
    assert second.device(torch.device("cpu")) == torch.device("cpu")
    assert ALONE.device(torch.device("cuda")) == torch.device("cuda")


def test_batches_too_small_for_the_processes_are_refused_before_anything_is_trained(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings()
    runs = planned_runs(open_study(settings))
    monkeypatch.setattr(processes, "_joined", Processes(0, 8))
    refuse_impossible(settings, runs)  # 16 pictures: two each
    monkeypatch.setattr(processes, "_joined", Processes(0, 9))
    with pytest.raises(InputError, match='"tiny_plain": a batch of 16 pictures is too small for 9 processes'):
        refuse_impossible(settings, runs)


def test_what_fails_in_step_ends_the_process_unless_all_have_it() -> None:
    second = Processes(1, 2)
    with pytest.raises(OutOfStepError, match=r"process 1 of 2 on .*OSError: the disk is gone"), second.in_step():
        raise OSError("the disk is gone")
    for agreed in (ValueError("all see it"), ProcessError("all know it")):
        with pytest.raises(type(agreed)), Processes(1, 2).in_step(ValueError):
            raise agreed


def test_sent_to_another_process_it_is_that_process(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = pickle.dumps(Processes(0, 2))
    here = Processes(1, 2)
    monkeypatch.setattr(processes, "_joined", here)
    assert pickle.loads(sent) is here
