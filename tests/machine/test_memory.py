"""Promises about memory: the peak is each run's own, and running out is recognised."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fer.machine.memory import PeakMemory, fitting_size, is_out_of_memory, lost_worker, note_fitting_size

MIB = 2**20


def grown_by(megabytes: int) -> float:
    with PeakMemory(torch.device("cpu")) as memory:
        block = np.ones(megabytes * MIB, dtype=np.uint8)
        time.sleep(0.3)
        del block
        time.sleep(0.1)
    return memory.ram_mb


@pytest.mark.slow
def test_a_small_run_after_a_large_one_has_its_own_peak() -> None:
    assert 230 < grown_by(256) < 330
    assert grown_by(32) < 90


@pytest.mark.slow
def test_the_peak_of_the_gpu_starts_anew_with_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch counts since the start of the process, or since it was told to forget."""
    peak = {"bytes": 900 * MIB}
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: peak.update(bytes=0))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: peak["bytes"])
    with PeakMemory(torch.device("cuda")) as memory:
        peak["bytes"] = max(peak["bytes"], 100 * MIB)
        assert memory.gpu_mb == 100
    assert PeakMemory(torch.device("cpu")).gpu_mb is None


def test_what_says_that_memory_ran_out() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_killed_worker_is_told_from_other_errors() -> None:
    killed = RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed. ")
    assert lost_worker(killed) == "DataLoader worker (pid 4711) is killed by signal: Killed"
    assert "4711" in lost_worker(RuntimeError("DataLoader worker (pid(s) 4711) exited unexpectedly"))
    assert "process 1" in lost_worker(MemoryError("Caught MemoryError in DataLoader worker process 1."))
    assert not lost_worker(ValueError("Caught ValueError in DataLoader worker process 1."))
    assert not lost_worker(RuntimeError("CUDA error"))


def test_what_fitted_is_kept_and_a_damaged_file_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "fits" / "gpu.json"
    assert fitting_size(path, "a") is None
    note_fitting_size(path, "a", 8)
    note_fitting_size(path, "b", 4)
    assert (fitting_size(path, "a"), fitting_size(path, "b")) == (8, 4)
    path.write_text("{")
    assert fitting_size(path, "a") is None
    assert str(path) in caplog.text
    assert fitting_size(None, "a") is None
