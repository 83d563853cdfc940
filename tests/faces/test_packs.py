"""Promises about packs: one for all splits and policies, read without a crash, written whole or with a clear word."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import TINY_MODEL, draw_class_picture
from PIL import Image

import data_loader
import utils
from data_loader import FaceRows
from fer.data.decoding import decode_all
from fer.faces import packs
from fer.faces.packs import Pack, pack_or_load
from fer.layouts.label_sheets import BOX_COLUMNS
from fer.layouts.pictures import open_picture
from fer.settings.settings import EMOTIONS, Settings
from fer.study.disk_need import packed_shape
from fer.study.plan import open_study
from fer.study.variants import scored_faces
from model_utils import load_state, save_state
from utils import DiskFullError, InputError, reserve

SPLITS = ("train", "val", "test")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reservation finds the disk full."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def noise(folder: Path, count: int, side: int = 12) -> pd.DataFrame:
    """Files of a pack: gray noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    names = [f"{number}.png" for number in range(count)]
    table = pd.DataFrame({"path": names, "face": names})
    return table.reindex(columns=["path", "face", *BOX_COLUMNS]).astype(dict.fromkeys(BOX_COLUMNS, float))


# ---------------------------------------------------------------- one pack for every split


def with_copies(settings: Settings) -> None:
    """Plant pictures that stand twice, in other classes and splits."""
    root = settings.resolve(settings.datasets["alpha"].path)
    for label in range(4):
        for number, (split, other) in enumerate([("test", label), ("train", label + 1), ("train", label)]):
            draw_class_picture(root / split / EMOTIONS[other] / f"copy_{label}_{number}.png", label, 0)


OTHERS: list[dict[str, Any]] = [
    {},
    {"SPLIT_SEED": 7},
    {"VAL_FRACTION": 0.4},
    {"COPIES": "keep"},
    {"COPIES": "drop_random"},
    {"CONFLICTS": "majority"},
    {"CONFLICTS": "drop", "SPLIT_SEED": 8},
]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["raw", "preprocessed"])
def test_splits_and_policies_share_one_pack_and_its_prepared_pictures(
    tiny_settings: Callable[..., Settings], variant: str
) -> None:
    with_copies(tiny_settings())
    seen, rows = set(), set()
    for change in OTHERS:
        settings = tiny_settings(**change)
        data = open_study(settings).datasets["alpha"]
        table = data.samples.set_index("sample_id")
        for split in SPLITS:
            faces = scored_faces(data, split, variant, 16, settings)
            assert list(faces.sample_ids) == list(data.rows(split)["sample_id"])
            assert pixels_are_those_of_the_files(faces, data.root, table) if variant == "raw" else len(faces)
        seen.add(tuple(sorted(p.name for p in (settings.output_path / "cache").rglob("*.npy"))))
        rows.add((len(data.samples), tuple(data.samples["split"]), tuple(data.samples["label"])))
    assert len(rows) > 4  # the changes did change rows, labels or splits
    assert [len(names) for names in seen] == [1]
    prepared = list(settings.datasets_path.rglob("*.png"))
    assert len(prepared) == (0 if variant == "raw" else len(data.unsettled))


def pixels_are_those_of_the_files(faces: FaceRows, root: Path, table: pd.DataFrame) -> bool:
    found = faces.packs[0].open(faces.row)
    for name, pixels in zip(faces.sample_ids, found, strict=True):
        picture = open_picture(root, table.loc[name, "path"]).resize((16, 16), Image.Resampling.BILINEAR)
        assert (np.asarray(picture) == pixels[..., 0]).all(), name
    return True


