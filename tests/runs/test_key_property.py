"""The promise about keys, tried on trainings: two settings share a key exactly when they train the same weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_MODEL, draw_folders
from hypothesis import given, settings
from hypothesis import strategies as st

import fer.runs.fit_state as fit_state
from fer.settings.augmentation_rows import AUGMENTATIONS
from fer.settings.settings import check_settings
from fer.settings.training_values import KNOW_SHARES
from fer.study.plan import open_study, planned_runs
from fer.study.variants import training_faces
from training import Machine, fit
from utils import file_fingerprint, pick_device

LIGHT = AUGMENTATIONS["light"].model_dump()
# Values other than those of BASE. Some act alone, some only beside others, some never.
ROWS_AND_PIXELS = {
    "SPLIT_SEED": [7], "VAL_FRACTION": [0.3], "LIMIT_PER_SPLIT": [30], "TEST_FRACTION": [0.3], "FOLDS": [3],
    "REPEATS": [2], "COPIES": ["keep"], "CONFLICTS": ["drop"], "VARIANTS": [("preprocessed",), ("augmented",)],
    "BALANCE": ["oversample", "undersample", "weights", "effective_number", "weighted_sampler"],
    "ONLINE_AUGMENTATION": ["light", "strong"],
    "AUGMENTATIONS": [{"light": LIGHT | {"strength": 0.5}, "strong": LIGHT | {"strength": 0.0}},
                      {"light": LIGHT | {"probability": 0.5}, "strong": {"flip": 0.5, "erasing": 0.2}}],
    "OFFLINE_AUGMENTATION": ["geometric"], "AUGMENT_ENGINE": ["batch"], "FACE_SIZE": [18], "SAVE_FORMAT": ["jpeg"],
    "NO_FACE": ["reject"], "DETECTION_THRESHOLD": [0.5], "ALIGN": [False], "CROP_MARGIN": [0.5],
    "FACE_POLICY": ["largest"], "MIXING": [("balanced",)],
}  # fmt: skip
ARITHMETIC = {
    "SEEDS": [(1,)], "EPOCHS": [1], "LEARNING_RATE": [0.01], "OPTIMIZER": ["sgd", "adam"], "MOMENTUM": [0.5],
    "WEIGHT_DECAY": [0.1], "SCHEDULE": ["onecycle", "cosine"], "PLATEAU_PATIENCE": [1], "PLATEAU_FACTOR": [0.1],
    "LABEL_SMOOTHING": [0.1], "EMA_DECAY": [0.9], "TRAIN_SIZES": [((0.5, 16),)], "DROPOUT": [0.3],
    "AMP": ["off", "on", "bf16"], "FREEZE_BATCH_NORM": [True], "LAYER_DECAY": [0.5],
    "LOSS": ["focal", "logit_adjustment", "balanced_softmax"], "FOCAL_GAMMA": [0.5], "LOGIT_TAU": [0.5],
    "EFFECTIVE_BETA": [0.9], "MIXUP": [0.2], "CUTMIX": [1.0], "INTERPOLATION": ["model"], "HEAD": ["mlp"],
    "HEAD_WIDTHS": [(8,)], "HEAD_BATCH_NORM": [False], "HEAD_DROPOUT": [0.0], "HEAD_WEIGHT_DECAY": [0.01, 0.1],
    "HEAD_C": [2.0], "WEIGHT_DECAY_ON": ["weights"], "GRADIENT_CLIP": [0.1], "WARMUP_EPOCHS": [1],
    "STOP_BY": ["accuracy"],
    "STAGES": [({"epochs": 1, "freeze": {"last_blocks": 1}, "learning_rate": 0.1},
                {"epochs": 1, "freeze": "none", "learning_rate": 0.01})],
}  # fmt: skip
SURROUNDINGS = {
    "WORKERS": [1], "PLOT_FORMAT": ["svg"], "FIGURES": ["all"], "TTA": [("none",)],
    "EVALUATE_TEST": [False], "TENSORBOARD": [True],
    "PRIMARY_METRIC": ["accuracy"], "PRIMARY_COMPARISONS": [("TTA",)],
    "TEST_VARIANTS": [("raw",)], "ORACLE": [True], "OUTPUT_DIR": ["other"], "DATASETS_DIR": ["other"],
    "ACTIVE_DATASETS": [("alpha", "beta")], "EXPERIMENTS": [("individual", "combined")], "DATASETS": ["moved"],
}  # fmt: skip


class Trainings:
    """Trains what settings ask for, once each, and remembers which key gave which weights."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.weights_of: dict[str, str] = {}
        self.key_of: dict[str, str] = {}
        per_class = {"train": [14, 8, 8, 20, 10, 8, 12], "test": [4] * 7}
        for number, name in enumerate(("alpha", "beta")):
            draw_folders(folder / "in" / name, per_class, 5000 * number)
        shutil.copytree(folder / "in", folder / "moved")

    def values(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Settings under their names in config.py; words that stand for folders are put in."""
        place = self.folder / ("moved" if "DATASETS" in changes else "in")
        rows = {
            name: {"path": str(place / name), "layout": "folders", "faces": "cropped"} for name in ("alpha", "beta")
        }
        base = {
            "ACTIVE_DATASETS": ("alpha",), "VARIANTS": ("raw",), "EXPERIMENTS": ("individual",),
            "MODEL_CONFIG": {"tiny_plain": TINY_MODEL | {"input_size": 18}}, "EPOCHS": 2, "LEARNING_RATE": 3e-3,
            "SCHEDULE": "constant", "PATIENCE": None, "SELECT_BY": "last", "BALANCE": "none", "FACE_SIZE": 16,
            "ONLINE_AUGMENTATION": "none", "DEVICE": "cpu", "WORKERS": 0, "VAL_FRACTION": 0.2,
        }  # fmt: skip
        folders = {name: str(self.folder / changes.get(name, name.lower())) for name in ("OUTPUT_DIR", "DATASETS_DIR")}
        values = base | changes | folders | {"DATASETS": rows}
        if len(values["ACTIVE_DATASETS"]) == 1:
            values["EXPERIMENTS"] = ("individual",)
        if values["VARIANTS"] == ("augmented",):
            values["BALANCE"] = "oversample"  # without extra copies it is "preprocessed" under another name
        if values["BALANCE"] != "none" and values.get("LOSS") in KNOW_SHARES:
            del values["LOSS"]  # refused together
        if not values.get("EVALUATE_TEST", True):
            values["ORACLE"] = False
        return values

    def of(self, changes: dict[str, Any]) -> tuple[str, str]:
        """Key and fingerprint of the last epoch's weights of alpha's first run."""
        chosen = check_settings(self.values(changes))
        study = open_study(chosen)
        planned = planned_runs(study)[0]
        assert planned.run.train_on == ("alpha",)
        key = planned.name.rpartition("__")[2]
        samples = study.training(planned.run.train_on).samples
        train, validation, _ = training_faces(study.datasets, samples, planned.run, chosen)
        folder = self.folder / "fitted"
        shutil.rmtree(folder, ignore_errors=True)
        machine = Machine(pick_device("cpu"), int(chosen.workers))
        fit(planned.run, train, validation, folder, machine, chosen.models["tiny_plain"])
        return key, file_fingerprint(folder / "weights.pth")


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainings]:
    with pytest.MonkeyPatch.context() as patch:
        # as if the tiny network's weights had been made so: INTERPOLATION = "model" then trains otherwise
        patch.setattr(fit_state, "own_interpolation", lambda _: "bicubic")
        yield Trainings(tmp_path_factory.mktemp("keys"))


ONE_CHANGE = [
    (name, value) for table in (ROWS_AND_PIXELS, ARITHMETIC, SURROUNDINGS) for name in table for value in table[name]
]


@pytest.mark.slow
@settings(max_examples=30)
@given(changes=st.lists(st.sampled_from(ONE_CHANGE), max_size=4, unique_by=lambda change: change[0]))
def test_a_key_changes_exactly_when_the_weights_do(trainings: Trainings, changes: list[tuple[str, Any]]) -> None:
    key, weights = trainings.of(dict(changes))
    assert trainings.weights_of.setdefault(key, weights) == weights, "another training under the same key"
    assert trainings.key_of.setdefault(weights, key) == key, "the same training under another key"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "balance"), [("raw", "oversample"), ("raw", "undersample"), ("augmented", "oversample")]
)
def test_the_seed_that_draws_rows_is_in_the_key_where_splits_are_official(
    tmp_path: Path, variant: str, balance: str
) -> None:
    """With official splits SPLIT_SEED moves no row, so only the draw tells the two runs apart."""
    trainings = Trainings(tmp_path)
    draw_folders(tmp_path / "in" / "alpha", {"val": [3] * 7}, 9000)
    base = {"BALANCE": balance, "VARIANTS": (variant,)}
    (first, one), (second, other) = trainings.of(base), trainings.of(base | {"SPLIT_SEED": 43})
    assert one != other
    assert first != second
    if variant == "raw":
        assert trainings.of({}) == trainings.of({"SPLIT_SEED": 43})
