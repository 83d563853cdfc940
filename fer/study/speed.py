"""How fast this machine is: networks timed by a few batches, pictures by a few of them, remembered in a small file.

cache/speeds.json of the output folder holds one entry for each thing timed; what it was, and on which machine, is in
its key. Nothing of it is part of a run's key.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_loader import BatchSource, FaceRows, make_loader
from fer.data.samples import DatasetSamples
from fer.faces.packs import Pack
from fer.faces.prepared import save_picture
from fer.layouts.pictures import UnreadablePicture, open_picture
from fer.machine.memory import is_out_of_memory
from fer.machine.processes import ALONE
from fer.networks.names import architecture_of
from fer.runs.run import Run
from fer.settings.settings import EMOTIONS, ModelRow, Settings
from fer.settings.training_values import CLASSIC_HEADS
from preprocessing import prepare_face, recipe
from utils import cpu_name, fingerprint, log, read_json, write_json

if TYPE_CHECKING:
    from fer.runs.fit_state import FitState
    from training import Machine

PATIENCE = 1.5  # seconds that the timed epoch of a network may take, about
PICTURES = 6  # of a dataset, opened and prepared to see how long that takes


@dataclass(frozen=True)
class NetworkSpeed:
    """Seconds a picture takes: `train` with its augmentation at full size, `test` for one view."""

    train: float
    test: float


@dataclass(frozen=True)
class PictureSpeed:
    """Seconds a picture takes one process: `opened` to be decoded, `prepared` to be made a face and saved."""

    opened: float
    prepared: float


@dataclass(frozen=True)
class SpeedBook:
    """What was timed on this machine, kept in the file `path`; with `measure` False, nothing new is timed.

    With `keep` False, nothing is written.
    """

    path: Path
    measure: bool = True
    keep: bool = True

    def look_up(self, kind: str, what: dict[str, Any], timed: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """The entry for `what`, timed and noted where there is none; None where nothing may be timed."""
        key = f"{kind}-{fingerprint(what, 16)}"
        known = self._read()
        if key not in known and self.measure:
            known = self._read() | {key: timed()}
            if self.keep:
                write_json(self.path, known)
        return known.get(key)

    def _read(self) -> dict[str, Any]:
        try:
            state = self.path.stat()
            known = _read_once(self.path, state.st_mtime_ns, state.st_size, state.st_ino)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read (%s); what it held is timed again.", self.path, error)
            return {}
        return known if isinstance(known, dict) else {}


@lru_cache(maxsize=8)
def _read_once(path: Path, *_stamp: int) -> Any:
    """Parsed once as it is now: every run of a plan asks. Never change what it gives."""
    return read_json(path)


def speed_book(settings: Settings, measure: bool) -> SpeedBook:
    """The file of a study's output folder."""
    return SpeedBook(settings.output_path / "cache" / "speeds.json", measure)


def _computer() -> list[Any]:
    """What tells one computer's speed from another's, known without torch."""
    return [platform.node(), cpu_name(), os.cpu_count(), os.environ.get("OMP_NUM_THREADS")]


# ---------------------------------------------------------------- networks


def network_speed(
    book: SpeedBook, run: Run, row: ModelRow, machine: Machine, shape: tuple[int, int]
) -> NetworkSpeed | None:
    """The speed of a run's network on this machine; None where it is not known and may not be timed.

    `shape`: side in pixels and channels of its packed pictures.
    """
    hyper = run.hyper
    machine = replace(machine, processes=ALONE)  # other processes wait meanwhile
    what = {
        "network": [hyper.architecture, hyper.options, hyper.input_size, hyper.channels, hyper.batch_size],
        "fit": [hyper.freeze, hyper.optimizer, hyper.ema_decay > 0, hyper.augmentation, hyper.augment_engine],
        "pictures": shape,
        "machine": [*_computer(), str(machine.device), machine.workers, hyper.precision],
    }
    found = book.look_up("network", what, lambda: asdict(_time_network(run, row, machine, shape)))
    return None if found is None else NetworkSpeed(**found)


def _time_network(run: Run, row: ModelRow, machine: Machine, shape: tuple[int, int]) -> NetworkSpeed:
    """Train a network from random weights on noise, first a few pictures, then as many as PATIENCE allows."""
    from fer.runs.fit_state import start_state

    log.info("timing %s: it has not been trained on this machine", run.model)
    # The rate 0 keeps the loss of noise finite, whatever the rate of the study is; the arithmetic is the same.
    head = "linear" if run.hyper.head in CLASSIC_HEADS else run.hyper.head
    still = replace(run.hyper, weights=None, learning_rate=0.0, schedule="constant", train_sizes=(), stages=())
    still = replace(still, head=head)
    scratch = replace(run, hyper=still, balance="none", mixing="natural")
    fresh = row.model_copy(update={"weights": None, "weights_file": None})
    most = run.hyper.batch_size
    count = min(4, most) if machine.device.type == "cpu" else most
    with tempfile.TemporaryDirectory() as folder:
        state = start_state(scratch, 1, machine.device, fresh, most)
        found = _time_fitting(state, scratch, machine, _noise(Path(folder), count, shape))
        more = int(PATIENCE / found.train)
        if more >= 2 * count:
            more = min(more, 8 * most)
            more -= more % most if more > most else 0
            found = _time_fitting(state, scratch, machine, _noise(Path(folder), more, shape))
    return found


