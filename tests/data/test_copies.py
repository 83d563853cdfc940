"""Promises about planted copies, from folders to numbers: dropped, purged from validation, and counted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import draw_class_picture, draw_folders

from fer.audit.audit import audit_datasets, count_exact_between
from fer.data.folds import fold_names, with_fold
from fer.data.samples import load_samples
from fer.results.ensembles import with_derived
from fer.results.leaks import Copies
from fer.results.study_files import read_predictions, read_study
from fer.results.tables import write_tables
from fer.settings.settings import EMOTIONS, Settings
from fer.statistics.calibration_tables import Validation
from fer.study.execution import execute, write_study
from fer.study.plan import open_study, planned_runs

Make = Callable[..., Settings]


def root_of(settings: Settings, name: str) -> Path:
    return settings.resolve(settings.datasets[name].path)


def pictures_of(root: Path, split: str) -> list[Path]:
    return sorted((root / split).rglob("*.png"))


def draw_photos(root: Path, planted: list[Path], own: int) -> None:
    """A set in ExpW's layout: `planted` pictures as its photos, two faces in each, and `own` photos of its own."""
    photos = root / "image" / "origin"
    photos.mkdir(parents=True)
    lines = []
    for number in range(own + len(planted)):
        photo = photos / f"photo_{number:03d}.jpg"
        if number < own:
            draw_class_picture(photo.with_suffix(".png"), number % 7, 9000 + number)
            photo.with_suffix(".png").rename(photo)
        else:
            shutil.copy(planted[number - own], photo)
        lines += [f"{photo.name} {face} {face} 0 18 {17 + face} 90 {(number + face) % 7}" for face in (0, 1)]
    (root / "label").mkdir()
    (root / "label" / "label.lst").write_text("\n".join(lines) + "\n")


@pytest.fixture
def wild(tiny_settings: Make, tmp_path: Path) -> Settings:
    """alpha, and a set with boxes whose photos are 20 of alpha's test and 15 of its training pictures, and 60 more."""
    alpha = root_of(tiny_settings("alpha"), "alpha")
    draw_photos(tmp_path / "in" / "wild", [*pictures_of(alpha, "test")[:20], *pictures_of(alpha, "train")[:15]], 60)
    rows = {"alpha": {"path": str(alpha), "layout": "folders", "faces": "cropped"},
            "wild": {"path": str(tmp_path / "in" / "wild"), "layout": "expw", "faces": "box"}}  # fmt: skip
    return tiny_settings("alpha", ACTIVE_DATASETS=("alpha", "wild"), DATASETS=rows, EXPERIMENTS=("both",))


@pytest.mark.slow
def test_pictures_planted_as_photos_of_a_set_with_boxes_are_copies(wild: Settings) -> None:
    study = open_study(wild)
    rows = pd.concat([data.readable.assign(dataset=name) for name, data in study.datasets.items()])
    assert count_exact_between(rows) == {"alpha in wild": 35, "wild in alpha": 70}

    photos = study.datasets["wild"].samples
    tests = study.datasets["alpha"].rows("test")
    shared = photos[photos["content"].isin(tests["content"])]
    assert len(shared) == 40, "two faces a photo"
    kept = study.training(("alpha", "wild")).samples
    assert set(kept["wild"]["sample_id"]).isdisjoint(shared["sample_id"])
    later = photos[photos["split"] == "test"]["content"]
    assert not kept["alpha"]["content"].isin(later).any()
    assert len(study.training(("wild",)).samples["wild"]) == (photos["split"] != "test").sum(), "alone it keeps them"

    found = Copies(wild.output_path).find(("wild",), "alpha").identical
    outside = shared[shared["split"] != "test"]["content"].nunique()
    assert 0 < len(found) == outside <= 20


@pytest.mark.slow
def test_copies_carved_into_validation_are_counted(tiny_settings: Make) -> None:
    settings = tiny_settings("alpha")
    root = root_of(settings, "alpha")
    for label, emotion in enumerate(EMOTIONS):  # a larger test set, all but a few of it planted in training
        for number in range(4, 7):
            draw_class_picture(root / "test" / emotion / f"more_{number}.png", label, 2000 + number)
    planted = pictures_of(root, "test")[:42]
    for picture in planted:
        shutil.copy(picture, root / "train" / picture.parent.name / f"planted_{picture.name}")
    data = load_samples("alpha", settings)
    left = data.rejected[data.rejected["step"] == "copies"]
    assert len(left) == 42 and (left["split"] == "val").any()
    assert len(Copies(settings.output_path).find(("alpha",), "alpha").identical) == 42


@pytest.mark.slow
def test_what_left_validation_judges_nothing(tiny_settings: Make, tmp_path: Path) -> None:
    """28 of alpha's 100 validation pictures are beta's test pictures: a combined run must not weigh or fit on them."""
    settings = tiny_settings("alpha", "beta", EPOCHS=1, MODEL_CONFIG=two_models(), EXPERIMENTS=("both",))
    alpha, beta = (root_of(settings, name) for name in ("alpha", "beta"))
    draw_folders(alpha, {"val": [11, 11, *[10] * 5]})
    for picture in pictures_of(beta, "test"):
        shutil.copy(picture, alpha / "val" / picture.parent.name / f"planted_{picture.name}")
    study = open_study(settings)
    assert len(study.datasets["alpha"].rows("val")) == 100
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    write_study(study, runs)

    stored = with_derived(read_study(settings.output_path))
    validation = Validation(stored, [])
    own = {name: len(study.datasets[name].rows("val")) for name in ("alpha", "beta")}
    for run in stored.runs:
        alone = {"alpha": 100, "beta": own["beta"], "alpha+beta": 72 + own["beta"]}[run.train_on]
        assert validation.temperatures(run, "none")[1] == alone, run.name
    combined = [entry for entry in stored.predictions if entry.run.train_on == "alpha+beta"]
    weighing = {name for e in combined for panel in e.weighed_on for one in panel for name in ids(one)}
    weighing |= {name for e in combined if e.split == "val" for name in ids(e)}
    assert len(weighing) == 72 + own["beta"] and not any("planted" in name for name in weighing)


