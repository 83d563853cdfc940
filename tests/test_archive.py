"""Promises of an exported study: no picture, no weights, and the same tables from it anywhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from fake_study import FakeStudy

from fer.archive import export_study, unpack_study
from fer.tables import write_tables
from utils import InputError


def test_tables_made_from_the_archive_are_the_same(tmp_path: Path) -> None:
    FakeStudy(tmp_path / "here")
    write_tables(tmp_path / "here")
    (tmp_path / "here" / "confusion_matrices").mkdir()
    (tmp_path / "here" / "confusion_matrices" / "face.png").write_bytes(b"a face")
    export_study(tmp_path / "here", tmp_path / "study.zip")
    with zipfile.ZipFile(tmp_path / "study.zip") as archive:
        suffixes = {Path(name).suffix for name in archive.namelist()}
    assert suffixes <= {".json", ".csv", ".npz", ".txt", ".md", ".tex"}
    there = unpack_study(tmp_path / "study.zip", tmp_path / "there")
    (there / "results.csv").unlink()
    write_tables(there)
    assert (there / "results.csv").read_bytes() == (tmp_path / "here" / "results.csv").read_bytes()


def test_runs_outside_the_plan_stay_at_home(tmp_path: Path) -> None:
    FakeStudy(tmp_path / "here", seeds=(1, 2))
    FakeStudy(tmp_path / "here", seeds=(1,))
    export_study(tmp_path / "here", tmp_path / "study.zip")
    with zipfile.ZipFile(tmp_path / "study.zip") as archive:
        assert not [name for name in archive.namelist() if "__s2__" in name]


def test_nothing_is_overwritten_and_strange_archives_are_refused(tmp_path: Path) -> None:
    FakeStudy(tmp_path / "here")
    export_study(tmp_path / "here", tmp_path / "study.zip")
    with pytest.raises(InputError, match="holds a study already"):
        unpack_study(tmp_path / "study.zip", tmp_path / "here")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("study.json", "{}")
        archive.writestr("../outside.txt", "x")
    with pytest.raises(InputError, match=r"\.\./outside"):
        unpack_study(tmp_path / "evil.zip", tmp_path / "there")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack_study(tmp_path / "text.zip", tmp_path / "there")
    with pytest.raises(InputError, match=r"ends in \.zip"):
        export_study(tmp_path / "here", tmp_path / "study.tar")
