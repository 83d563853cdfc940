"""Promises about folds: every row tested once, no group in two splits, official test sets untouched."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from fer.data.folds import assign_parts, fold_names, with_fold
from fer.data.samples import DatasetSamples, load_samples
from fer.results.study_files import read_predictions, read_study
from fer.settings.settings import Settings
from fer.study.execution import execute, write_study
from fer.study.plan import open_study, planned_runs
from utils import InputError


def free_settings(tiny_settings: Callable[..., Settings], **changes: object) -> Settings:
    """Like a lab set: training pictures, and no official test set."""
    settings = tiny_settings(**changes)
    root = settings.resolve(settings.datasets["alpha"].path)
    (root / "test").rename(root.parent / "unused")
    return settings


def dataset(settings: Settings) -> DatasetSamples:
    return load_samples("alpha", settings)


@pytest.mark.parametrize("parts", [2, 5])
def test_every_row_is_in_one_part_and_classes_are_spread(parts: int) -> None:
    draws = np.random.default_rng(3)
    rows = pd.DataFrame({"label": draws.choice(7, 4000, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.06, 0.04])})
    rows["group"] = draws.integers(0, 1500, len(rows))
    rows["sample_id"] = [f"d/{i:05d}" for i in range(len(rows))]
    part = assign_parts(rows, parts, seed=1)
    assert set(part) == set(range(parts))
    assert (pd.Series(part).groupby(rows["group"]).nunique() == 1).all()
    shares = pd.crosstab(rows["label"], part, normalize="index")
    assert np.abs(shares - 1 / parts).max().max() < 0.08


@pytest.mark.slow
def test_folds_test_every_row_once_per_repeat(tiny_settings: Callable[..., Settings]) -> None:
    settings = free_settings(tiny_settings, SPLITS="kfold", FOLDS=3, REPEATS=2)
    data = dataset(settings)
    names = fold_names([data], settings)
    assert names == ("r0f0", "r0f1", "r0f2", "r1f0", "r1f1", "r1f2")
    folds = [with_fold(data, name, settings) for name in names]
    for repeat in (folds[:3], folds[3:]):
        tested = pd.concat([fold.rows("test") for fold in repeat])["sample_id"]
        assert sorted(tested) == data.samples["sample_id"].tolist()
    assert set(folds[0].rows("test")["sample_id"]) != set(folds[3].rows("test")["sample_id"])
    for fold in folds:
        assert (fold.samples.groupby("group")["split"].nunique() == 1).all()
        assert set(fold.samples["split"]) == {"train", "val", "test"}


@pytest.mark.slow
def test_a_subject_is_tested_alone(tiny_settings: Callable[..., Settings]) -> None:
    settings = free_settings(tiny_settings, SPLITS="subjects")
    row = settings.datasets["alpha"].model_copy(update={"subject": r"_\d\d(\d)"})
    settings = settings.model_copy(update={"datasets": {"alpha": row}})
    data = dataset(settings)
    for name in fold_names([data], settings):
        fold = with_fold(data, name, settings)
        assert fold.rows("test")["subject"].nunique() == 1
        assert set(fold.rows("test")["subject"]).isdisjoint(fold.rows("train")["subject"])
        assert set(fold.rows("val")["subject"]).isdisjoint(fold.rows("train")["subject"])


def test_without_subjects_the_way_out_is_named(tiny_settings: Callable[..., Settings]) -> None:
    settings = free_settings(tiny_settings, SPLITS="subjects")
    with pytest.raises(InputError, match="kfold"):
        fold_names([dataset(settings)], settings)


@pytest.mark.slow
def test_an_official_test_set_stays(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings(SPLITS="kfold")
    data = dataset(settings)
    assert fold_names([data], settings) == ("official",)
    assert with_fold(data, "r0f0", settings) is data


@pytest.mark.slow
def test_each_fold_is_a_run_of_its_own_with_its_own_rows(tiny_settings: Callable[..., Settings]) -> None:
    settings = free_settings(tiny_settings, SPLITS="kfold", FOLDS=3)
    study = open_study(settings)
    runs = planned_runs(study)
    assert [planned.run.split for planned in runs] == ["r0f0", "r0f1", "r0f2"]
    assert len({planned.inputs["rows"]["alpha"] for planned in runs}) == 3
    assert all(f"s42-{planned.run.split}__" in planned.name for planned in runs)


@pytest.mark.slow
def test_folds_are_trained_and_scored_on_their_own_rows(tiny_settings: Callable[..., Settings]) -> None:
    settings = free_settings(tiny_settings, SPLITS="kfold", FOLDS=2, VARIANTS=("augmented",), EPOCHS=1)
    study = open_study(settings)
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    write_study(study, runs)
    tested = []
    for entry in read_study(settings.output_path).predictions:
        if entry.split == "test" and entry.tta == "none":
            found = read_predictions(entry)
            assert entry.run.counts["alpha"]["n_train"] + entry.run.rows("n_val") + len(found.labels) == 80
            tested += found.sample_ids.tolist()
    assert sorted(tested) == study.datasets["alpha"].samples["sample_id"].tolist()
    assert execute(study, runs) == {}
