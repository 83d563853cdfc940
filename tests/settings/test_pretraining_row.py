"""Promises of rows of PRETRAININGS: what they may hold, and what is said of what they may not."""

from __future__ import annotations

from typing import Any

import pytest

from fer.settings.settings import Settings, check_settings
from utils import InputError

ROW = {"method": "simclr", "datasets": ("fer2013",), "epochs": 3}
FIRST = {"resnet18": {"batch_size": 8, "input_size": 32, "weights": "pretraining:faces"}}


def settings(row: dict[str, Any] | None = None, **values: Any) -> Settings:
    return check_settings({"PRETRAININGS": {"faces": ROW | (row or {})}, "MODEL_CONFIG": FIRST} | values)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"method": "simsam"}, "simsiam"),
        ({"datasets": ("fer2031",)}, r'names "fer2031", but DATASETS has only .* Did you mean "fer2013"'),
        ({"dropout": 0.5}, '"dropout": not read without labels'),
        ({"method": "supervised", "head": "mlp"}, '"head": the training after it says that'),
        ({"method": "supervised", "schedule": "onecycle"}, r'PRETRAININGS "faces": SCHEDULE = "onecycle" plans'),
        ({"crop": 0.0}, "crop"),
        ({"batch_size": 0}, "batch_size"),
        ({"datasets": ()}, "datasets"),
    ],
)
def test_a_bad_row_is_told(row: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings(row)


def test_epochs_are_named() -> None:
    row = {name: value for name, value in ROW.items() if name != "epochs"}
    with pytest.raises(InputError, match='it has no "epochs"'):
        check_settings({"PRETRAININGS": {"faces": row}})


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"weights": "pretraining:face"}, r'PRETRAININGS has only faces. Did you mean "faces"'),
        ({"weights": "pretraining:faces", "weights_file": "mine.pth"}, "Leave one out"),
    ],
)
def test_a_network_names_one_start_that_there_is(models: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings(MODEL_CONFIG={"resnet18": {"batch_size": 8, "input_size": 32} | models})


def test_labels_are_not_learnt_where_there_are_none() -> None:
    rows = {"fer2013": {"path": "a", "layout": "fer2013", "faces": "cropped"},
            "web": {"path": "b", "layout": "pictures", "faces": "whole", "role": "unlabelled"}}  # fmt: skip
    own = {"DATASETS": rows, "ACTIVE_DATASETS": ("fer2013",), "EXPERIMENTS": ("individual",)}
    assert settings({"datasets": ("web",)}, **own).pretraining_datasets == ("web",)
    with pytest.raises(InputError, match=r'learns labels, and "web" has none'):
        settings({"datasets": ("web",), "method": "supervised"}, **own)


def test_only_what_is_used_and_not_active_is_read_beside_the_active_sets() -> None:
    assert settings().pretraining_datasets == ()
    assert settings(ACTIVE_DATASETS=("rafdb",), EXPERIMENTS=("individual",)).pretraining_datasets == ("fer2013",)
    idle = {"PRETRAINED": False, "ACTIVE_DATASETS": ("rafdb",), "EXPERIMENTS": ("individual",)}
    assert settings(**idle).pretraining_datasets == ()


def test_a_row_wins_over_the_values_of_all_and_ignores_what_is_not_its_matter() -> None:
    mine = settings({"method": "supervised", "dropout": 0.2}, DROPOUT=0.5, HEAD="mlp", FREEZE="backbone", EPOCHS=40)
    values = mine.pretraining_values("faces")
    assert (values.dropout, values.epochs, values.head, values.freeze) == (0.2, 3, "linear", "none")
