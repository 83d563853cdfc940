"""Promises of balancing: equal classes, training rows only, extra copies fixed by their source and number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import fer.faces.balancing as balancing
import fer.faces.prepared as prepared
from fer.faces.balancing import oversampled, undersampled, write_extras_or_load
from fer.settings.augmentation_rows import AUGMENTATIONS
from fer.settings.settings import EMOTIONS, Settings, check_settings
from utils import write_json

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(np.array)


# ---------------------------------------------------------------- which rows


@pytest.mark.slow
@given(LABELS, st.integers(0, 3))
def test_oversampling_keeps_every_row_and_fills_up_each_class(labels: np.ndarray, seed: int) -> None:
    positions = oversampled(labels, seed)
    assert (positions[: len(labels)] == np.arange(len(labels))).all()
    counts = np.bincount(labels[positions], minlength=7)
    present = np.bincount(labels, minlength=7) > 0
    assert (counts[present] == np.bincount(labels).max()).all()
    assert (counts[~present] == 0).all()
    assert (oversampled(labels, seed) == positions).all()


@pytest.mark.slow
@given(LABELS, st.integers(0, 3))
def test_undersampling_keeps_the_smallest_class_whole_and_no_row_twice(labels: np.ndarray, seed: int) -> None:
    positions = undersampled(labels, seed)
    counts = np.bincount(labels)
    kept = np.bincount(labels[positions], minlength=len(counts))
    assert (kept[counts > 0] == counts[counts > 0].min()).all()
    assert (np.diff(positions) > 0).all()
    assert (undersampled(labels, seed) == positions).all()


@pytest.mark.slow
def test_another_seed_draws_other_rows() -> None:
    labels = np.repeat([0, 1], [40, 20])
    assert (oversampled(labels, 1) != oversampled(labels, 2)).any()
    assert (undersampled(labels, 1) != undersampled(labels, 2)).any()


# ---------------------------------------------------------------- extra copies


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        return check_settings({"DATASETS_DIR": str(tmp_path / "made"), "WORKERS": 0} | changes)

    return make


@pytest.fixture
def faces(tmp_path: Path) -> tuple[pd.DataFrame, Path, pd.DataFrame]:
    """Training samples (6 happy, 3 sad, 1 fear), the folder of their prepared faces, and its manifest."""
    folder = tmp_path / "faces"
    labels = [3] * 6 + [4] * 3 + [2]
    for number in range(len(labels)):
        (folder / "train").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (48, 48), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "train" / f"{number}.png")
    write_json(folder / "recipe.json", {"version": 1})
    ids = [f"set/{number}.jpg" for number in range(len(labels))]
    train = pd.DataFrame(
        {"sample_id": ids, "split": "train", "label": labels, "content": [f"{n:032x}" for n in range(len(labels))]}
    )
    files = [f"train/{n}.png" for n in range(len(labels))]
    manifest = pd.DataFrame({"sample_id": ids, "file": files, "content": train["content"]})
    return train, folder, manifest


def pixels_of(folder: Path, extras: pd.DataFrame) -> dict[str, bytes]:
    pictures = [Image.open(folder / file) for file in extras["file"]]
    return {name: picture.tobytes() for name, picture in zip(extras["sample_id"], pictures, strict=True)}


def test_extras_fill_up_the_classes_and_are_changed_copies(
    faces: tuple[pd.DataFrame, Path, pd.DataFrame], settings: Callable[..., Settings]
) -> None:
    train, folder, manifest = faces
    target, extras = write_extras_or_load(train, folder, manifest, settings(), "set")
    assert extras["label"].value_counts().to_dict() == {4: 3, 2: 5}
    assert set(extras["source_id"]) <= set(train["sample_id"])
    labels = train.set_index("sample_id")["label"]
    assert (extras["label"].to_numpy() == labels.loc[extras["source_id"]].to_numpy()).all()
    fear = extras[extras["label"] == 2]
    assert list(fear["sample_id"]) == [f"set/9.jpg+aug{copy}" for copy in range(1, 6)]
    assert list(fear["file"]) == [f"fear/9_aug{copy}.png" for copy in range(1, 6)]
    assert sorted(extras["file"]) == sorted(p.relative_to(target).as_posix() for p in target.rglob("*.png"))
    source = np.asarray(Image.open(folder / "train" / "9.png")).tobytes()
    copies = pixels_of(target, fear)
    assert source not in copies.values()
    assert len(set(copies.values())) == 5
    assert extras["content"].is_unique
    assert target.name == "augmented_set"


@pytest.mark.slow
def test_a_copy_depends_on_its_source_and_number_alone(
    faces: tuple[pd.DataFrame, Path, pd.DataFrame], settings: Callable[..., Settings], tmp_path: Path
) -> None:
    train, folder, manifest = faces
    all_copies = pixels_of(*write_extras_or_load(train, folder, manifest, settings(), "set"))
    elsewhere = settings(DATASETS_DIR=str(tmp_path / "other"))
    fewer = train[train["label"] != 4].sample(frac=1, random_state=1)
    some = pixels_of(*write_extras_or_load(fewer, folder, manifest[::-1], elsewhere, "set"))
    assert len(some) == 5
    assert all(all_copies[name] == pixels for name, pixels in some.items())


@pytest.mark.slow
def test_extras_are_made_once_and_another_recipe_goes_elsewhere(
    faces: tuple[pd.DataFrame, Path, pd.DataFrame],
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, folder, manifest = faces
    first, extras = write_extras_or_load(train, folder, manifest, settings(), "set")
    before = pixels_of(first, extras)
    light = AUGMENTATIONS["light"].model_dump()
    own = {"flip": 0.5, "rotation": 10}
    for changed in (
        {"AUGMENTATIONS": {"light": light | {"strength": 0.5}}},
        {"AUGMENTATIONS": {"light": light | {"probability": 0.5}}},
        {"AUGMENTATIONS": {"mine": own}, "OFFLINE_AUGMENTATION": "mine"},
        {"SPLIT_SEED": 7},
    ):
        target, others = write_extras_or_load(train, folder, manifest, settings(**changed), "set")
        assert target != first
        assert not set(others["content"]) & set(extras["content"])
    assert pixels_of(first, extras) == before

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a copy was made again")

    monkeypatch.setattr(balancing, "make_extra", refuse)
    monkeypatch.setattr(prepared, "_make_missing", refuse)
    again, loaded = write_extras_or_load(train, folder, manifest, settings(), "set")
    assert again == first
    pd.testing.assert_frame_equal(loaded, extras)


def test_only_training_rows_are_balanced(
    faces: tuple[pd.DataFrame, Path, pd.DataFrame], settings: Callable[..., Settings]
) -> None:
    train, folder, manifest = faces
    mixed = train.assign(split=["train"] * 9 + ["val"])
    with pytest.raises(ValueError, match=r"only training rows may be balanced, not set/9\.jpg"):
        write_extras_or_load(mixed, folder, manifest, settings(), "set")


def test_rows_without_a_prepared_face_are_no_sources(
    faces: tuple[pd.DataFrame, Path, pd.DataFrame], settings: Callable[..., Settings]
) -> None:
    train, folder, manifest = faces
    manifest.loc[8, "file"] = ""
    _, extras = write_extras_or_load(train, folder, manifest, settings(), "set")
    assert "set/8.jpg" not in set(extras["source_id"])
    assert extras["label"].value_counts().to_dict() == {4: 4, 2: 5}


def test_balanced_rows_need_no_extras(
    faces: tuple[pd.DataFrame, Path, pd.DataFrame], settings: Callable[..., Settings]
) -> None:
    train, folder, manifest = faces
    _, extras = write_extras_or_load(train[:6], folder, manifest, settings(), "set")
    assert list(extras.columns) == ["sample_id", "source_id", "label", "content", "file"]
    assert extras.empty


def test_colour_faces_keep_their_colour(
    faces: tuple[pd.DataFrame, Path, pd.DataFrame], settings: Callable[..., Settings]
) -> None:
    train, folder, manifest = faces
    for path in (folder / "train").glob("*.png"):
        Image.new("RGB", (48, 48), (200, 80, 20)).save(path)
    target, extras = write_extras_or_load(train, folder, manifest, settings(SAVE_FORMAT="jpeg"), "set")
    picture = Image.open(target / extras["file"][0])
    assert (picture.mode, picture.size) == ("RGB", (48, 48))
    assert set(extras["label"].map(dict(enumerate(EMOTIONS)))) == {"fear", "sad"}
