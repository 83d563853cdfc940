"""Promises under bytes changed at random: no exception but InputError, and no number that silently became another.

Quick by default; FER_FUZZ=2000 tries that many changes of each file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fake_study import FakeStudy, run_record
from hypothesis import given, settings
from hypothesis import strategies as st

from fer.data.readers import read_dataset
from fer.faces.prepared import read_manifest
from fer.figures.engine import draw_changed
from fer.results.archive import export_study, unpack_study
from fer.results.study_files import read_predictions, read_study
from fer.runs.fit_state import restore_checkpoint, save_checkpoint
from fer.runs.run import read_run_json
from fer.settings.settings import EMOTIONS, DatasetRow, Settings, check_settings, load_settings
from utils import InputError, read_json, write_sealed, write_text

TRIES = int(os.environ.get("FER_FUZZ", "15"))
fuzzed = settings(max_examples=TRIES, deadline=None, database=None)
# Where (as a share of the file), what happens there, and the byte it happens with.
CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(["set", "flip", "insert", "delete", "cut"]),
              st.integers(0, 255)),
    min_size=1, max_size=4,
)  # fmt: skip


def changed(data: bytes, changes: list[tuple[float, str, int]]) -> bytes:
    """`data` with each change made, one after another."""
    for share, what, byte in changes:
        place = int(share * len(data))
        head, tail = data[:place], data[place + 1 :]
        middle = {
            "set": bytes([byte]),
            "flip": bytes([data[place] ^ (1 << byte % 8)]) if place < len(data) else b"",
            "insert": bytes([byte]) + data[place : place + 1],
            "delete": b"",
        }
        data = head if what == "cut" else head + middle[what] + tail
    return data


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """A finished study whose JSON files carry checksums, as main.py leaves them."""
    folder = tmp_path_factory.mktemp("study")
    made = FakeStudy(folder / "out", train_on=(("studio",),), tta=("none",))
    write_sealed(folder / "out" / "study.json", read_json(folder / "out" / "study.json"))
    for planned in made.plan():
        write_sealed(planned.folder / "run.json", run_record(planned))
    return made


@pytest.fixture
def restored() -> Iterator[Callable[[Path], bytes]]:
    """A function that gives the bytes of a file and has them put back after the test."""
    kept: dict[Path, bytes] = {}

    def keep(path: Path) -> bytes:
        return kept.setdefault(path, path.read_bytes())

    yield keep
    for path, data in kept.items():
        path.write_bytes(data)


# ---------------------------------------------------------------- files of a study


@pytest.mark.slow
def test_run_json_is_the_same_or_not_used(study: FakeStudy, restored: Callable[[Path], bytes]) -> None:
    planned = study.plan()[0]
    path = planned.folder / "run.json"
    data, whole = restored(path), read_run_json(planned.folder)

    @fuzzed
    @given(CHANGES)
    def check(changes: Any) -> None:
        path.write_bytes(changed(data, changes))
        assert read_run_json(planned.folder) in (None, whole)

    check()


@pytest.mark.slow
def test_study_json_is_the_same_or_refused(study: FakeStudy, restored: Callable[[Path], bytes]) -> None:
    path = study.output / "study.json"
    data, whole = restored(path), read_study(study.output)

    @fuzzed
    @given(CHANGES)
    def check(changes: Any) -> None:
        path.write_bytes(changed(data, changes))
        try:
            assert read_study(study.output) == whole
        except InputError as error:
            assert "study.json" in str(error)

    check()


@pytest.mark.slow
def test_predictions_are_the_same_or_refused(study: FakeStudy, restored: Callable[[Path], bytes]) -> None:
    entry = read_study(study.output).predictions[0]
    data, whole = restored(entry.path), read_predictions(entry)

    @fuzzed
    @given(CHANGES)
    def check(changes: Any) -> None:
        from fer.results import study_files

        study_files._kept.clear()  # two writes within one tick of the clock
        entry.path.write_bytes(changed(data, changes))
        try:
            found = read_predictions(entry)
        except InputError as error:
            assert entry.path.name in str(error)
        else:
            assert np.array_equal(found.probabilities, whole.probabilities)
            assert np.array_equal(found.labels, whole.labels)
            assert np.array_equal(found.sample_ids, whole.sample_ids)

    check()


@pytest.mark.slow
def test_a_figure_list_removes_no_file_of_others(study: FakeStudy, tmp_path: Path) -> None:
    (tmp_path / "victim.png").write_bytes(b"kept")
    listed = b'{"../victim.png": "a", "figures/one.png": "b", "/etc/two.png": "c", "x/../../victim.png": "d"}'

    @fuzzed
    @given(CHANGES)
    def check(changes: Any) -> None:
        (tmp_path / "out" / "cache").mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / "cache" / "figures.json").write_bytes(changed(listed, changes))
        draw_changed(tmp_path / "out", {}, tmp_path / "out" / "cache" / "figures.json")
        assert (tmp_path / "victim.png").read_bytes() == b"kept"

    check()


def test_an_archive_gives_the_same_files_or_none(study: FakeStudy, tmp_path: Path) -> None:
    export_study(study.output, tmp_path / "study.zip")
    data = (tmp_path / "study.zip").read_bytes()
    numbers = iter(range(10**9))

    @fuzzed
    @given(CHANGES)
    def check(changes: Any) -> None:
        there = tmp_path / f"there{next(numbers)}"
        (tmp_path / "changed.zip").write_bytes(changed(data, changes))
        try:
            unpack_study(tmp_path / "changed.zip", there)
        except InputError:
            assert not there.exists()
            return
        for path in there.rglob("*"):
            same = study.output / path.relative_to(there)
            assert path.is_dir() or not same.is_file() or path.read_bytes() == same.read_bytes()

    check()


# ---------------------------------------------------------------- caches


def _tiny_state() -> Any:
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    progress = {"micro_batch": 4, "epoch": 1, "best_score": 0.5, "best_epoch": 1, "best_loss": 1.0, "stale": 0}
    oracle = {"oracle_score": 0.0, "oracle_epoch": 0, "oracle_history": []}
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
    return SimpleNamespace(network=network, optimizer=optimizer, scheduler=scheduler, average=None, identity="this",
                           hyper=SimpleNamespace(stages=()), stage=0,
                           history=[{"epoch": 1.0}], **progress, **oracle)  # fmt: skip


def test_a_checkpoint_is_the_same_or_refused(tmp_path: Path) -> None:
    save_checkpoint(_tiny_state(), tmp_path)
    path = tmp_path / "checkpoint.pth"
    data, whole = path.read_bytes(), _tiny_state().network.weight

    @fuzzed
    @given(CHANGES)
    def check(changes: Any) -> None:
        path.write_bytes(changed(data, changes))
        state = _tiny_state()
        torch.nn.init.zeros_(state.network.weight)
        try:
            restore_checkpoint(state, tmp_path)
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert torch.equal(state.network.weight, whole)
            assert (state.epoch, state.best_score) == (1, 0.5)

    check()


def test_a_manifest_is_read_or_refused(tmp_path: Path) -> None:
    lines = ["sample_id,split,label,content,source,file,method,reason,bytes,checksum"]
    lines += [f"a/{n}.png,train,{n % 7},c{n},s{n},happy/{n}.png,detected,,{900 + n},{n:016x}" for n in range(9)]
    data = "\n".join(lines).encode()

    @fuzzed
    @given(CHANGES)
    def check(changes: Any) -> None:
        (tmp_path / "manifest.csv").write_bytes(changed(data, changes))
        try:
            read_manifest(tmp_path)
        except InputError as error:
            assert "manifest.csv" in str(error)

    check()


# ---------------------------------------------------------------- what users write


EXPW = "".join(f"photo_{n}.jpg {n % 3} 10 20 60 15 {50 + n}.5 {n % 7}\n" for n in range(8)).encode()
FER2013 = ("emotion,pixels,Usage\n" + "".join(f"{n},{' '.join(['7'] * 16)},Training\n" for n in range(7))).encode()
RAFDB = "".join(f"{part}_{n:05}.jpg {n}\n" for part in ("train", "test") for n in range(1, 8)).encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "file", "data"),
    [("expw", "label/label.lst", EXPW), ("fer2013", "fer2013.csv", FER2013),
     ("rafdb", "EmoLabel/list_patition_label.txt", RAFDB)],
)  # fmt: skip
def test_label_files_are_read_or_refused(tmp_path: Path, layout: Any, file: str, data: bytes) -> None:
    for folder, names in (
        ("image/origin", [f"photo_{n}.jpg" for n in range(8)]),
        ("Image/aligned", [f"{part}_{n:05}_aligned.jpg" for part in ("train", "test") for n in range(1, 8)]),
    ):
        for name in names:
            write_text(tmp_path / folder / name, "")
    write_text(tmp_path / file, "")
    row = DatasetRow(path=str(tmp_path), layout=layout, faces="cropped")

    @fuzzed
    @given(CHANGES)
    def check(changes: Any) -> None:
        (tmp_path / file).write_bytes(changed(data, changes))
        try:
            found = read_dataset("alpha", row, tmp_path)
        except InputError as error:
            assert str(tmp_path) in str(error)
        else:
            assert found.samples["label"].between(0, len(EMOTIONS) - 1).all()
            assert (found.rejected["reason"] != "").all()

    check()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name.upper() for name in Settings.model_fields))
def test_any_value_of_a_setting_is_taken_or_refused_by_name(name: str) -> None:
    @settings(max_examples=max(3, TRIES // 10), deadline=None, database=None)
    @given(VALUES)
    def check(value: Any) -> None:
        try:
            check_settings({name: value})
        except InputError as error:
            assert error.problems

    check()


TEXT = b"""EPOCHS = 3
ACTIVE_DATASETS = ("alpha",)
DATASETS = {"alpha": {"path": "in", "layout": "folders", "faces": "cropped"}}
MODEL_CONFIG = {"tiny_plain": {"batch_size": 16, "weights": None, "input_size": 16, "channels": 1}}
LEARNING_RATE = 3e-3
"""


def test_a_config_file_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.py"

    @fuzzed
    @given(CHANGES)
    def check(changes: Any) -> None:
        path.write_bytes(changed(TEXT, changes))
        try:
            load_settings(path, [])
        except InputError as error:
            assert error.problems

    check()
