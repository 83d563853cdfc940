"""Promises about predicting: a dataset's own pictures get the stored predictions; bad input is named."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
import pandas as pd
import pytest
from face_datasets import study_settings
from PIL import Image

import predict
from evaluation import load_predictions, soft_vote
from fer.inference.best_run import best_run, trained_runs
from fer.inference.face_recipe import Face
from fer.inference.output import PANEL
from fer.inference.predictor import Predictor, load_models
from fer.inference.reading import AHEAD, AT_ONCE, Picture, prepared
from fer.inference.trained_model import load_model
from fer.layouts.label_sheets import BOX_COLUMNS
from fer.settings.settings import EMOTIONS, Settings
from fer.study.execution import execute
from fer.study.plan import Study, open_study, planned_runs
from main import report
from model_utils import load_state, save_state
from utils import file_fingerprint, read_sealed, write_sealed

pytestmark = pytest.mark.slow
TOLERANCE = 1e-5


def trained(settings: Settings) -> Study:
    study = open_study(settings)
    assert execute(study, planned_runs(study)) == {}
    return study


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Trained on drawn faces, raw and preprocessed, as colour JPEGs smaller than the network's input."""
    return trained(study_settings(tmp_path_factory.mktemp("faces")))


@pytest.fixture
def cropped(tiny_settings: Callable[..., Settings]) -> Study:
    """Trained on pictures that are the face, raw and preprocessed."""
    return trained(tiny_settings(VARIANTS=("raw", "preprocessed"), SEEDS=(1, 2)))


def rows_as_pictures(study: Study, name: str, split: str) -> list[Picture]:
    data = study.datasets[name]
    rows = data.rows(split)
    boxes = rows[BOX_COLUMNS].to_numpy(dtype=float)
    return [
        Picture(data.root / path, data.root / photo if photo else None, None if np.isnan(box).any() else tuple(box))
        for path, photo, box in zip(rows["path"], rows["original_path"], boxes, strict=True)
    ]


def run_of(study: Study, variant: str, seed: int = 42) -> str:
    (name,) = (p.name for p in planned_runs(study) if p.run.variant == variant and p.run.seed == seed)
    return name


def stored(study: Study, run: str, name: str, variant: str, tta: str = "none", split: str = "test") -> Any:
    folder = study.settings.output_path / "saved_models" / run / "predictions"
    return load_predictions(folder / f"{name}__{split}__{variant}__{tta}.npz")


@pytest.mark.parametrize("variant", ["raw", "preprocessed"])
@pytest.mark.parametrize("name", ["studio", "wild"])
@pytest.mark.parametrize("tta", ["none", "three_views"])
def test_a_datasets_own_pictures_get_the_stored_predictions(faces: Study, variant: str, name: str, tta: str) -> None:
    run = run_of(faces, variant)
    models = load_models([run], faces.settings.output_path, tta, like=name)
    answers = list(Predictor(models, "one", calibrated=False).predict(rows_as_pictures(faces, name, "test")))
    expected = stored(faces, run, name, variant, tta)
    found = np.array([list(answer.faces[0].probabilities.values()) for answer in answers])
    assert len(found) == len(expected.labels) > 5
    assert np.abs(found - expected.probabilities).max() < TOLERANCE
    assert [answer.faces[0].label for answer in answers] == [EMOTIONS[i] for i in expected.predicted]


def test_every_face_that_training_cut_out_is_among_those_found(faces: Study) -> None:
    """Without --one-face all faces are listed; the one of the training row is there with the same probabilities."""
    run = run_of(faces, "preprocessed")
    predictor = Predictor(load_models([run], faces.settings.output_path, like="studio"), calibrated=False)
    rows = rows_as_pictures(faces, "studio", "test")
    answers = list(predictor.predict([row.photo or row.path for row in rows]))
    expected = stored(faces, run, "studio", "preprocessed").probabilities
    nearest = [
        min((np.abs(list(face.probabilities.values()) - row).max() for face in answer.faces), default=np.nan)
        for answer, row in zip(answers, expected, strict=True)
    ]
    assert np.mean(np.array(nearest) < TOLERANCE) > 0.8


@pytest.mark.parametrize("variant", ["raw", "preprocessed"])
def test_cropped_pictures_need_no_switch(cropped: Study, variant: str) -> None:
    run = run_of(cropped, variant, 1)
    predictor = Predictor(load_models([run], cropped.settings.output_path), calibrated=False)
    pictures = [row.path for row in rows_as_pictures(cropped, "alpha", "test")]
    found = [list(answer.faces[0].probabilities.values()) for answer in predictor.predict(pictures)]
    assert np.abs(np.array(found) - stored(cropped, run, "alpha", variant).probabilities).max() < TOLERANCE