@pytest.mark.slow
def test_folds_share_one_pack_and_its_prepared_pictures(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings(SPLITS="kfold", FOLDS=4)
    root = settings.resolve(settings.datasets["alpha"].path)
    shutil.rmtree(root / "test")  # a dataset without an official test set is split into folds
    study = open_study(settings)
    tested = []
    for fold in range(4):
        data = study.at(f"r0f{fold}").datasets["alpha"]
        tested += scored_faces(data, "test", "preprocessed", 16, settings).sample_ids
    assert sorted(tested) == sorted(study.datasets["alpha"].samples["sample_id"])
    assert len(list((settings.output_path / "cache").rglob("*.npy"))) == 1
    assert len(list(settings.datasets_path.rglob("*.png"))) == len(tested)


@pytest.mark.slow
def test_a_picture_that_leaves_changes_no_side_and_no_channels(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings(MODEL_CONFIG={"tiny_plain": TINY_MODEL | {"input_size": 32}})
    root = settings.resolve(settings.datasets["alpha"].path)
    pixels = np.random.default_rng(1).integers(0, 256, (30, 30, 3), dtype=np.uint8)  # larger than all others, in colour
    for emotion in ("happy", "sad"):
        Image.fromarray(pixels).save(root / "train" / emotion / "disputed.png")
    for policy in ("keep", "drop"):
        chosen = settings.model_copy(update={"conflicts": policy})
        study = open_study(chosen)
        data = study.datasets["alpha"]
        assert (data.samples["width"].max() == 30) == (policy == "keep")
        assert scored_faces(data, "test", "raw", 32, chosen).packs[0].shape[1:] == (30, 30, 3)
        assert packed_shape(data, "raw", 32, chosen) == (30, 3)
    assert len(list((settings.output_path / "cache").rglob("*.npy"))) == 1


def test_equal_pixels_with_other_boxes_are_other_packs(tmp_path: Path) -> None:
    files = noise(tmp_path / "in", 1)
    names = set()
    for box in ([0, 0, 10, 10], [1, 1, 11, 11]):
        files[BOX_COLUMNS] = [[float(edge) for edge in box]]
        decoded, _ = decode_all(files[["path", *BOX_COLUMNS]].assign(original_path=""), tmp_path / "in")
        names.add(pack_or_load(decoded, tmp_path / "in", 8, True, tmp_path / "cache", "x").pixels)
    assert len(names) == 2


# ---------------------------------------------------------------- several files


def test_a_pack_of_several_files_has_the_same_bits_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = noise(tmp_path / "in", 23)
    whole = pack_or_load(files, tmp_path / "in", 8, True, tmp_path / "one", "x")
    monkeypatch.setattr(packs, "MOST_BYTES", 5 * 8 * 8 + 40)  # five pictures and a bit of a sixth
    parted = pack_or_load(files, tmp_path / "in", 8, True, tmp_path / "several", "x")
    assert parted.pixels.name == whole.pixels.name and parted.shape == whole.shape
    names = sorted(path.name for path in (tmp_path / "several").glob("*.npy"))
    stem = whole.pixels.stem
    assert names == sorted([f"{stem}.npy", *(f"{stem}.part-{number}.npy" for number in (2, 3, 4, 5))])
    expected = whole.open()[:]
    assert len(np.load(parted.file(4))) == 3 and (parted.open()[:] == expected).all()
    for which in (4, 5, -1, slice(3, 12), np.array([4, 5, 22, 0, 0, 9, 10, 11]), np.zeros(0, int)):
        assert np.array_equal(parted.open()[which], expected[which])
    some = np.array([20, 3, 4, 5, 6])
    assert (np.stack(list(parted.open(some))) == expected[some]).all()
    assert packs.packed_bytes(tmp_path / "several", "x__8__*.npy")[0] - expected.nbytes == 5 * 128


def test_packs_in_one_file_and_in_several_stand_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = noise(tmp_path / "one", 9), noise(tmp_path / "two", 11)
    old = pack_or_load(one, tmp_path / "one", 8, True, tmp_path / "cache", "one")
    monkeypatch.setattr(packs, "MOST_BYTES", 4 * 64)
    new = pack_or_load(two, tmp_path / "two", 8, True, tmp_path / "cache", "two")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")}
    assert len(before) == 1 + 3
    for limit in (4 * 64, 64, 10**9):  # what is there is read as it was written
        monkeypatch.setattr(packs, "MOST_BYTES", limit)
        assert pack_or_load(one, tmp_path / "one", 8, True, tmp_path / "cache", "one") == old
        assert pack_or_load(two, tmp_path / "two", 8, True, tmp_path / "cache", "two") == new
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("*.npy")} == before
    labels, ids = np.zeros(20, np.int64), [str(number) for number in range(20)]
    rows = FaceRows.join(
        [
            FaceRows.from_pack(old, np.arange(9), labels[:9], ids[:9]),
            FaceRows.from_pack(new, np.arange(11), labels[9:], ids[9:]),
        ]
    )
    source = data_loader.BatchSource(rows, 20)
    ((pixels, _), (others, _)) = source[0, 0]
    assert (pixels[:, 0].numpy() == old.open()[:][..., 0]).all() and (
        others[:, 0].numpy() == new.open()[:][..., 0]
    ).all()


def test_only_the_damaged_file_of_several_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = noise(tmp_path / "in", 10)
    monkeypatch.setattr(packs, "MOST_BYTES", 4 * 64)
    pack = pack_or_load(files, tmp_path / "in", 8, True, tmp_path / "cache", "x")
    expected = pack.open()[:]
    pack.file(1).write_bytes(pack.file(1).read_bytes()[:-1])
    with pytest.raises(InputError, match=r"part-2\.npy cannot be read any more"):
        pack.open()[:]
    others = [pack.file(number).stat().st_mtime_ns for number in (0, 2)]
    again = pack_or_load(files, tmp_path / "in", 8, True, tmp_path / "cache", "x")
    assert (again.open()[:] == expected).all() and "part-2.npy is made again: it is truncated" in caplog.text
    assert [pack.file(number).stat().st_mtime_ns for number in (0, 2)] == others
    pack.file(2).unlink()
    with pytest.raises(InputError, match=r"part-3\.npy was removed while in use"):
        pack.open()


# ---------------------------------------------------------------- reading


def test_rows_are_read_by_number_slice_and_array(tmp_path: Path) -> None:
    expected = np.random.default_rng(0).integers(0, 256, (20, 5, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "pack.npy", expected)
    pixels = Pack(tmp_path / "pack.npy", (20, 5, 5, 3)).open()
    chosen = np.array([3, 4, 5, 19, 0, 0, 7])
    for which in (3, -1, slice(2, 9), slice(None, None, 3), chosen, chosen[:0]):
        assert np.array_equal(pixels[which], expected[which])
    assert np.array_equal(np.asarray(pixels), expected)
    some = Pack(tmp_path / "pack.npy", (20, 5, 5, 3)).open(chosen)
    assert np.array_equal(np.stack(list(some)), expected[chosen])
    assert np.array_equal(some[2:4], expected[chosen][2:4])


def test_without_preadv_the_same_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv", raising=False)
    test_rows_are_read_by_number_slice_and_array(tmp_path)


def test_a_pack_cut_while_in_use_is_an_error_and_not_a_bus_error(tmp_path: Path) -> None:
    np.save(tmp_path / "pack.npy", np.zeros((50, 64, 64, 1), np.uint8))
    pixels = Pack(tmp_path / "pack.npy", (50, 64, 64, 1)).open()
    os.truncate(tmp_path / "pack.npy", 5000)
    with pytest.raises(InputError, match=r"pack\.npy cannot be read any more \(it ends too early\)"):
        pixels[np.array([40])]


def test_a_disk_that_goes_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "pack.npy", np.zeros((5, 4, 4, 1), np.uint8))
    pixels = Pack(tmp_path / "pack.npy", (5, 4, 4, 1)).open()

    def gone(*_: Any) -> int:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "preadv", gone, raising=False)
    with pytest.raises(InputError, match=r"pack\.npy cannot be read any more \(Stale file handle\)"):
        pixels[0]


