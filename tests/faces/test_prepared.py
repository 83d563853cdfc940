"""Promises of prepared folders: nothing made twice, nothing lost, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from face_datasets import (
    PROJECT,
    face_settings,
    files_below,
    forbid_work,
    noise_pictures,
    prepare,
    studio_face,
    table,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import fer.faces.prepared as prepared
import preprocessing
from fer.settings.settings import Settings
from utils import InputError


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """`settings(**changes)`: see `face_settings`."""
    return partial(face_settings, tmp_path)


# ---------------------------------------------------------------- nothing twice, nothing lost


def test_a_second_call_makes_nothing_and_gives_the_same_manifest(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 5)
    folder, first = prepare(samples, tmp_path / "in", "cropped", settings())
    forbid_work(monkeypatch)
    again, second = prepare(samples, tmp_path / "in", "cropped", settings())
    assert again == folder == tmp_path / "prepared" / "preprocessed_set"
    pd.testing.assert_frame_equal(first, second)
    backwards = prepare(samples[::-1], tmp_path / "in", "cropped", settings())[1]
    assert list(backwards["sample_id"]) == list(samples["sample_id"][::-1])


def test_another_recipe_goes_to_another_folder(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 3)
    first, _ = prepare(samples, tmp_path / "in", "cropped", settings())
    before = files_below(first)
    other, _ = prepare(samples, tmp_path / "in", "cropped", settings(FACE_SIZE=32))
    assert other.parent == first.parent
    assert other.name.startswith("preprocessed_set__")
    assert len(other.name) == len("preprocessed_set__") + 6
    assert files_below(first) == before
    forbid_work(monkeypatch)
    assert prepare(samples, tmp_path / "in", "cropped", settings())[0] == first
    assert prepare(samples, tmp_path / "in", "cropped", settings(FACE_SIZE=32))[0] == other


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    samples = noise_pictures(tmp_path / "in", 2)
    foreign = tmp_path / "prepared" / "preprocessed_set" / "train" / "happy" / "000.png"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"mine")
    folder, _ = prepare(samples, tmp_path / "in", "cropped", settings())
    assert folder.name != "preprocessed_set"
    assert foreign.read_bytes() == b"mine"


def test_only_changed_new_or_deleted_pictures_are_made_again(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    noise_pictures(root, 6)
    folder, manifest = prepare(table(root, [f"{n:03d}.png" for n in range(5)]), root, "cropped", settings())
    Image.new("L", (48, 48), 77).save(root / "001.png")
    (folder / manifest["file"][3]).unlink()
    made = []
    original = preprocessing.prepare_face

    def noting(sample: prepared.Row, **rest: Any) -> Any:
        made.append(sample["sample_id"])
        return original(sample, **rest)

    monkeypatch.setattr(preprocessing, "prepare_face", noting)
    _, manifest = prepare(table(root, [f"{n:03d}.png" for n in range(6)]), root, "cropped", settings())
    assert made == ["set/001.png", "set/003.png", "set/005.png"]
    assert np.asarray(Image.open(folder / manifest["file"][1])).mean() == 77


def test_another_split_or_label_uses_the_pictures_where_they_lie(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 4)
    folder, before = prepare(samples, tmp_path / "in", "cropped", settings())
    files = files_below(folder)
    forbid_work(monkeypatch)
    moved = samples.assign(split=["train", "val", "val", "test"], label=[0, 1, 2, 3])
    _, after = prepare(moved, tmp_path / "in", "cropped", settings())
    assert files_below(folder) == files
    assert after[["split", "label"]].equals(moved[["split", "label"]])
    columns = ["file", "found", "method", "crop_left", "crop_right"]
    pd.testing.assert_frame_equal(before[columns], after[columns])


def test_a_folder_of_an_earlier_version_with_a_picture_per_split_is_used(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 3)
    folder, manifest = prepare(samples, tmp_path / "in", "cropped", settings())
    manifest.assign(split="train", label=3).to_csv(folder / "manifest.csv", index=False)
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text(text + "".join(text.splitlines(keepends=True)[1:]))
    forbid_work(monkeypatch)
    pd.testing.assert_frame_equal(prepare(samples, tmp_path / "in", "cropped", settings())[1], manifest)


KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
import preprocessing
from fer.faces import prepared
from fer.settings.settings import DatasetRow, check_settings
root, target, after, noted = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
prepared.NOTED_EVERY = noted
save, count = prepared.save_picture, 0
def save_and_die(picture, path, save_format):
    global count
    if count == after:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    save(picture, path, save_format)
prepared.save_picture = save_and_die
boxes = {column: [""] for column in preprocessing.BOX_COLUMNS}
samples = pd.read_csv(root / "samples.csv", keep_default_na=False, na_values=boxes)
settings = check_settings({"DATASETS_DIR": target, "FACE_SIZE": 48, "WORKERS": 0})
row = DatasetRow(path="any", layout="expw", faces="cropped")
preprocessing.preprocess_or_load(samples, root, row, settings, "set")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("after", "noted"), [(0, 4), (3, 4), (11, 4), (13, 200)])
def test_a_killed_process_is_continued_to_the_same_files(
    after: int, noted: int, tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 20)
    samples.to_csv(root / "samples.csv", index=False)
    command = [sys.executable, "-c", KILLED, str(root), str(tmp_path / "prepared"), str(after), str(noted)]
    process = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    folder = tmp_path / "prepared" / "preprocessed_set"
    done = set(prepared.read_manifest(folder)["sample_id"])
    assert len(done) == after // noted * noted
    (folder / ".partial-of-the-killed.png").write_bytes(b"half")
    made = []
    original = preprocessing.prepare_face

    def noting(sample: prepared.Row, **rest: Any) -> Any:
        made.append(sample["sample_id"])
        return original(sample, **rest)

    monkeypatch.setattr(preprocessing, "prepare_face", noting)
    prepare(samples, root, "cropped", settings())
    assert sorted(made) == sorted(set(samples["sample_id"]) - done)
    undisturbed, _ = prepare(samples, root, "cropped", settings(DATASETS_DIR=str(tmp_path / "other")))
    assert files_below(folder) == files_below(undisturbed)
    assert not list(folder.rglob(".partial-*"))
    assert not list(folder.glob("manifest-*.csv"))


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_ctrl_c_and_a_full_disk_keep_what_is_finished(
    error: BaseException, tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 9)
    save = prepared.save_picture

    def failing(picture: Image.Image, path: Path, save_format: Any) -> None:
        if path.name == "006.png":
            raise error
        save(picture, path, save_format)

    monkeypatch.setattr(prepared, "save_picture", failing)
    with pytest.raises(type(error)):
        prepare(samples, tmp_path / "in", "cropped", settings())
    noted = prepared.read_manifest(tmp_path / "prepared" / "preprocessed_set")
    assert list(noted["sample_id"]) == list(samples["sample_id"][:6])
    monkeypatch.setattr(prepared, "save_picture", save)
    _, manifest = prepare(samples, tmp_path / "in", "cropped", settings())
    assert (manifest["method"] == "given crop").all()


def test_a_broken_picture_is_recorded_and_the_others_are_made(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 4)
    whole = (root / "002.png").read_bytes()
    (root / "002.png").write_bytes(whole[: len(whole) // 2])
    _, manifest = prepare(samples, root, "cropped", settings())
    assert list(manifest["method"]) == ["given crop", "given crop", "unreadable", "given crop"]
    assert (manifest["file"][2], bool(manifest["found"][2])) == ("", False)
    assert manifest["reason"][2]
    forbid_work(monkeypatch)
    assert prepare(samples, root, "cropped", settings())[1]["reason"][2] == manifest["reason"][2]


def test_another_failure_is_recorded_and_tried_again(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = noise_pictures(tmp_path / "in", 3)
    original = preprocessing.prepare_face

    def fail_once(sample: prepared.Row, **rest: Any) -> Any:
        if sample["path"] == "001.png":
            raise RuntimeError("a detector's bad day")
        return original(sample, **rest)

    monkeypatch.setattr(preprocessing, "prepare_face", fail_once)
    _, manifest = prepare(samples, tmp_path / "in", "cropped", settings())
    assert manifest["method"][1] == "failed"
    assert "a detector's bad day" in manifest["reason"][1]
    monkeypatch.setattr(preprocessing, "prepare_face", original)
    _, manifest = prepare(samples, tmp_path / "in", "cropped", settings())
    assert (manifest["method"] == "given crop").all()


def test_no_picture_at_all_is_an_error(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 2)
    for path in root.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"none of 2 pictures could be prepared: .*empty"):
        prepare(samples, root, "cropped", settings())


def test_damaged_files_of_a_prepared_folder_say_what_to_do(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    samples = noise_pictures(tmp_path / "in", 3)
    folder, manifest = prepare(samples, tmp_path / "in", "cropped", settings())
    text = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text(text[: len(text) - 90])
    pd.testing.assert_frame_equal(prepare(samples, tmp_path / "in", "cropped", settings())[1], manifest)
    (folder / "manifest.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"manifest\.csv is no manifest .*Delete it"):
        prepare(samples, tmp_path / "in", "cropped", settings())
    (folder / "recipe.json").write_text('{"version":')
    with pytest.raises(InputError, match=r"recipe\.json is damaged .*Delete the folder"):
        prepare(samples, tmp_path / "in", "cropped", settings())


# ---------------------------------------------------------------- several processes


@pytest.mark.slow
def test_workers_make_the_same_files(
    tmp_path: Path, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 9)
    studio_face(root / "face.png")
    samples = pd.concat([samples, table(root, ["face.png"])], ignore_index=True)
    (root / "004.png").write_bytes(b"broken")
    monkeypatch.setattr(prepared, "CHUNK", 2)
    alone, one = prepare(samples, root, "whole", settings())
    together, two = prepare(samples, root, "whole", settings(WORKERS=2, DATASETS_DIR=str(tmp_path / "two")))
    assert files_below(alone) == files_below(together)
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.slow
def test_two_processes_share_a_folder(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    root = tmp_path / "in"
    samples = noise_pictures(root, 30)
    samples.to_csv(root / "samples.csv", index=False)
    command = [sys.executable, "-c", KILLED, str(root), str(tmp_path / "prepared"), "999", "5"]
    runs = [subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], errors
    folder, manifest = prepare(samples, root, "cropped", settings())
    assert sorted(manifest["file"]) == sorted(files_below(folder))
    assert len(manifest) == 30
    assert not list(folder.parent.glob("preprocessed_set__*"))


def test_notes_go_on_counting_after_those_of_an_interrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"sample_id": f"a/{number}", "content": "c", "file": f"{number}.png", "reason": ""} for number in range(9)]
    job = prepared.Job(tmp_path, {}, pd.DataFrame(), lambda row: row, "png", 0, "testing")  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(prepared, "_made_rows", lambda folder, rows, job: (dict(row) for row in rows))
    monkeypatch.setattr(prepared, "NOTED_EVERY", 2)
    prepared._make_noting(tmp_path, rows[:3], job)
    prepared._make_noting(tmp_path, rows[3:], job)
    notes = sorted(tmp_path.glob("manifest-*.csv"))
    assert [path.stem for path in notes] == [f"manifest-{number:05}" for number in (1, 2, 3, 4, 5)]
    assert [name for path in notes for name in pd.read_csv(path)["sample_id"]] == [row["sample_id"] for row in rows]


def die(_: prepared.Row) -> Any:
    os._exit(9)


@pytest.mark.slow
def test_a_worker_that_dies_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "CHUNK", 1)
    wanted = noise_pictures(tmp_path / "in", 4).assign(source="x", folder="train/happy", stem=list("abcd"))
    job = prepared.Job(tmp_path / "base", {"version": 1}, wanted, die, "png", 2, "preparing set")
    with pytest.raises(InputError, match=r"a worker process died.*Set WORKERS to less than 2"):
        prepared.make_or_load(job)


@pytest.mark.slow
def test_workers_leave_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import multiprocessing, os, sys, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from fer.faces import prepared\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(1, context, initializer=prepared.start_worker)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    assert gone(worker)


def gone(process: int, seconds: float = 20) -> bool:
    import psutil

    try:
        psutil.Process(process).wait(seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.slow
def test_importing_preprocessing_loads_no_heavy_package() -> None:
    code = (
        "import sys, preprocessing, fer.faces.balancing, fer.faces.augmentation; "
        "heavy = {'torch', 'cv2', 'albumentations', 'facenet_pytorch', 'imblearn', 'sklearn'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


# ---------------------------------------------------------------- file names


def names_of(sample_ids: list[str]) -> list[str]:
    wanted = pd.DataFrame(
        {"sample_id": sample_ids, "folder": "train/sad", "stem": [prepared.picture_stem(i) for i in sample_ids]}
    )
    nothing = pd.DataFrame({"file": [], "sample_id": []}, dtype=str)
    return prepared._file_names(wanted, nothing, ".png")


def test_file_names_are_readable_where_they_can_be() -> None:
    assert names_of(["rafdb/DATASET/train/4/x.jpg", "expw/image/origin/a.jpg#2", "f/fer2013.csv#17"]) == [
        "train/sad/x.png", "train/sad/a_2.png", "train/sad/fer2013_17.png",
    ]  # fmt: skip


@pytest.mark.slow
@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=90), unique=True, max_size=8))
def test_file_names_are_unique_short_and_valid_everywhere(names: list[str]) -> None:
    files = names_of([f"set/{name}" for name in [*names, "x.png", "x.jpg", "X.JPG", "con.png", "nul.tar.gz"]])
    assert len({file.lower() for file in files}) == len(files)
    for file in files:
        name = file.removeprefix("train/sad/")
        assert len(name) <= 75
        assert not set(name) & set('<>:"/\\|?*') and name.isascii() and name.isprintable()
        assert not prepared.RESERVED_NAME.fullmatch(name)
        assert not name.startswith((".", " "))
