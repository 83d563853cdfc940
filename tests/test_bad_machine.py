"""Promises for machines that misbehave: odd worker counts, no shared memory, a lost GPU, files that vanish."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import data_loader
import fer.runs.fit_state as fit_state
import fer.runs.trained_network as trained_network
import training
from data_loader import BatchSource, FaceRows, make_loader
from evaluation import predict
from fer.faces.packs import Pack
from fer.networks.local_weights import tensors_of
from fer.settings.settings import PROJECT, Settings
from fer.study.execution import execute
from fer.study.plan import Study, open_study, planned_runs
from fer.study.variants import training_faces
from model_utils import load_state
from utils import InputError, read_json

pytestmark = pytest.mark.slow  # processes that are started, lost and waited for
STRONG = {"kind": "strong", "strength": 1.0, "probability": 0.8}


def faces_of(folder: Path, count: int, side: int = 16) -> FaceRows:
    pixels = np.random.default_rng(count).integers(0, 256, (count, side, side, 1), dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "pack.npy", pixels)
    pack = Pack(folder / "pack.npy", pixels.shape)
    return FaceRows.from_pack(pack, np.arange(count), np.arange(count) % 7, [str(i) for i in range(count)])


def drawn(source: BatchSource, workers: int) -> list[torch.Tensor]:
    return [pixels for chunks in make_loader(source, workers) for pixels, _ in chunks]


# ---------------------------------------------------------------- workers and batches


@pytest.mark.parametrize("workers", [0, 1, 5, 200])
def test_any_number_of_workers_gives_the_same_batches(tmp_path: Path, workers: int) -> None:
    """None, more than cores, more than batches, more than samples."""
    source = BatchSource(faces_of(tmp_path, 21), 5, seed=3, shuffle=True, augmentation=STRONG)
    loader = make_loader(source, workers)
    assert loader.num_workers == min(workers, 5)
    expected = [pixels for i in range(5) for pixels, _ in source[(0, i)]]
    assert all(torch.equal(a, b) for a, b in zip(drawn(source, workers), expected, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_larger_than_the_data_trains(tiny_settings: Callable[..., Settings], workers: int) -> None:
    row = {"batch_size": 5000, "weights": None, "input_size": 16, "channels": 1}
    study = open_study(tiny_settings(MODEL_CONFIG={"tiny_plain": row}, WORKERS=workers))
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    assert all(planned.finished for planned in runs)


def test_without_room_in_shared_memory_fewer_workers_start_and_a_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = BatchSource(faces_of(tmp_path, 40), 10)
    monkeypatch.setattr(data_loader, "SHARED_MEMORY", tmp_path)
    room = data_loader.BATCHES_UNDER_WAY * source.batch_bytes
    for free, started in ((room - 1, 0), (room, 1), (3 * room, 3), (100 * room, 4)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: shutil._ntuple_diskusage(0, 0, free))
        caplog.clear()
        with caplog.at_level("WARNING", logger="fer"):
            assert make_loader(source, 4).num_workers == started
        assert ("--shm-size" in caplog.text) == (started < 4)


def _may_mount() -> bool:
    """Whether this user may give a process a /dev/shm of its own."""
    if not shutil.which("unshare"):
        return False
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/dev/shm"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="a /dev/shm of its own needs Linux and the right to mount")
def test_a_really_small_shared_memory_kills_nobody(tmp_path: Path) -> None:
    faces_of(tmp_path, 64, side=128)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy as np; from pathlib import Path\n"
        "from data_loader import BatchSource, FaceRows, Pack, make_loader\n"
        "pack = Pack(Path(sys.argv[2]) / 'pack.npy', (64, 128, 128, 1))\n"
        "faces = FaceRows.from_pack(pack, np.arange(64), np.arange(64) % 7, ['x'] * 64)\n"
        "print(sum(int(p.sum()) for c in make_loader(BatchSource(faces, 16), 2) for p, _ in c))"
    )
    inside = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$0" -c "$1" "$2" "$3"'
    command = ["unshare", "-m", "sh", "-c", inside, sys.executable, code, str(PROJECT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == int(np.load(tmp_path / "pack.npy").sum())


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pack_removed_before_it_is_opened_is_named(tmp_path: Path, workers: int) -> None:
    source = BatchSource(faces_of(tmp_path, 12), 4)
    (tmp_path / "pack.npy").unlink()
    with pytest.raises(InputError, match="removed while in use"):
        drawn(source, workers)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let a mapped file go")
def test_a_pack_removed_while_mapped_is_read_to_the_end(tmp_path: Path) -> None:
    source = BatchSource(faces_of(tmp_path, 12), 4)
    expected = drawn(source, 0)
    (tmp_path / "pack.npy").unlink()
    assert all(torch.equal(a, b) for a, b in zip(drawn(source, 0), expected, strict=True))


def test_a_pack_removed_between_two_commands_is_made_again(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings()
    study = open_study(settings)
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    for file in (settings.output_path / "cache" / "packed").glob("*.npy"):
        file.unlink()
    for file in (runs[0].folder / "predictions").glob("*.npz"):
        file.unlink()
    assert execute(study, runs) == {}
    assert list((runs[0].folder / "predictions").glob("*.npz"))


# ---------------------------------------------------------------- a GPU that is lost, memory that runs out


class Failing:
    """Makes networks built from now on raise `error` at their `at`-th training step."""

    def __init__(self, error: Exception, at: int, monkeypatch: pytest.MonkeyPatch):
        self.error, self.at, self.steps, self.build = error, at, 0, fit_state.build_network
        for module in (fit_state, trained_network):
            monkeypatch.setattr(module, "build_network", self.built)

    def built(self, *arguments: Any, **options: Any) -> Any:
        network, expected = self.build(*arguments, **options)
        network.register_forward_pre_hook(self.refuse)
        return network, expected

    def refuse(self, network: torch.nn.Module, _: Any) -> None:
        self.steps += network.training
        if network.training and self.steps == self.at:
            raise self.error


@pytest.fixture
def study(tiny_settings: Callable[..., Settings]) -> Iterator[Study]:
    """Two runs of two epochs of five steps."""
    yield open_study(tiny_settings(SEEDS=(1, 2)))


LOST = [
    torch.AcceleratorError("CUDA error: unspecified launch failure"),
    RuntimeError("CUDA error: device-side assert triggered"),
]


@pytest.mark.parametrize("error", LOST, ids=["AcceleratorError", "RuntimeError"])
def test_a_gpu_lost_mid_epoch_fails_one_run_the_grid_goes_on_and_the_next_command_resumes(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    runs = planned_runs(study)
    first, second = (planned.folder for planned in runs)
    steps = len(training.training_source(runs[0].run, _training_rows(study, runs[0])))
    with monkeypatch.context() as patch:
        Failing(error, steps + 2, patch)
        failures = execute(study, runs)
    assert list(failures) == [runs[0].name]
    assert "CUDA error" in failures[runs[0].name]
    assert "CUDA error" in (first / "failed.txt").read_text()
    assert runs[1].finished
    assert (first / "checkpoint.pth").is_file()
    with caplog.at_level("INFO", logger="fer"):
        assert execute(study, runs) == {}
    assert "continuing after epoch 1" in caplog.text
    assert not (first / "failed.txt").exists()
    resumed = tensors_of(load_state(first / "weights.pth"))
    shutil.rmtree(first)
    assert execute(study, runs) == {}
    whole = tensors_of(load_state(first / "weights.pth"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert second.is_dir()


def _training_rows(study: Study, planned: Any) -> FaceRows:
    samples = study.training(planned.run.train_on).samples
    return training_faces(study.datasets, samples, planned.run, study.settings)[0]


def test_memory_that_runs_out_with_workers_ends_at_the_same_weights(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for workers in (0, 2):
        settings = tiny_settings(WORKERS=workers, ONLINE_AUGMENTATION="strong")
        study = open_study(settings)
        (planned,) = planned_runs(study)
        shutil.rmtree(planned.folder, ignore_errors=True)
        with monkeypatch.context() as patch:
            shutil.rmtree(settings.output_path / "cache" / "fits", ignore_errors=True)
            Failing(torch.OutOfMemoryError("CUDA out of memory"), 7, patch)
            assert execute(study, [planned]) == {}
        found.append(tensors_of(load_state(planned.folder / "weights.pth")))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_memory_that_runs_out_in_evaluation_gives_the_same_probabilities(tmp_path: Path) -> None:
    class Small(torch.nn.Module):
        limit = 100

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            if len(pixels) > self.limit:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return pixels.flatten(1)[:, :7]

    faces, network = faces_of(tmp_path, 20), Small()
    expected = data_loader.NetworkInput(16, 1, (0.5,), (0.5,))
    whole = predict(network, expected, faces, ("three_views",), 10, torch.device("cpu"))
    network.limit = 3
    parts = predict(network, expected, faces, ("three_views",), 10, torch.device("cpu"))
    assert np.array_equal(whole["three_views"], parts["three_views"])


class SmallMemory(Failing):
    """Training steps of more than `limit` pictures run out of memory; notes the sizes tried."""

    def __init__(self, limit: int, monkeypatch: pytest.MonkeyPatch):
        super().__init__(torch.OutOfMemoryError("CUDA out of memory"), 0, monkeypatch)
        self.limit, self.tried = limit, []

    def refuse(self, network: torch.nn.Module, inputs: Any) -> None:
        if network.training:
            self.tried.append(len(inputs[0]))
            if len(inputs[0]) > self.limit:
                raise self.error


def test_the_size_that_fits_is_logged_and_remembered(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    memory = SmallMemory(4, monkeypatch)
    with caplog.at_level("INFO", logger="fer"):
        assert execute(study, planned_runs(study)) == {}
    assert "works with 4 pictures at a time" in caplog.text
    assert sum(size > 4 for size in memory.tried) == 2  # 16, 8; the second run starts with 4
    assert min(memory.tried) > 1
    (remembered,) = (study.settings.output_path / "cache" / "fits").glob("*.json")
    assert list(read_json(remembered).values()) == [4]  # a file, so the next command starts there too
    remembered.write_text("{")
    shutil.rmtree(planned_runs(study)[0].folder)
    assert execute(study, planned_runs(study)[:1]) == {}
    assert list(read_json(remembered).values()) == [4]


MEMORY_ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError("Unable to allocate 2.1 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4096 bytes."),
]


@pytest.mark.parametrize("error", MEMORY_ERRORS, ids=["cuda", "MemoryError", "linux", "windows"])
def test_recovery_begins_when_nothing_holds_the_failed_step_any_more(
    study: Study, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The network and the batch of the step that ran out are gone when the smaller one is built."""
    import sys
    import weakref

    held: list[weakref.ref] = []
    alive: list[int] = []
    memory = SmallMemory(8, monkeypatch)
    memory.error = error
    refuse, again = memory.refuse, training._started_again

    def noting(network: torch.nn.Module, inputs: Any) -> None:
        if network.training and len(inputs[0]) > memory.limit:
            held.extend([weakref.ref(network), weakref.ref(inputs[0])])
        refuse(network, inputs)

    def counting(*arguments: Any) -> Any:
        error.__traceback__ = None  # this test keeps the error itself; a real one is gone with the block
        assert sys.exc_info() == (None, None, None)
        alive.append(sum(one() is not None for one in held))
        return again(*arguments)

    monkeypatch.setattr(memory, "refuse", noting)
    monkeypatch.setattr(training, "_started_again", counting)
    assert execute(study, planned_runs(study)[:1]) == {}
    assert alive == [0]
    assert len(held) == 2


