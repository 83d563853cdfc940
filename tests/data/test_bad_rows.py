"""Promises for datasets with rows that cannot be used: each is left out with its reason and split, and said."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer.data.readers import Listing, read_dataset
from fer.data.rejections import rejection_notes
from fer.data.samples import load_samples
from fer.layouts.pictures import UnreadablePicture, crop_box, open_picture
from fer.report.facts import left_out
from fer.results.study_files import StoredStudy
from fer.settings.settings import DatasetRow, Settings
from fer.study.inspection import print_check
from preprocessing import preprocess_or_load
from utils import InputError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such files")
ODD = {
    "dead.png": "a link to something that is not there",
    "loop.png": "a link that leads back to itself",
    "pipe.png": "no file but a FIFO",
    "sock.png": "no file but a socket",
    "kind.png": "no file but a folder",
}


def make_odd(folder: Path) -> None:
    """One of each kind of ODD in `folder`."""
    (folder / "dead.png").symlink_to("annex/objects/not/fetched.png")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "kind.png").mkdir()
    here = Path.cwd()
    os.chdir(folder)  # the path of a socket may hold 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind("sock.png")
    finally:
        os.chdir(here)


def root_of(settings: Settings) -> Path:
    return settings.resolve(settings.datasets["alpha"].path)


def read(root: Path, layout: str = "folders") -> Listing:
    return read_dataset("alpha", DatasetRow(path="unused", layout=layout, faces="cropped"), root)


@pytest.mark.slow
@LINUX
def test_whatever_is_no_readable_file_is_a_rejected_row(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings()
    before = load_samples("alpha", settings)
    make_odd(root_of(settings) / "test/sad")
    (root_of(settings) / "train/joy").symlink_to("joy")
    data = load_samples("alpha", settings)
    assert data.samples["sample_id"].tolist() == before.samples["sample_id"].tolist()
    reasons = data.rejected.set_index("path")["reason"]
    assert len(data.rejected) - len(before.rejected) == len(ODD) + 1
    for name, words in ODD.items():
        assert words in reasons[f"test/sad/{name}"]
    assert "leads back to itself" in reasons["train/joy"]
    splits = data.rejected.set_index("path")["split"]
    assert (splits["test/sad/dead.png"], splits["train/joy"]) == ("test", "train")
    note = next(note for note in data.notes if "cannot be used" in note)
    assert f"6 of {int(data.funnel['kept'].iloc[0])} rows" in note
    assert "5 of them TEST rows" in note


@pytest.mark.slow
@LINUX
def test_check_counts_them_and_the_report_says_it(
    tiny_settings: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tiny_settings()
    make_odd(root_of(settings) / "train/sad")
    print_check(settings, {"alpha": (settings.datasets["alpha"], root_of(settings))})
    assert "5 of 113 rows cannot be used" in " ".join(capsys.readouterr().out.split())
    load_samples("alpha", settings)
    stored = StoredStudy(settings.output_path, (), (), (), ("alpha",), frozenset(), None, False)
    assert any("alpha: 5 of 113 rows cannot be used" in reason for reason in left_out(stored))


@LINUX
@pytest.mark.parametrize("name", ODD)
def test_no_picture_is_waited_for(tmp_path: Path, name: str) -> None:
    make_odd(tmp_path)
    with pytest.raises(UnreadablePicture, match=ODD[name]):
        open_picture(tmp_path, name)


def test_a_folder_that_cannot_be_opened_is_one_row(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings()
    barred, real = root_of(settings) / "train/fear", os.scandir

    def scandir(folder: Any) -> Any:
        if Path(folder) == barred:
            raise PermissionError(13, "Permission denied", str(barred))
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = read(root_of(settings))
    assert listing.rejected[["path", "split"]].to_numpy().tolist() == [["train/fear", "train"]]
    assert "Permission denied" in listing.rejected["reason"][0]


@pytest.mark.slow
def test_a_picture_that_became_readable_is_looked_at_again(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size and time are those it had when it could not be read."""
    settings = tiny_settings()
    barred = root_of(settings) / "train/sad/sad_000.png"
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda path, mode: Path(path) != barred)
        first = load_samples("alpha", settings)
    assert first.rejected["path"].tolist() == ["train/sad/sad_000.png"]
    assert "Permission denied" in first.rejected["reason"][0]
    again = load_samples("alpha", settings)
    assert len(again.rejected) == 0
    assert len(again.samples) == len(first.samples) + 1