def _time_fitting(state: FitState, run: Run, machine: Machine, faces: FaceRows) -> NetworkSpeed:
    """The same with as many pictures at a time as memory has room for, as in training."""
    while (found := _time_in_memory(state, run, machine, faces)) is None:
        state.micro_batch //= 2
    return found


def _time_in_memory(state: FitState, run: Run, machine: Machine, faces: FaceRows) -> NetworkSpeed | None:
    """None where memory runs out, and fewer pictures at a time may help."""
    try:
        return _time_once(state, run, machine, faces)
    except (MemoryError, RuntimeError) as error:
        if state.micro_batch == 1 or not is_out_of_memory(error):
            raise
    return None


def _time_once(state: FitState, run: Run, machine: Machine, faces: FaceRows) -> NetworkSpeed:
    """Seconds a picture of the second epoch over `faces`; in the first one libraries and workers wake up."""
    from training import train_epoch, validate

    in_workers = run.hyper.augmentation if run.hyper.augment_engine == "albumentations" else None
    source = BatchSource(faces, run.hyper.batch_size, augmentation=in_workers)
    loader = make_loader(source, machine.workers, machine.device.type == "cuda")
    for _ in range(2):
        trained = train_epoch(state, run, loader, source, machine)
    started = time.perf_counter()
    validate(state.evaluated, state.expected, run, {"noise": faces}, machine)
    return NetworkSpeed(1 / trained["images_per_second"], (time.perf_counter() - started) / len(faces))


def _noise(folder: Path, count: int, shape: tuple[int, int]) -> FaceRows:
    """`count` faces of noise in a pack in `folder`."""
    side, channels = shape
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, channels), np.uint8)
    path = folder / f"noise_{count}.npy"
    np.save(path, pixels)
    labels = np.arange(count) % len(EMOTIONS)
    return FaceRows.from_pack(Pack(path, pixels.shape), np.arange(count), labels, [str(i) for i in range(count)])


def parameter_count(book: SpeedBook, model: str, row: ModelRow) -> int:
    """Parameters of a network with this project's head, counted where they are not known; nothing is fetched."""
    what = {"network": [architecture_of(model, row), row.options, row.input_size, row.channels]}
    found = replace(book, measure=True).look_up("parameters", what, lambda: {"count": _count(model, row)})
    assert found is not None
    return int(found["count"])


def _count(model: str, row: ModelRow) -> int:
    import torch

    from model_utils import build_network

    fresh = row.model_copy(update={"weights": None, "weights_file": None})
    try:
        with torch.device("meta"):  # shapes without memory
            network = build_network(model, fresh, len(EMOTIONS), False)[0]
    except NotImplementedError:  # a few draw their weights in ways the meta device has not
        network = build_network(model, fresh, len(EMOTIONS), False)[0]
    return sum(parameter.numel() for parameter in network.parameters())


# ---------------------------------------------------------------- pictures


def picture_speed(book: SpeedBook, data: DatasetSamples, settings: Settings, prepare: bool) -> PictureSpeed | None:
    """How fast pictures of a dataset are opened and, with `prepare`, made into prepared faces; None as above."""
    rules = recipe(settings, data.row) if prepare else None
    what = {"dataset": data.name, "rules": rules, "machine": _computer()}
    found = book.look_up("pictures", what, lambda: asdict(_time_pictures(data, settings, rules)))
    return None if found is None else PictureSpeed(**found)


def _time_pictures(data: DatasetSamples, settings: Settings, rules: dict[str, Any] | None) -> PictureSpeed:
    opened, prepared = [], []
    with tempfile.TemporaryDirectory() as folder:
        for sample in some_samples(data, PICTURES + 1):
            started = time.perf_counter()
            try:
                open_picture(data.root, sample["path"])
                between = time.perf_counter()
                if rules is not None:
                    picture, _ = prepare_face(sample, data.root, rules)
                    save_picture(picture, Path(folder) / "face", settings.save_format)
            except UnreadablePicture as error:
                log.warning("%s: %s could be read before and cannot now: %s", data.name, sample["path"], error)
                continue
            opened.append(between - started)
            prepared.append(time.perf_counter() - between)
    # The first one wakes libraries up and loads the detector.
    opened, prepared = opened[1:] or opened or [0.0], prepared[1:] or prepared or [0.0]
    return PictureSpeed(float(np.mean(opened)), float(np.mean(prepared)) if rules else 0.0)


def some_samples(data: DatasetSamples, count: int) -> list[dict[str, Any]]:
    """Up to `count` rows of a dataset, spread evenly over it."""
    rows = np.unique(np.linspace(0, len(data.samples) - 1, count).astype(int))
    return [{str(name): value for name, value in row.items()} for row in data.samples.iloc[rows].to_dict("records")]