def test_a_killed_worker_is_named_and_the_run_goes_on_with_fewer(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = []
    for kill in (False, True):
        settings = tiny_settings(WORKERS=2, OUTPUT_DIR=str(tiny_settings().output_path.parent / f"out{kill}"))
        study = open_study(settings)
        (planned,) = planned_runs(study)
        with monkeypatch.context() as patch:
            if kill:
                _kill_one_worker(patch)
            with caplog.at_level("WARNING", logger="fer"):
                assert execute(study, [planned]) == {}
        found.append(tensors_of(load_state(planned.folder / "weights.pth")))
    assert "pid" in caplog.text and "one of 2 that prepare pictures" in caplog.text and "going on with 1" in caplog.text
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def _kill_one_worker(patch: pytest.MonkeyPatch) -> None:
    """As the system does where memory runs out: at the first batch, once."""
    step, killed = training._step, []

    def killing(*arguments: Any) -> Any:
        if not killed:
            workers = multiprocessing.active_children()
            killed.append(workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)
            workers[0].join()
            time.sleep(0.2)
        return step(*arguments)

    patch.setattr(training, "_step", killing)


def test_micro_batches_of_any_batch_are_nearly_equal(tiny_settings: Callable[..., Settings], monkeypatch: Any) -> None:
    """A part of one picture would stop networks whose last maps are 1 by 1: BatchNorm has nothing to average."""
    row = {"architecture": "resnet10t", "batch_size": 9, "weights": None, "input_size": 16, "channels": 1}
    study = open_study(tiny_settings(MODEL_CONFIG={"small": row}, EPOCHS=1))
    SmallMemory(4, monkeypatch)
    assert execute(study, planned_runs(study)) == {}


def test_batch_norm_given_one_picture_says_what_to_change() -> None:
    from model_utils import training_logits
    from utils import InputError

    network = torch.nn.BatchNorm2d(3)
    assert training_logits(network, torch.zeros(2, 3, 1, 1))[0].shape == (2, 3, 1, 1)
    with pytest.raises(InputError, match='raise "batch_size"'):
        training_logits(network, torch.zeros(1, 3, 1, 1))
