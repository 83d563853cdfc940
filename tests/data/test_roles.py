"""Datasets that are only tested on, and datasets without labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import draw_class_picture

from fer.data.samples import load_samples
from fer.settings.settings import EMOTIONS, Settings, check_settings
from fer.study.plan import open_study, planned_runs
from fer.study.variants import scored_faces
from main import run_study
from utils import InputError

WEB = {"happy": 3, "sad": 2, "fear": 1}  # few pictures, four classes missing


@pytest.fixture
def with_web(tiny_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Settings]:
    """Settings over two sets to train on and "web", six class-folder pictures without splits; of the role given."""

    def make(role: str = "test", **changes: Any) -> Settings:
        both = tiny_settings("alpha", "beta")
        root = tmp_path / "in" / "web"
        for emotion, count in WEB.items():
            for number in range(count):
                draw_class_picture(root / emotion / f"{number}.png", EMOTIONS.index(emotion), 90_000 + number)
        web = {"path": str(root), "layout": "folders", "faces": "cropped", "role": role}
        rows = {name: row.model_dump() for name, row in both.datasets.items()}
        return tiny_settings(
            "alpha", "beta", **{"ACTIVE_DATASETS": ("alpha", "beta", "web"), "DATASETS": rows | {"web": web}} | changes
        )

    return make


def test_all_rows_of_a_set_without_splits_are_tested_whatever_their_number(with_web: Callable[..., Settings]) -> None:
    data = load_samples("web", with_web())
    assert data.samples["split"].tolist() == ["test"] * 6
    assert data.official_test
    assert data.notes == ("web: no test picture of angry, disgust, surprise, neutral; metrics of that are NaN, macro "
                          "averages skip it",)  # fmt: skip


def test_an_official_test_set_stays_the_test_set(tiny_settings: Callable[..., Settings]) -> None:
    rows = {"alpha": tiny_settings("alpha").datasets["alpha"].model_dump() | {"role": "test"}}
    settings = tiny_settings("alpha", "beta")
    rows |= {"beta": settings.datasets["beta"].model_dump()}
    samples = load_samples("alpha", tiny_settings("alpha", "beta", DATASETS=rows)).samples
    assert samples["split"].value_counts().to_dict() == {"train": 80, "test": 28}  # no validation is carved


def test_it_never_trains_and_changes_no_other_run(with_web: Callable[..., Settings]) -> None:
    experiments = ("individual", "combined", "leave_one_out")
    beside = planned_runs(open_study(with_web(EXPERIMENTS=experiments)))
    alone = planned_runs(open_study(with_web(EXPERIMENTS=experiments, ACTIVE_DATASETS=("alpha", "beta"))))
    assert [planned.name for planned in beside] == [planned.name for planned in alone]
    assert {name for planned in beside for name in planned.run.train_on} == {"alpha", "beta"}


@pytest.mark.slow
def test_a_study_with_it_has_its_scores_baseline_and_intervals(
    with_web: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = with_web(EXPERIMENTS=("individual", "combined"))
    trained = load_samples("alpha", settings).rows("train").iloc[0]
    copy = tmp_path / "in" / "web" / EMOTIONS[trained["label"]] / "copy.png"
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(tmp_path / "in" / "alpha" / trained["path"], copy)
    assert run_study(settings) == 0
    results = pd.read_csv(settings.output_path / "results.csv")
    web = results[results["test_on"] == "web"].set_index("train_on")
    networks = web[(web["model"] == "tiny_plain") & (web["tta"] == "none")]
    assert set(networks["section"]) == {"cross"}
    assert networks["n_test"].tolist() == [7, 7, 7]
    # the picture copied from alpha is a copy for those that learned from alpha, and for no other
    assert networks["n_copies"].to_dict() == {"alpha": 1, "beta": 0, "alpha+beta": 1}
    assert set(networks["classes_shared"]) == {"angry fear happy sad"}
    baseline = web[web["model"] == "majority_class"].iloc[0]
    counts = pd.Series(WEB).add(pd.Series({EMOTIONS[trained["label"]]: 1}), fill_value=0)
    assert baseline["accuracy"] == pytest.approx(counts.max() / 7)
    assert baseline["n_train"] == baseline["n_val"] == 0
    intervals = pd.read_csv(settings.output_path / "statistics" / "intervals.csv")
    own = intervals[(intervals["test_on"] == "web") & (intervals["method"] == "wilson")]
    assert set(own["train_on"]) == {"alpha", "beta", "alpha+beta"}
    assert (own["low"] < own["high"]).all()
    assert "web" not in set(pd.read_csv(settings.output_path / "validation_results.csv")["test_on"])
    page = (settings.output_path / "report.html").read_text(encoding="utf-8")
    assert "only tested" in page.lower()
    assert "4 of 7, not disgust, surprise, neutral" in page


@pytest.fixture
def pile(with_web: Callable[..., Settings], tmp_path: Path) -> Callable[..., Settings]:
    """Settings over alpha and a plain folder of five pictures in folders of any name."""

    def make(**entries: Any) -> Settings:
        root = tmp_path / "in" / "pile"
        for number, name in enumerate(("a.png", "deep/b.png", "deep/er/c.PNG", "happy/d.png", "e.png")):
            draw_class_picture(root / name, number, 80_000 + number)
        (root / "notes.txt").write_text("no picture")
        rows = {name: row.model_dump() for name, row in with_web().datasets.items()}
        rows["pile"] = {
            "path": str(root), "layout": "pictures", "faces": "cropped", "role": "unlabelled", **entries,
        }  # fmt: skip
        return with_web(ACTIVE_DATASETS=("alpha", "pile"), DATASETS=rows)

    return make


def test_a_plain_folder_of_pictures_is_for_pretraining_and_nothing_else(pile: Callable[..., Settings]) -> None:
    settings = pile()
    study = open_study(settings)
    assert list(study.datasets) == ["alpha"]
    rows = study.unlabelled["pile"].rows("unlabelled")
    assert rows["label"].tolist() == [-1] * 5
    assert rows["path"].tolist() == ["a.png", "deep/b.png", "deep/er/c.PNG", "e.png", "happy/d.png"]
    assert {planned.run.train_on for planned in planned_runs(study)} == {("alpha",)}
    faces = scored_faces(study.unlabelled["pile"], "unlabelled", "preprocessed", 16, settings)
    assert len(faces) == 5


def test_official_test_rows_of_an_unlabelled_set_are_not_learned_from(tiny_settings: Callable[..., Settings]) -> None:
    rows = {name: row.model_dump() for name, row in tiny_settings("alpha", "beta").datasets.items()}
    rows["beta"] |= {"role": "unlabelled"}
    settings = tiny_settings("alpha", "beta", DATASETS=rows)
    root = settings.resolve(settings.datasets["beta"].path)
    shutil.copy(root / "test/happy/happy_000.png", root / "train/happy/copy.png")
    data = open_study(settings).unlabelled["beta"]
    assert data.samples["split"].value_counts().to_dict() == {"unlabelled": 80, "test": 28}
    assert data.rejected["path"].tolist() == ["train/happy/copy.png"]


@pytest.mark.parametrize(
    ("roles", "changes", "words"),
    [
        (("test", "test"), {}, "nothing to train on"),
        (("unlabelled", "test"), {}, "nothing to train on"),
        (("train", "tested"), {}, "'train', 'test' or 'unlabelled'"),
        (("train", "test"), {"COMBINATIONS": (("alpha", "beta"),)}, "never trained on"),
        (("train", "unlabelled"), {"COMBINATIONS": (("alpha", "beta"),)}, "never trained on"),
    ],
)
def test_roles_that_cannot_be_are_refused(roles: tuple[str, str], changes: dict[str, Any], words: str) -> None:
    rows = {
        name: {"path": name, "layout": "folders", "faces": "cropped", "role": role}
        for name, role in zip(("alpha", "beta"), roles, strict=True)
    }
    with pytest.raises(InputError) as caught:
        check_settings({"ACTIVE_DATASETS": ("alpha", "beta"), "DATASETS": rows} | changes)
    assert words in str(caught.value).replace('"', "'")


@pytest.mark.parametrize("role", ["test", "train"])
def test_pictures_without_labels_can_be_neither_tested_nor_trained_on(pile: Callable[..., Settings], role: str) -> None:
    with pytest.raises(InputError, match='"role" must be "unlabelled"'):
        pile(role=role)


def test_a_test_set_without_a_usable_picture_is_named(with_web: Callable[..., Settings]) -> None:
    settings = with_web()
    for file in settings.resolve(settings.datasets["web"].path).rglob("*.png"):
        file.write_bytes(b"not a picture")
    with pytest.raises(InputError, match="web: no test picture is left of 6 rows"):
        load_samples("web", settings)
