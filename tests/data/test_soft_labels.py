"""SOFT_LABELS: the shares of FER+'s votes as targets of training, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw_class_picture
from layout_trees import write

from evaluation import load_predictions
from fer.settings.settings import EMOTIONS, Settings, check_settings
from fer.study.plan import open_study, planned_runs
from fer.study.variants import training_faces
from main import run_study
from utils import InputError

ORDER = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")  # of FER+'s columns
SECOND = {emotion: ORDER[(place + 1) % 7] for place, emotion in enumerate(ORDER)}  # whom three of ten voted for
COUNTS = {"FER2013Train": 12, "FER2013Valid": 4, "FER2013Test": 4}


@pytest.fixture
def voted(tiny_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Settings]:
    """Settings over "plus", FER+ folders in which seven of ten vote for a picture's class and three for the next."""

    def make(**changes: Any) -> Settings:
        number = 0
        for folder, count in COUNTS.items():
            lines = []
            for place, emotion in enumerate(ORDER):
                for _ in range(count):
                    name, number = f"fer{number:07d}.png", number + 1
                    draw_class_picture(tmp_path / "in/plus" / folder / name, EMOTIONS.index(emotion), number)
                    cells = ["7" if at == place else "3" if at == (place + 1) % 7 else "0" for at in range(10)]
                    lines.append(f'{name},"(0, 0, 48, 48)",{",".join(cells)}')
            write(tmp_path / "in/plus" / folder / "label.csv", *lines, "")
        alpha = tiny_settings("alpha").datasets["alpha"].model_dump()
        plus = {"path": str(tmp_path / "in/plus"), "layout": "ferplus", "faces": "cropped"}
        values = {"ACTIVE_DATASETS": ("plus",), "DATASETS": {"alpha": alpha, "plus": plus}, "TTA": ("none",)}
        return tiny_settings("alpha", **values | changes)

    return make


def test_shares_are_targets_of_voted_rows_and_one_class_those_of_others(voted: Callable[..., Settings]) -> None:
    settings = voted(
        ACTIVE_DATASETS=("alpha", "plus"), EXPERIMENTS=("combined",), SOFT_LABELS=True, VARIANTS=("augmented",)
    )
    study = open_study(settings)
    run = planned_runs(study)[0].run
    faces, validation, _ = training_faces(study.datasets, study.training(run.train_on).samples, run, settings)
    assert faces.shares is not None and faces.shares.dtype == np.float32
    assert np.allclose(faces.shares.sum(1), 1)
    own = faces.source == run.train_on.index("plus")
    for label, shares in zip(faces.label[own], faces.shares[own], strict=True):
        expected = np.zeros(7)
        expected[label], expected[EMOTIONS.index(SECOND[EMOTIONS[label]])] = 0.7, 0.3
        assert shares == pytest.approx(expected)
    assert (faces.shares[~own] == np.eye(7)[faces.label[~own]]).all()
    copies = [place for place, name in enumerate(faces.sample_ids) if "+aug" in name]
    assert all(faces.shares[place].argmax() == faces.label[place] for place in copies)
    assert all(rows.shares is None for rows in validation.values())


def test_the_key_changes_where_somebody_voted_and_nowhere_else(voted: Callable[..., Settings]) -> None:
    def names(soft: bool) -> dict[tuple[str, ...], str]:
        study = open_study(voted(ACTIVE_DATASETS=("alpha", "plus"), SOFT_LABELS=soft))
        return {planned.run.train_on: planned.name for planned in planned_runs(study)}

    hard, soft = names(False), names(True)
    assert hard[("alpha",)] == soft[("alpha",)]
    assert hard[("plus",)] != soft[("plus",)]


@pytest.mark.slow
def test_a_network_learns_the_shares_it_was_shown(voted: Callable[..., Settings]) -> None:
    share = {}
    for soft in (False, True):
        settings = voted(SOFT_LABELS=soft, EPOCHS=40, LEARNING_RATE=1e-2, PATIENCE=None, SELECT_BY="last")
        assert run_study(settings) == 0
        name = planned_runs(open_study(settings))[0].name
        file = settings.output_path / "saved_models" / name / "predictions" / "plus__test__raw__none.npz"
        found = load_predictions(file)
        second = [EMOTIONS.index(SECOND[EMOTIONS[label]]) for label in found.labels]
        share[soft] = float(found.probabilities[np.arange(len(second)), second].mean())
    assert share[False] < 0.1
    assert share[True] == pytest.approx(0.3, abs=0.1)


def test_soft_labels_without_votes_are_refused(tmp_path: Path) -> None:
    rows = {"a": {"path": "a", "layout": "rafdb", "faces": "cropped"}}
    with pytest.raises(InputError, match="needs a dataset with votes"):
        check_settings({"SOFT_LABELS": True, "DATASETS": rows, "ACTIVE_DATASETS": ("a",)})
