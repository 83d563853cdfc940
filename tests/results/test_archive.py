"""Promises of an exported study: no picture, no weights, and the same tables from it anywhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from fake_study import FakeStudy

from fer.figures.engine import draw_changed
from fer.results.archive import export_study, unpack_study
from fer.results.tables import write_tables
from fer.settings.settings import check_settings
from main import report_from
from utils import InputError, write_json


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_report_of_a_file_leaves_nothing_beside_it_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    FakeStudy(tmp_path / "here")
    write_tables(tmp_path / "here")
    export_study(tmp_path / "here", tmp_path / "work" / "study.ZIP.zip")
    source = (tmp_path / "work" / "study.ZIP.zip").rename(tmp_path / "work" / "study.ZIP")
    monkeypatch.chdir(tmp_path / "work")
    settings = check_settings({"OUTPUT_DIR": str(tmp_path / "out")})
    assert report_from(Path("study.ZIP"), settings) == 0
    (folder,) = (tmp_path / "out" / "archives").iterdir()
    made = (folder / "report.html").stat().st_mtime_ns
    assert report_from(Path("study.ZIP"), settings) == 0
    assert (folder / "report.html").stat().st_mtime_ns == made
    assert list((tmp_path / "work").iterdir()) == [source]


@pytest.mark.slow
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
    assert not (tmp_path / "there").exists()
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack_study(tmp_path / "text.zip", tmp_path / "there")
    with pytest.raises(InputError, match=r"ends in \.zip"):
        export_study(tmp_path / "here", tmp_path / "study.tar")


def exported(folder: Path) -> bytes:
    FakeStudy(folder / "here", seeds=(1,))
    export_study(folder / "here", folder / "study.ZIP")
    return (folder / "study.ZIP").read_bytes()


def refused(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "strange.zip").write_bytes(data)
    with pytest.raises(InputError, match=why):
        unpack_study(tmp_path / "strange.zip", tmp_path / "there")
    assert not (tmp_path / "there").exists()
    assert not list(tmp_path.glob(".partial-*"))


def test_an_encrypted_or_unknown_compression_is_refused_in_words(tmp_path: Path) -> None:
    data = exported(tmp_path)
    central = data.index(b"PK\x01\x02")
    for place, value, why in ((8, 1, "is encrypted"), (10, 99, "by method 99")):
        changed = bytearray(data)
        changed[central + place] = value
        refused(tmp_path, bytes(changed), why)


@pytest.mark.slow
def test_an_archive_larger_than_any_study_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    for name in ("samples/huge.csv", "results.csv"):
        with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("study.json", "{}")
            archive.writestr(name, bytes(60 << 20))
        refused(tmp_path, (tmp_path / "bomb.zip").read_bytes(), "would become 63 MB")


def test_only_what_a_study_exports_is_unpacked(tmp_path: Path) -> None:
    """cache/figures.json lists files to remove, report/ and *.html run in a browser: none of an archive's is wanted."""
    exported(tmp_path)
    with zipfile.ZipFile(tmp_path / "study.ZIP", "a") as archive:
        for name in ("cache/figures.json", "report/report.js", "report.html", "saved_models/x/weights.pth"):
            archive.writestr(name, '{"../../victim.png": "x"}')
    there = unpack_study(tmp_path / "study.ZIP", tmp_path / "there")
    assert (there / "study.json").is_file()
    assert not {"cache", "report", "report.html"} & {path.name for path in there.iterdir()}
    assert not (there / "saved_models/x").exists()


def test_a_figure_list_from_elsewhere_removes_nothing_outside_its_study(tmp_path: Path) -> None:
    output, victims = tmp_path / "out", [tmp_path / "victim.png", tmp_path / "out" / "study.json"]
    FakeStudy(output, seeds=(1,))
    victims[0].write_text("kept")
    names = ["../victim.png", str(victims[0]), "a/../../victim.png", "study.json"]
    (output / "cache").mkdir()
    write_json(output / "cache" / "figures.json", dict.fromkeys(names, "old"))
    drawn, _ = draw_changed(output, {}, output / "cache" / "figures.json")
    assert all(victim.is_file() for victim in victims)
    assert drawn == []