# ---------------------------------------------------------------- writing


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists what is open")
def test_nothing_holds_the_file_when_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to rename a file that is open or mapped."""
    rename, renamed = Path.replace, []

    def checked(path: Path, target: Path) -> Path:
        assert path.name not in Path("/proc/self/maps").read_text()
        opened = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        assert str(path) not in opened
        renamed.append(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", checked)
    pack_or_load(noise(tmp_path / "in", 3), tmp_path / "in", 12, True, tmp_path / "cache", "x")
    assert len(renamed) == 2  # pixels and the note about them


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="there is nothing to reserve with")
def test_a_full_disk_is_named_before_anything_is_decoded(tmp_path: Path, full: None) -> None:
    files = noise(tmp_path / "in", 4, side=500)
    (tmp_path / "in" / "0.png").unlink()  # would be missed if it were decoded
    with pytest.raises(DiskFullError, match=r"^disk full: .*x__500__\w+\.npy needs 1\.0 MB, [\d.]+ MB are free$"):
        pack_or_load(files, tmp_path / "in", 500, True, tmp_path / "cache", "x")
    assert list((tmp_path / "cache").iterdir()) == []


def test_where_nothing_can_be_reserved_zeros_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with (tmp_path / "file").open("wb") as stream:
        reserve(stream, 2 * 2**20 + 5, tmp_path / "file")
        assert stream.tell() == 0
        stream.write(b"start")
    assert (tmp_path / "file").read_bytes() == b"start" + bytes(2 * 2**20)


def test_a_really_full_disk(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = noise(tmp_path / "in", 5, side=500)
    for reserving in (True, False):
        if not reserving:
            monkeypatch.delattr(os, "posix_fallocate", raising=False)
        with pytest.raises(DiskFullError, match=r"needs 1\.3 MB, 1\.0 MB are free"):
            pack_or_load(files, tmp_path / "in", 500, True, small_disk, "x")
        assert list(small_disk.iterdir()) == []
    save_state(small_disk / "weights.pth", {"small": torch.ones(3)})
    with pytest.raises(DiskFullError, match=r"weights\.pth needs more than"):
        save_state(small_disk / "weights.pth", {"large": torch.ones(1_000_000)})
    assert load_state(small_disk / "weights.pth")["small"].sum() == 3
    assert [path.name for path in small_disk.iterdir()] == ["weights.pth"]
    with pytest.raises(DiskFullError, match=r"report\.txt needs more than"):
        utils.write_text(small_disk / "report.txt", "x" * 2_000_000)


def test_states_are_saved_to_the_same_bytes_as_by_torch_itself(tmp_path: Path) -> None:
    state = {"weights": torch.arange(100_000), "name": "x"}
    plain = io.BytesIO()
    torch.save(state, plain)
    save_state(tmp_path / "state.pth", state)
    assert (tmp_path / "state.pth").read_bytes() == plain.getvalue()


@pytest.mark.slow
def test_workers_forked_from_one_process_read_their_own_rows(tmp_path: Path) -> None:
    """They share the opened file, and must not share where it stands."""
    expected = np.random.default_rng(1).integers(0, 256, (400, 8, 8, 1), dtype=np.uint8)
    np.save(tmp_path / "pack.npy", expected)
    pack = Pack(tmp_path / "pack.npy", (400, 8, 8, 1))
    faces = FaceRows.from_pack(pack, np.arange(400), np.zeros(400, int), [str(n) for n in range(400)])
    source = data_loader.BatchSource(faces, 2)
    source[(0, 0)]  # opened before the workers start
    batches = [pixels for chunks in data_loader.make_loader(source, 2) for pixels, _ in chunks]
    assert np.array_equal(torch.cat(batches).numpy().transpose(0, 2, 3, 1), expected)
    assert sys.platform != "win32" or not source._opened  # spawned workers open their own