def test_several_runs_answer_with_their_mean(cropped: Study) -> None:
    runs = [run_of(cropped, "raw", seed) for seed in (1, 2)]
    predictor = Predictor(load_models(runs, cropped.settings.output_path), calibrated=False)
    pictures = [row.path for row in rows_as_pictures(cropped, "alpha", "test")]
    found = [list(answer.faces[0].probabilities.values()) for answer in predictor.predict(pictures)]
    expected = soft_vote(np.stack([stored(cropped, run, "alpha", "raw").probabilities for run in runs]))
    assert np.abs(np.array(found) - expected).max() < TOLERANCE


def test_the_temperature_is_that_of_the_studys_calibration(cropped: Study) -> None:
    output = cropped.settings.output_path
    write_study_and_report(cropped)
    table = pd.read_csv(output / "statistics" / "calibration.csv")
    for name in (one.name for one in trained_runs(output)):
        rows = table[(table["run"] == name) & (table["probabilities"] == "temperature")]
        model = load_model(name, output)
        assert model.temperature == pytest.approx(rows["temperature"].iloc[0], rel=1e-3)
        assert model.n_val == rows["n_val"].iloc[0]


def write_study_and_report(study: Study) -> None:
    from fer.study.execution import write_study

    write_study(study, planned_runs(study))
    report(study.settings.output_path, "png")


def test_best_without_tables_is_what_scored_highest_when_its_epoch_was_chosen(cropped: Study, tmp_path: Path) -> None:
    output = shutil.copytree(cropped.settings.output_path, tmp_path / "elsewhere")
    (output / "validation_results.csv").unlink(missing_ok=True)
    scores = {
        folder.name: read_sealed(folder / "run.json")["facts"]["best_validation"]["val_macro_f1"]
        for folder in trained_runs(output)
    }
    assert scores[load_model("best", output).name] == max(scores.values())


def test_best_is_what_the_tables_choose_not_the_luckiest_seed(cropped: Study, tmp_path: Path) -> None:
    write_study_and_report(cropped)
    output = shutil.copytree(cropped.settings.output_path, tmp_path / "elsewhere")
    path = output / "validation_results.csv"
    table = pd.read_csv(path, keep_default_na=False)
    single = (table["variant"] != "") & (table["members"] == "") & (table["tta"] == "none")
    planted = {("raw", "1"): 0.9, ("raw", "2"): 0.1, ("preprocessed", "1"): 0.6, ("preprocessed", "2"): 0.7}
    wanted = table["variant"] + "/" + table["seed"].astype(str)
    for (variant, seed), score in planted.items():
        table.loc[single & (wanted == f"{variant}/{seed}"), "macro_f1"] = score
    table.to_csv(path, index=False)
    assert best_run(output).name == run_of(cropped, "preprocessed", 2)


# ---------------------------------------------------------------- the command line


def call(output: Path, *arguments: str) -> int:
    return predict.main(["--output", str(output), *arguments])


