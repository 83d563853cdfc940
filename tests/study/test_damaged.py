"""Promises about damaged files of a study: named with their path and made again, never used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from face_datasets import face_settings, files_below, noise_pictures, prepare
from fake_study import FakeStudy
from PIL import Image

import training
from evaluation import load_predictions, store_predictions
from fer.data.samples import load_samples, read_samples
from fer.faces.packs import Pack, pack_or_load
from fer.results.study_files import read_class_counts
from fer.results.tables import write_tables
from fer.runs.run import PlannedRun
from fer.settings.settings import Settings
from fer.statistics.groups import read_row_facts
from fer.study.execution import execute
from fer.study.plan import open_study, planned_runs
from model_utils import load_state, save_state
from utils import InputError

Make = Callable[..., Settings]


class StoppedError(Exception):
    """Stands for a kill between two epochs."""


def interrupted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> PlannedRun:
    """The only run of `settings`, stopped after its first epoch."""
    study = open_study(settings)
    (planned,) = planned_runs(study)

    def stop(state: Any, folder: Path) -> None:
        save(state, folder)
        raise StoppedError

    save = training.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", stop)
        assert list(execute(study, [planned])) == [planned.name]
    return planned


def _junk(path: Path, _: dict[str, Any]) -> None:
    path.write_bytes(b"junk" * 100)


def _foreign(path: Path, stored: dict[str, Any]) -> None:
    save_state(path, stored | {"identity": "of another run"})


def _other_network(path: Path, stored: dict[str, Any]) -> None:
    save_state(path, stored | {"network": {"other.weight": torch.zeros(3)}})


def _flipped(path: Path, _: dict[str, Any]) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _other_progress(path: Path, stored: dict[str, Any]) -> None:
    save_state(path, stored | {"progress": stored["progress"] | {"epoch": 7}})


@pytest.mark.slow
@pytest.mark.parametrize("damage", [_junk, _foreign, _other_network, _flipped, _other_progress])
def test_a_damaged_checkpoint_is_named_and_the_run_starts_again(
    tiny_settings: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: Callable[..., None]
) -> None:
    settings = tiny_settings()
    planned = interrupted(settings, monkeypatch)
    path = planned.folder / "checkpoint.pth"
    damage(path, load_state(path))
    with caplog.at_level("INFO", logger="fer"):
        assert execute(open_study(settings), [planned]) == {}
    assert str(path) in caplog.text
    assert "starts again" in caplog.text
    assert "continuing after" not in caplog.text
    history = pd.read_csv(planned.folder / "history.csv")
    assert history["epoch"].tolist() == [1, 2]


def _fewer(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name)[:-1] for name in ("sample_ids", "labels", "probabilities")}


def _out_of_range(found: Any) -> dict[str, Any]:
    return {"labels": np.where(found.labels == 0, 9, found.labels)}


def _other_label(found: Any) -> dict[str, Any]:
    return {"labels": (found.labels + 1) % 7}


def _other_order(found: Any) -> dict[str, Any]:
    return {"classes": found.classes[::-1]}


def _texts(found: Any) -> dict[str, Any]:
    return {"labels": found.labels.astype(str)}


@pytest.mark.slow
def test_damaged_predictions_are_named_and_made_again(tiny_settings: Make, caplog: pytest.LogCaptureFixture) -> None:
    settings = tiny_settings(EPOCHS=1)
    study = open_study(settings)
    (planned,) = planned_runs(study)
    assert execute(study, [planned]) == {}
    path = next((planned.folder / "predictions").glob("*__test__*"))
    whole = load_predictions(path)
    for damage in (_fewer, _out_of_range, _other_label, _other_order, _texts):
        store_predictions(path, replace(whole, **damage(whole)))
        caplog.clear()
        with caplog.at_level("INFO", logger="fer"):
            assert execute(study, [planned]) == {}
        assert f"{path} is made again" in caplog.text
        again = load_predictions(path)
        assert again.labels.tolist() == whole.labels.tolist()
        assert np.array_equal(again.probabilities, whole.probabilities)
        assert again.classes == whole.classes
    with np.load(path) as stored:
        changed = dict(stored)
    changed["probabilities"] = changed["probabilities"][:, ::-1]
    np.savez_compressed(path, **changed)
    assert execute(study, [planned]) == {}
    assert np.array_equal(load_predictions(path).probabilities, whole.probabilities)
    reads = settings.output_path / "test_reads.csv"
    for text in (b"\x00\xff\x80junk", b"test_on,run\nalpha,x\n", b""):
        reads.write_bytes(text)
        path.unlink()
        caplog.clear()
        assert execute(study, [planned]) == {}
        assert str(reads) in caplog.text
        assert reads.with_name("test_reads.damaged.csv").read_bytes() == text
        assert pd.read_csv(reads)["run"].tolist() == [planned.name]


@pytest.mark.slow
def test_a_picture_that_vanishes_fails_its_runs_with_its_path(tiny_settings: Make) -> None:
    settings = tiny_settings(EPOCHS=1, VARIANTS=("raw", "preprocessed"))
    study = open_study(settings)
    runs = planned_runs(study)
    picture = study.datasets["alpha"].root / study.datasets["alpha"].samples["path"].iloc[0]
    shutil.move(picture, picture.with_suffix(".away"))
    failures = execute(study, runs)
    assert set(failures) == {planned.name for planned in runs}
    assert all(picture.name in problem and "alpha" in problem for problem in failures.values()), failures


def test_a_prepared_picture_that_was_emptied_or_replaced_is_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples = noise_pictures(tmp_path / "in", 6)
    settings = face_settings(tmp_path)
    folder, manifest = prepare(samples, tmp_path / "in", "cropped", settings)
    whole = files_below(folder)
    first, second, third = (folder / file for file in manifest["file"][:3])
    first.write_bytes(b"")
    shutil.copyfile(folder / manifest["file"][5], second)
    Image.fromarray(255 - np.asarray(Image.open(third))).save(third)
    prepare(samples, tmp_path / "in", "cropped", settings)
    assert files_below(folder) == whole
    for path in (first, second, third):
        assert f"{path} is made again" in caplog.text
    data = bytearray(whole[manifest["file"][3]])
    data[-20] ^= 1  # as many bytes as before
    (folder / manifest["file"][3]).write_bytes(bytes(data))
    later = (folder / "manifest.csv").stat().st_mtime + 5
    os.utime(folder / manifest["file"][3], (later, later))
    prepare(samples, tmp_path / "in", "cropped", settings)
    assert files_below(folder) == whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["manifest.csv", "recipe.json"])
@pytest.mark.parametrize("data", [bytes(range(256)) * 9, b"", b"[" * 100_000], ids=["binary", "empty", "deep"])
def test_a_damaged_manifest_or_recipe_is_refused_with_its_path(tmp_path: Path, name: str, data: bytes) -> None:
    samples = noise_pictures(tmp_path / "in", 2)
    folder, _ = prepare(samples, tmp_path / "in", "cropped", face_settings(tmp_path))
    (folder / name).write_bytes(data)
    with pytest.raises(InputError, match=f"(?s){name}.*Delete"):
        prepare(samples, tmp_path / "in", "cropped", face_settings(tmp_path))


@pytest.mark.slow
def test_an_edited_samples_table_is_named_and_made_again(tiny_settings: Make, caplog: pytest.LogCaptureFixture) -> None:
    settings = tiny_settings()
    whole = load_samples("alpha", settings).samples
    path = settings.output_path / "samples" / "alpha_samples.csv"
    text = path.read_text()
    path.write_text(text.replace(",train,", ",test,", 1))
    again = load_samples("alpha", settings).samples
    assert again["split"].tolist() == whole["split"].tolist()
    assert "alpha_samples.csv was changed" in caplog.text
    assert path.read_text() == text


def test_a_report_leaves_out_what_an_edited_samples_table_says(tiny_settings: Make) -> None:
    settings = tiny_settings()
    whole = load_samples("alpha", settings).samples
    assert sum(read_class_counts(settings.output_path, "alpha")["train"]) == (whole["split"] == "train").sum()
    for part in ("samples", "rejected", "funnel"):
        path = settings.output_path / "samples" / f"alpha_{part}.csv"
        text = path.read_text()
        path.write_text(text + "\n")
        with pytest.raises(InputError, match=f"alpha_{part}.csv was changed"):
            read_samples(path)
        path.write_text(text)
    path = settings.output_path / "samples" / "alpha_samples.csv"
    path.write_text(path.read_text().replace(",train,", ",test,", 1))
    for reads in (lambda: read_class_counts(settings.output_path, "alpha"),
                  lambda: read_row_facts(settings.output_path, "alpha")):  # fmt: skip
        with pytest.raises(InputError, match=r"alpha_samples\.csv was changed"):
            reads()


@pytest.mark.parametrize("damage", ["inverted", "no note", "junk in the note", "of another time"])
def test_a_changed_pack_is_named_and_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    files = noise_pictures(tmp_path / "in", 5)

    def packed() -> Pack:
        return pack_or_load(files, tmp_path / "in", 12, False, tmp_path / "cache", "x")

    pack = packed()
    whole, pixels, note = np.asarray(pack.open()), pack.pixels, pack.pixels.with_suffix(".json")
    if damage == "inverted":
        data = pixels.read_bytes()
        pixels.write_bytes(data[:-60] + bytes(255 - byte for byte in data[-60:]))
        os.utime(pixels, ns=(1, 1))
    elif damage == "no note":
        note.unlink()
    elif damage == "junk in the note":
        note.write_bytes(b"\xff[")
    else:
        os.utime(pixels, ns=(1, 1))
    assert (np.asarray(packed().open()) == whole).all()
    assert (f"{pixels} is made again" in caplog.text) == (damage != "of another time")
    caplog.clear()
    packed()
    assert not caplog.text


@pytest.mark.slow
def test_a_report_leaves_out_predictions_that_lost_rows(tmp_path: Path) -> None:
    (planned,) = FakeStudy(tmp_path, ("studio",), (("studio",),), tta=("none",)).plan()
    path = next((planned.folder / "predictions").glob("*__test__*"))
    with np.load(path) as stored:
        fields = dict(stored)
    right = fields["probabilities"].argmax(1) == fields["labels"]
    np.savez_compressed(path, **fields | {n: fields[n][right] for n in ("sample_ids", "labels", "probabilities")})
    results, _ = write_tables(tmp_path)
    assert planned.name not in set(results["run"])
    assert path.name in (tmp_path / "tables" / "left_out.json").read_text()