def two_models() -> dict[str, dict[str, object]]:
    row = {"batch_size": 16, "weights": None, "input_size": 16, "channels": 1}
    return {"tiny_plain": row, "other": row | {"architecture": "tiny_plain"}}


def ids(entry: object) -> list[str]:
    return read_predictions(entry).sample_ids.tolist()  # type: ignore[arg-type]


def free(settings: Settings, name: str) -> Path:
    """Take the official test set away."""
    root = root_of(settings, name)
    shutil.rmtree(root / "test")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["drop", "majority"])
def test_conflicts_never_change_a_label_that_a_fold_tests_on(tiny_settings: Make, policy: str) -> None:
    settings = tiny_settings(SPLITS="kfold", FOLDS=3, CONFLICTS=policy)
    root = free(settings, "alpha")
    for number in range(8):  # eight pictures delivered three times: twice as happy, once as sad
        for place in ("happy/again", "sad/other"):
            target = root / "train" / f"{place}_{number}.png"
            shutil.copy(root / "train" / "happy" / f"happy_{number:03d}.png", target)
    data = load_samples("alpha", settings)
    delivered = data.readable.set_index("sample_id")["label"]
    assert len(delivered) == 96
    tested = []
    for name in fold_names([data], settings):
        fold = with_fold(data, name, settings)
        for split in ("val", "test"):
            rows = fold.rows(split).set_index("sample_id")["label"]
            assert (rows == delivered[rows.index]).all(), f"{name} {split}"
        train = fold.rows("train")
        assert (train.groupby("face")["label"].nunique() == 1).all(), "settled in the fold's training rows"
        assert sorted(fold.readable["sample_id"]) == sorted(delivered.index)
        assert (fold.readable.set_index("sample_id")["label"].reindex(delivered.index) == delivered).all()
        assert fold.samples.index.equals(pd.RangeIndex(len(fold.samples)))
        tested += fold.rows("test")["sample_id"].tolist()
    assert sorted(tested) == sorted(delivered.index)
    cached = with_fold(load_samples("alpha", settings), "r0f0", settings)
    pd.testing.assert_frame_equal(cached.samples, with_fold(data, "r0f0", settings).samples, check_dtype=False)


@pytest.mark.slow
def test_copies_and_conflicts_do_not_come_back_into_folds_beside_a_limit(tiny_settings: Make) -> None:
    settings = tiny_settings(SPLITS="kfold", FOLDS=3, CONFLICTS="drop", LIMIT_PER_SPLIT=10)
    root = free(settings, "alpha")
    for number in range(8):
        shutil.copy(root / "train/happy" / f"happy_{number:03d}.png", root / "train/sad" / f"other_{number}.png")
    data = load_samples("alpha", settings)
    assert {"conflicts", "limit"} <= set(data.rejected["step"])
    for name in fold_names([data], settings):
        fold = with_fold(data, name, settings)
        assert set(fold.samples["sample_id"]) <= set(data.samples["sample_id"])
        assert len(fold.samples) + len(fold.rejected) == len(data.samples) + len(data.rejected), "none is lost"
    assert set(data.unsettled["sample_id"]) == set(data.samples["sample_id"]), "nor are they prepared and packed"


@pytest.mark.slow
def test_folds_say_which_test_pictures_are_copies(tiny_settings: Make) -> None:
    """Twelve of beta's test pictures stand in alpha: in each fold, those count that alpha does not test on itself."""
    settings = tiny_settings("alpha", "beta", EPOCHS=1, SPLITS="kfold", FOLDS=2)
    root = free(settings, "alpha")
    planted = pictures_of(root_of(settings, "beta"), "test")[:12]
    for picture in planted:
        shutil.copy(picture, root / "train" / picture.parent.name / f"planted_{picture.name}")
    study = open_study(settings)
    runs = [planned for planned in planned_runs(study) if planned.run.train_on == ("alpha",)]
    assert execute(study, runs) == {}
    write_study(study, runs)
    results = write_tables(settings.output_path)[0].query("tta == 'none'")
    rows = results[(results["model"] == "tiny_plain") & (results["test_on"] == "beta")].set_index("split")
    for fold in ("r0f0", "r0f1"):
        outside = study.at(fold).datasets["alpha"].samples.query("split != 'test'")["sample_id"]
        expected = outside.str.contains("planted").sum()
        assert 0 < expected < 12
        assert rows.loc[fold, "n_copies"] == expected
        assert rows.loc[fold, "n_copies"] + rows.loc[fold, "n_without_copies"] == 28
    own = results[(results["model"] == "tiny_plain") & (results["test_on"] == "alpha")]
    assert (own["n_copies"] == 0).all(), "identical pictures stay together in every fold"
    assert np.isfinite(rows["accuracy_copies"].to_numpy(dtype=float)).all()


@pytest.mark.slow
def test_sets_without_any_copy_are_audited(tiny_settings: Make) -> None:
    settings = tiny_settings()
    rows = load_samples("alpha", settings)
    findings = audit_datasets({"alpha": rows}, settings)
    assert not (findings.copies["kind"] == "exact").any()