def test_a_folder_with_broken_files_is_answered_and_they_are_listed(
    cropped: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = tmp_path / "mixed", cropped.settings.output_path
    folder.mkdir()
    good = rows_as_pictures(cropped, "alpha", "test")[0].path
    (folder / "a.png").write_bytes(good.read_bytes())
    (folder / "b.jpg").write_text("no picture")
    (folder / "c.png").write_bytes(good.read_bytes()[:60])
    (folder / "notes.txt").write_text("left alone")
    code = call(output, "--model", "best", "--image", str(folder), "--json", "--save", str(tmp_path / "t.csv"))
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert code == 1 and [Path(line["picture"]).name for line in lines] == ["a.png", "b.jpg", "c.png"]
    assert lines[0]["problem"] is None and "Pillow" in lines[1]["problem"] and lines[2]["problem"]
    assert "2 of 3 could not be read" in said.err
    with (tmp_path / "t.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["label"] == lines[0]["faces"][0]["label"] and rows[1]["problem"] == lines[1]["problem"]
    assert sum(float(rows[0][name]) for name in EMOTIONS) == pytest.approx(1, abs=1e-5)


def test_no_face_is_an_answer_and_a_picture_without_detection_is_one(
    faces: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (200, 160), (90, 120, 90)).save(tmp_path / "meadow.png")
    run = ["--model", run_of(faces, "preprocessed"), "--image", str(tmp_path / "meadow.png")]
    assert call(faces.settings.output_path, *run) == 0
    assert "no face found" in capsys.readouterr().out
    assert call(faces.settings.output_path, *run, "--no-face-detection", "--save", str(tmp_path / "out.jpg")) == 0
    assert "box 0, 0, 200, 160" in capsys.readouterr().out
    assert Image.open(tmp_path / "out.jpg").width == 200 + PANEL


def test_rotated_by_exif_and_animated_pictures_are_read_as_training_reads_them(faces: Study, tmp_path: Path) -> None:
    row = next(row for row in rows_as_pictures(faces, "studio", "test") if row.photo)
    assert row.photo is not None
    upright = Image.open(row.photo).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "film.png", save_all=True, append_images=[Image.new("RGB", upright.size)])
    predictor = Predictor(load_models([run_of(faces, "preprocessed")], faces.settings.output_path))
    files = [row.photo, tmp_path / "turned.png", tmp_path / "film.png"]
    plain, turned, film = ([face.probabilities for face in a.faces] for a in predictor.predict(files))
    assert plain == turned == film and plain


def test_workers_find_the_same_faces_in_the_same_order(faces: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer.inference.reading.WORTH_WORKERS", 48)
    predictor = Predictor(load_models([run_of(faces, "preprocessed")], faces.settings.output_path))
    pictures = [row.path for row in rows_as_pictures(faces, "wild", "test")][:10] * 10
    assert list(predictor.predict(pictures, workers=2)) == list(predictor.predict(pictures))


def test_a_video_is_answered_by_the_second_and_one_that_is_none_is_named(
    faces: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = next(row for row in rows_as_pictures(faces, "studio", "test") if row.photo)
    face = cv2.resize(cv2.imread(str(row.photo)), (320, 320))
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (320, 320))
    for number in range(20):
        writer.write(face if number >= 10 else np.full_like(face, 90))
    writer.release()
    run, output = ["--model", run_of(faces, "preprocessed")], faces.settings.output_path
    assert call(output, *run, "--image", str(film), "--json", "--save", str(tmp_path / "film.csv")) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["seconds"], len(line["faces"]) > 0) for line in lines] == [
        (0.0, False), (0.5, False), (1.0, True), (1.5, True)]  # fmt: skip
    assert list(pd.read_csv(tmp_path / "film.csv")["seconds"].unique()) == [0.0, 0.5, 1.0, 1.5]
    (tmp_path / "none.mp4").write_text("no film")
    assert call(output, *run, "--image", str(tmp_path / "none.mp4")) == 2
    assert "cannot be opened as a video" in capsys.readouterr().err


# ---------------------------------------------------------------- models that cannot be used


def spoil(folder: Path, **changes: Any) -> None:
    record = read_sealed(folder / "run.json")
    write_sealed(folder / "run.json", record | changes)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "weights.pth").unlink(), "its weights.pth is not there"),
        (lambda folder: (folder / "run.json").write_text("{"), "its run.json is there but cannot be used"),
        (lambda folder: save_state(folder / "weights.pth", {}), "it was changed"),
        (lambda folder: spoil_classes(folder), "answers with neutral, surprise"),
        (lambda folder: spoil_hyper(folder), "of another version"),
        (lambda folder: spoil_recipe(folder), "would cut them in another way"),
    ],
)
def test_a_run_that_cannot_be_used_is_named_with_the_way_out(
    cropped: Study, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], Any], said: str
) -> None:
    output = cropped.settings.output_path
    folder = trained_runs(output)[0]
    damage(folder)
    assert call(output, "--model", str(folder), "--image", "any.png") == 2
    assert said in " ".join(capsys.readouterr().err.split())


def spoil_classes(folder: Path) -> None:
    state = load_state(folder / "weights.pth")
    save_state(folder / "weights.pth", state | {"classes": state["classes"][::-1]})
    spoil(folder, weights_sha256=file_fingerprint(folder / "weights.pth", 64))


def spoil_hyper(folder: Path) -> None:
    record = read_sealed(folder / "run.json")
    run = record["run"] | {"hyper": record["run"]["hyper"] | {"warp_drive": 1}}
    spoil(folder, run=run)


def spoil_recipe(folder: Path) -> None:
    inputs = read_sealed(folder / "run.json")["inputs"]
    inputs["recipes"]["alpha"]["pack"][0] += 1
    spoil(folder, inputs=inputs)


def test_without_a_network_it_says_how_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, "--image", "any.png") == 2
    assert "python main.py --demo" in capsys.readouterr().err


def touch_and_find_nothing(views: list[np.ndarray], box: object = None, folder: str = "") -> list[Face]:
    (Path(folder) / uuid4().hex).touch()
    return []


def test_pictures_wait_in_small_numbers_however_many_there_are(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    pictures = [Picture(tmp_path / "one.png")] * 400
    found = prepared(pictures, partial(touch_and_find_nothing, folder=str(seen)), workers=2)
    next(found)
    time.sleep(2)  # for processes that would go on ahead
    assert len(list(seen.iterdir())) <= (2 * AHEAD + 1) * AT_ONCE
    assert len(list(found)) == len(pictures) - 1
