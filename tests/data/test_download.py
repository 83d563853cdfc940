"""Promises of `--download`: whole or absent, gone on with after an interruption, verified, steps for gated datasets."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from layout_trees import row_of, touch

import main as program
from fer.data import download as downloads
from fer.data.download import download
from fer.data.readers import find_layout, missing_datasets
from fer.layouts.emotions import EMOTIONS
from fer.layouts.known_datasets import KNOWN_DATASETS
from utils import InputError

FILES = ["train/happy/Training_1.jpg", "train/sad/Training_2.jpg", "test/happy/PublicTest_3.jpg",
         "test/fear/PrivateTest_4.jpg"]  # fmt: skip
COUNTS = {"train": {"happy": 1, "sad": 1}, "val": {"happy": 1}, "test": {"fear": 1}}


class FakeKaggle:
    """Kaggle's client as seen from here: a cache named by its variable, gone on with, marked when it is whole."""

    def __init__(self, files: list[str]) -> None:
        self.files = files
        self.fetched: list[str] = []
        self.fails_after: int | None = None

    def dataset_download(self, name: str) -> str:
        folder = Path(os.environ["KAGGLEHUB_CACHE"], "datasets", *name.split("/"), "versions", "1")
        for file in self.files:
            if not (folder / file).exists():
                if self.fails_after is not None and len(self.fetched) == self.fails_after:
                    raise ConnectionError("the line is dead")
                touch(folder, file)
                self.fetched.append(file)
        return str(folder)


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch) -> FakeKaggle:
    fake = FakeKaggle(list(FILES))
    for variable in ("KAGGLEHUB_CACHE", "DISABLE_KAGGLE_CACHE", "DISABLE_COLAB_CACHE"):
        monkeypatch.setenv(variable, "as it was")  # restored afterwards
    module = SimpleNamespace(dataset_download=fake.dataset_download, __spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    counts = {split: dict.fromkeys(EMOTIONS, 0) | of for split, of in COUNTS.items()}
    monkeypatch.setitem(KNOWN_DATASETS, "fer2013", replace(KNOWN_DATASETS["fer2013"], counts=counts))
    return fake


def problem_of(root: Path, **values: Any) -> str:
    with pytest.raises(InputError) as error:
        download("fer2013", row_of("fer2013", **values), root)
    return str(error.value)


def test_a_whole_dataset_lands_in_its_folder_and_nothing_beside_it(tmp_path: Path, kaggle: FakeKaggle) -> None:
    listing = download("fer2013", row_of("fer2013"), tmp_path / "in" / "FER2013")
    assert len(listing.samples) == len(FILES)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["FER2013"]
    assert find_layout("fer2013", row_of("fer2013"), tmp_path / "in" / "FER2013")[0] == "fer2013 folders"


def test_an_interrupted_download_is_no_dataset_and_goes_on(tmp_path: Path, kaggle: FakeKaggle) -> None:
    root = tmp_path / "FER2013"
    kaggle.fails_after = 3
    assert "the line is dead" in problem_of(root)
    (missing,) = missing_datasets({"fer2013": (row_of("fer2013"), root)})
    assert not root.exists()
    assert "does not exist. An unfinished download" in missing and "--download fer2013 goes on" in missing
    row = row_of("fer2013")
    with pytest.raises(InputError, match="unfinished download"):
        find_layout("fer2013", row, tmp_path / "FER2013.partial")
    kaggle.fails_after = None
    assert len(download("fer2013", row, root).samples) == len(FILES)
    assert kaggle.fetched == FILES  # each once


def test_a_client_killed_outright_leaves_no_dataset(
    tmp_path: Path, kaggle: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(name: str, scratch: Path) -> Path:
        touch(scratch / "kaggle", *FILES)
        raise KeyboardInterrupt

    monkeypatch.setitem(downloads.CLIENTS, "kaggle", stopped)
    with pytest.raises(KeyboardInterrupt):
        download("fer2013", row_of("fer2013"), tmp_path / "FER2013")
    assert [path.name for path in tmp_path.iterdir()] == ["FER2013.partial"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (FILES[:-1], "test: fear 0 of 1"),
        ([*FILES, "train/sad/Training_9.jpg"], "train: sad 2 of 1"),
        (["notes.txt"], "does not have a layout"),
        ([], "does not exist"),
    ],
)
def test_a_wrong_set_is_not_put_into_its_place(
    tmp_path: Path, kaggle: FakeKaggle, files: list[str], words: str
) -> None:
    kaggle.files = files
    text = problem_of(tmp_path / "FER2013")
    assert words in text and "Nothing was put into its place" in text
    assert not (tmp_path / "FER2013").exists()


def test_what_lies_in_the_folder_is_never_overwritten(tmp_path: Path, kaggle: FakeKaggle) -> None:
    mine = touch(tmp_path / "FER2013", "mine.jpg") / "mine.jpg"
    assert "holds something already" in problem_of(tmp_path / "FER2013")
    assert mine.exists() and not kaggle.fetched


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    tmp_path: Path, kaggle: FakeKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "free_space", lambda path: 100e6)
    assert "170 MB for a while, 100 MB are free" in problem_of(tmp_path / "FER2013")
    assert not kaggle.fetched


def test_a_missing_client_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer.machine.extras.find_spec", lambda module: None)
    assert "uv sync --extra kaggle" in problem_of(tmp_path / "FER2013")
    with pytest.raises(InputError, match="uv sync --extra parquet"):  # before hours of fetching
        download("mine", row_of("parquet", source="huggingface:someone/faces"), tmp_path / "mine")


def test_a_row_names_its_own_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def snapshot(repo: str, repo_type: str, revision: str | None, local_dir: Path) -> str:
        asked.update(repo=repo, repo_type=repo_type, revision=revision)
        touch(local_dir, "train/happy/a.jpg", ".cache/huggingface/a.jpg.metadata")
        return str(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    row = row_of("folders", source="huggingface:someone/faces")
    assert len(download("mine", row, tmp_path / "mine").samples) == 1
    assert asked == {"repo": "someone/faces", "repo_type": "dataset", "revision": None}
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["train"]
    download("theirs", row_of("folders", source="huggingface:someone/faces@refs/convert/parquet"), tmp_path / "theirs")
    assert (asked["repo"], asked["revision"]) == ("someone/faces", "refs/convert/parquet")
    with pytest.raises(ValueError, match="source"):
        row_of("folders", source="ftp:someone/faces")


@pytest.mark.parametrize("name", ["rafdb", "jaffe"])
def test_gated_datasets_get_their_steps(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program.main(["--download", name]) == 2
    words = capsys.readouterr().out
    assert KNOWN_DATASETS[name].page in words and KNOWN_DATASETS[name].terms in words and "--check" in words
    assert ('DATASETS["jaffe"] =' in words) == (name == "jaffe")  # config.py has no row of it


def test_one_that_needs_no_request_is_not_called_gated_where_it_has_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--download", "fer2013_resplit"]) == 2
    words = capsys.readouterr().out
    assert "not fetched by this program" not in words and "--download fer2013_resplit then fetches it" in words


def test_an_unknown_name_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--download", "fer2031"]) == 2
    assert 'Did you mean "fer2013"?' in capsys.readouterr().err


def test_the_command_fetches_into_the_folder_of_the_row(
    tmp_path: Path, kaggle: FakeKaggle, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f'DATASETS.fer2013.path="{tmp_path / "FER2013"}"'
    assert program.main(["--download", "fer2013", "--set", path]) == 0
    assert (tmp_path / "FER2013" / FILES[0]).exists()
    assert "4 faces, layout fer2013 folders" in capsys.readouterr().err
