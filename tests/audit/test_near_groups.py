"""Promises of COPIES = "drop_near": planted near copies leave training, and no split parts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from fer.results.leaks import Copies
from fer.settings.settings import EMOTIONS, Settings
from fer.study.plan import open_study, training_samples

Make = Callable[..., Settings]


def draw(path: Path, number: int) -> Image.Image:
    """A picture of 24 x 24 large spots, unlike those of every other number."""
    spots = np.random.default_rng(number).integers(0, 255, (8, 8), dtype=np.uint8)
    picture = Image.fromarray(spots).resize((48, 48), Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return picture


def brighter(picture: Image.Image) -> Image.Image:
    return picture.point(lambda level: round(level * 0.8 + 20))


def draw_split(root: Path, splits: dict[str, int], start: int) -> None:
    """`each` pictures of every class and split, numbered from `start`."""
    for place, (split, each) in enumerate(splits.items()):
        for label, emotion in enumerate(EMOTIONS):
            for number in range(each):
                draw(root / split / emotion / f"{number}.png", start + 1000 * place + 100 * label + number)


@pytest.fixture
def planted(tiny_settings: Make, tmp_path: Path) -> Make:
    """Settings over `one` and `two`: near copies of one's test and validation stand in training, and one in two's."""
    one, two = tmp_path / "in" / "one", tmp_path / "in" / "two"
    draw_split(one, {"train": 4, "val": 2, "test": 2}, 0)
    draw_split(two, {"train": 4, "val": 2, "test": 2}, 50_000)
    with Image.open(one / "test" / "happy" / "0.png") as tested, Image.open(one / "val" / "sad" / "0.png") as watched:
        ImageOps.mirror(tested).save(one / "train" / "happy" / "mirrored.png")
        brighter(tested).save(one / "val" / "happy" / "brighter.png")
        watched.resize((40, 40), Image.Resampling.BICUBIC).save(one / "train" / "sad" / "smaller.png")
        brighter(ImageOps.mirror(tested)).save(two / "train" / "fear" / "both.png")

    def make(**changes: object) -> Settings:
        return tiny_settings("one", "two", **changes)

    return make


def used(table: pd.DataFrame, split: str) -> set[str]:
    return set(table.loc[table["split"] == split, "sample_id"])


@pytest.mark.slow
def test_planted_near_copies_leave_and_nothing_else(planted: Make) -> None:
    before = open_study(planted()).datasets["one"]
    after = open_study(planted(COPIES="drop_near")).datasets["one"]
    left = after.rejected.set_index("sample_id")["reason"]
    assert left.to_dict() == {
        "one/train/happy/mirrored.png": "near copy of a test picture",
        "one/val/happy/brighter.png": "near copy of a test picture",
        "one/train/sad/smaller.png": "near copy of a validation picture",
    }
    assert set(before.samples["sample_id"]) - set(after.samples["sample_id"]) == set(left.index)
    assert used(before.samples, "test") == used(after.samples, "test")
    assert "near_group" not in before.samples


@pytest.mark.slow
def test_between_datasets_they_leave_the_combined_training_alone(planted: Make) -> None:
    study = open_study(planted(COPIES="drop_near"))
    lost = "two/train/fear/both.png"
    assert lost in used(training_samples(study, ("two",))["two"], "train")
    for _ in range(2):  # found, then read from the cache
        together = training_samples(open_study(study.settings), ("one", "two"))
        assert used(study.datasets["two"].samples, "train") - used(together["two"], "train") == {lost}
        assert used(study.datasets["one"].samples, "train") == used(together["one"], "train")


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"SPLITS": "kfold", "FOLDS": 3}])
def test_splits_drawn_here_part_no_near_copies(tiny_settings: Make, tmp_path: Path, changes: dict[str, object]) -> None:
    root = tmp_path / "in" / "pairs"
    for label, emotion in enumerate(EMOTIONS):
        for number in range(6):
            picture = draw(root / emotion / f"{number}.png", 100 * label + number)
            ImageOps.mirror(picture).save(root / emotion / f"{number}m.png")
    rows = {"pairs": {"path": str(root), "layout": "folders", "faces": "cropped"}}
    changes = {"ACTIVE_DATASETS": ("pairs",), "DATASETS": rows, "VAL_FRACTION": 0.3, **changes}
    parted = {}
    for copies in ("drop", "drop_near"):
        study = open_study(tiny_settings(COPIES=copies, **changes))
        samples = study.at("r0f0" if "SPLITS" in changes else "official").datasets["pairs"].samples
        pair = samples["sample_id"].str.replace("m.png", ".png")
        parted[copies] = int((samples.groupby(pair)["split"].nunique() > 1).sum())
        assert len(samples) == 2 * 6 * len(EMOTIONS)
    assert parted["drop_near"] == 0 < parted["drop"]


@pytest.mark.slow
@pytest.mark.parametrize("copies", ["drop", "drop_near"])
def test_every_arm_is_scored_on_the_same_part_without_near_copies(planted: Make, copies: str) -> None:
    from fer.audit.audit import audit_or_load

    study = open_study(planted(COPIES=copies))
    audit_or_load(study.datasets, study.settings)
    found = Copies(study.settings.output_path).find(("one",), "one")
    assert (found.identical, found.near) == (frozenset(), frozenset({"one/test/happy/0.png"}))
