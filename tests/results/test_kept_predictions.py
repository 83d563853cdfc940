"""Promises about predictions in memory: the same rows are held once, and a bound holds whatever is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fer.results.study_files as study_files
from evaluation import Predictions
from fer.results.scores import _are_among
from fer.settings.settings import EMOTIONS

ROWS = 50


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that are read, as Predictions of ROWS rows each; "other" in their name: of other rows."""
    paths: list[Path] = []

    def load(path: Path) -> Predictions:
        paths.append(path)
        ids = np.array([f"{'b' if 'other' in path.name else 'a'}/{number}" for number in range(ROWS)])
        names = (path.name, "alpha", "test", "raw", "none", EMOTIONS)
        return Predictions(*names, ids, np.zeros(ROWS, np.int64), np.zeros((ROWS, 7), np.float32), "key")

    monkeypatch.setattr(study_files, "load_predictions", load)
    monkeypatch.setattr(study_files, "_kept", {})
    return paths


def test_a_file_is_read_once_until_it_is_written_anew(read: list[Path]) -> None:
    first = study_files._load_once(Path("one"), 1)
    assert study_files._load_once(Path("one"), 1) is first and read == [Path("one")]
    assert study_files._load_once(Path("one"), 2) is not first and len(read) == 2


def test_ids_of_the_same_rows_are_held_once(read: list[Path]) -> None:
    one, two, other = (study_files._load_once(Path(name), 1) for name in ("one", "two", "other"))
    assert one.sample_ids is two.sample_ids and two.run == "two"
    assert other.sample_ids[0] == "b/0"


@pytest.mark.parametrize("bound", ["MOST_KEPT", "KEPT_BYTES"])
def test_the_oldest_go_when_a_bound_is_reached(read: list[Path], monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    of_one = ROWS * (8 + 7 * 4)
    monkeypatch.setattr(study_files, bound, {"MOST_KEPT": 3, "KEPT_BYTES": 3 * of_one + 1}[bound])
    for number in range(6):
        study_files._load_once(Path(str(number)), 1)
    assert [path.name for path, _ in study_files._kept] == ["3", "4", "5"]
    monkeypatch.setattr(study_files, bound, 1)
    assert study_files._load_once(Path("6"), 1).run == "6" and list(study_files._kept) == [(Path("6"), 1)]


def test_rows_are_looked_up_by_name() -> None:
    ids = np.array(["a/1", "a/22", "a/3"])
    assert _are_among(ids, frozenset({"a/22", "b/1"})).tolist() == [False, True, False]
    assert _are_among(ids[:0], frozenset({"a/22"})).shape == (0,)