def test_many_rows_that_cannot_be_used_are_said_by_split_and_reason() -> None:
    rejected = pd.DataFrame(
        [
            *[("readable", "test", "cannot be decoded: truncated")] * 3,
            *[("in file", "", f"line {number}: label {number} is not one of 1 to 7") for number in (8, 9)],
            *[("copies", "train", "a copy")] * 9,
        ],
        columns=["step", "split", "reason"],
    )
    assert rejection_notes(rejected, 100) == [
        "5 of 100 rows cannot be used (5.0%, 3 of them TEST rows): no split known: 2 x label 8 is not one of 1 to 7 "
        "(and the like); test: 3 x cannot be decoded: truncated. Each is listed in samples/"
    ]
    assert rejection_notes(rejected[rejected["step"] == "copies"], 100) == []


# ---------------------------------------------------------------- boxes


@pytest.mark.parametrize(
    "box",
    [
        (16, 2, 46, 18), (2, -30, 18, 18), (-10, -10, 20, 12), (-1e308, -1e308, 1e308, 1e308), (0, 0, 1e308, 20),
        (25, 0, 1e308, 1e308),
    ],
)  # fmt: skip
def test_a_box_of_which_less_than_half_is_inside_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(UnreadablePicture, match="box"):
        crop_box(Image.new("L", (30, 20)), box)


def test_a_box_partly_outside_is_clamped() -> None:
    assert crop_box(Image.new("L", (30, 20)), (10, 0, 45, 20)).size == (20, 20)


@pytest.mark.slow
def test_boxes_have_one_rule_for_raw_and_preprocessed(tiny_settings: Callable[..., Settings], tmp_path: Path) -> None:
    """Before, raw pictures were clamped, and preprocessed ones a smear of edge pixels marked as found."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    (tmp_path / "wild/image/origin").mkdir(parents=True)
    (tmp_path / "wild/label").mkdir()
    Image.fromarray(pixels).save(tmp_path / "wild/image/origin/a_1.png")
    boxes = ["5 5 45 45", "10 30 100 50", "-1e308 -1e308 1e308 1e308", "5 500 600 50"]  # top left right bottom
    lines = [f"a_1.png {face} {box} 90 3" for face, box in enumerate(boxes)]
    (tmp_path / "wild/label/label.lst").write_text("\n".join(lines))
    row = {"path": str(tmp_path / "wild"), "layout": "expw", "faces": "box"}
    settings = tiny_settings(DATASETS={"alpha": row}, VARIANTS=("raw", "preprocessed"))
    data = load_samples("alpha", settings)
    assert data.samples["sample_id"].str.rpartition("#")[2].tolist() == ["0", "1"]
    assert data.rejected["reason"].str.contains("box").all()
    _, manifest = preprocess_or_load(data.samples, data.root, data.row, settings, "alpha")
    assert len(manifest) == 2


# ---------------------------------------------------------------- label files


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    ("layout", "file", "text"),
    [
        ("rafdb", "EmoLabel/list_patition_label.txt", "train_1.jpg 1\n"),
        ("expw", "label/label.lst", "a.jpg 0 1 2 50 40 60 6\n"),
        ("fer2013", "fer2013.csv", "emotion,pixels,Usage\n0,1 2,Training\n"),
    ],
)
def test_utf16_label_files_are_called_so(tmp_path: Path, layout: str, file: str, text: str, encoding: str) -> None:
    for folder in ("Image/aligned", "image/origin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "image/origin/a.jpg").touch()
    (tmp_path / file).parent.mkdir(exist_ok=True)
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / file).write_bytes((mark + text).encode(encoding))
    with pytest.raises(InputError, match=r"UTF-16\. Save it as UTF-8"):
        read(tmp_path, layout)


@LINUX
def test_a_label_file_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "Image/aligned").mkdir(parents=True)
    (tmp_path / "EmoLabel").mkdir()
    os.mkfifo(tmp_path / "EmoLabel/list_patition_label.txt")
    with pytest.raises(InputError, match="no file but a FIFO"):
        read(tmp_path, "rafdb")
