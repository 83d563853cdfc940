"""Promises of GRID in config.py: what may stand there, what is refused in words, and the point a study stands at."""

from __future__ import annotations

from typing import Any

import pytest

from fer.settings.settings import check_settings
from utils import InputError

ROW = {"batch_size": 8, "weights": None, "input_size": 48}


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"LEARNING_RAT": (1e-3,)}, ['"LEARNING_RAT"', 'Did you mean "LEARNING_RATE"?']),
        ({"SEEDS": (1, 2)}, ["several values itself"]),
        ({"COPIES": ("drop", "keep")}, ["could not be compared"]),
        ({"TTA": ("none",)}, ["several values itself"]),
        ({"PLOT_FORMAT": ("png", "pdf")}, ["shapes a training"]),
        ({"LEARNING_RATE": (1e-3, 20)}, ["GRID, with LEARNING_RATE = 20", "less than or equal to 10"]),
        ({"MODEL_CONFIG.nett.dropout": (0.0, 0.1)}, ['"nett"', 'Did you mean "net"?']),
        ({"MODEL_CONFIG": (1,)}, ['"MODEL_CONFIG.<row>.<entry>"']),
        ({"SCHEDULE": ("plateau", "cosine")}, ['GRID, with SCHEDULE = "cosine"', "PATIENCE = None"]),
        ({"RECIPE": ("baseline", "finetun")}, ['Did you mean "finetune"?']),
        ({"DROPOUT": tuple(i / 200 for i in range(101))}, ["101 points; 100 are the most"]),
        ({"DROPOUT": ()}, ["GRID.DROPOUT", "at least 1 item"]),
        ({"DROPOUT": (0.1, 0.1)}, ["more than once"]),
        ({"STRATEGY": {}}, ["GRID.STRATEGY", "at least 1 item"]),
        ({"STRATEGY": {"a": "focal"}}, ["GRID.STRATEGY.a", "dictionary"]),
        ({"STRATEGY": {"a": {}, "b": {"LOS": "focal"}}}, ['"LOS"', 'Did you mean "LOSS"?']),
        ({"STRATEGY": {"a": {}, "b": {"LOSS": "focl"}}}, ['GRID, with STRATEGY = "b"', "LOSS"]),
        ({"model": {"a": {}, "b": {"LOSS": "focal"}}}, ['"model"', "as in STRATEGY"]),
        ({"LOSS": ("focal",), "STRATEGY": {"a": {}, "b": {"LOSS": "focal"}}}, ['"LOSS" in two axes']),
    ],
)
def test_what_cannot_stand_in_a_grid_is_said(grid: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        check_settings({"GRID": grid, "MODEL_CONFIG": {"net": ROW}, "PRETRAINED": False})
    assert len(caught.value.problems) == 1
    assert all(word in caught.value.problems[0] for word in words), caught.value.problems


def test_a_mistake_beside_the_grid_is_told_as_its_own() -> None:
    with pytest.raises(InputError) as caught:
        check_settings({"GRID": {"DROPOUT": (0.0, 0.1)}, "SCHEDULE": "cosine"})
    assert len(caught.value.problems) == 1 and caught.value.problems[0].startswith("SCHEDULE")


def test_a_value_that_only_the_grid_makes_right_is_taken() -> None:
    """lion needs a number as learning rate: every point has one."""
    grid = {"LEARNING_RATE": (1e-4, 3e-4)}
    assert check_settings({"GRID": grid, "OPTIMIZER": "lion"}).learning_rate == 1e-4


@pytest.mark.parametrize(
    ("own", "stands_at"), [({}, 1e-3), ({"LEARNING_RATE": 1e-4}, 1e-4), ({"LEARNING_RATE": 5}, 1e-3)]
)
def test_a_study_stands_at_its_own_value_else_at_the_first(own: dict[str, Any], stands_at: float) -> None:
    settings = check_settings({"GRID": {"LEARNING_RATE": (1e-3, 1e-4)}} | own)
    assert settings.learning_rate == stands_at and settings.own_point() == {"LEARNING_RATE": stands_at}


def test_a_point_is_the_settings_with_its_values_written_in() -> None:
    values = {"MODEL_CONFIG": {"net.v2": ROW}, "PRETRAINED": False, "SEEDS": (1, 2)}
    grid = {"MODEL_CONFIG.net.v2.dropout": (0.0, 0.3), "BALANCE.raw": ("none", "weights")}
    settings = check_settings(values | {"GRID": grid})
    assert len(settings.points()) == 4
    written = values | {"MODEL_CONFIG": {"net.v2": ROW | {"dropout": 0.3}}, "BALANCE": {"raw": "weights"}}
    point = {"MODEL_CONFIG.net.v2.dropout": 0.3, "BALANCE.raw": "weights"}
    assert settings.at(point) == check_settings(written)
    assert settings.at(point).training_of("net.v2").dropout == 0.3


ROWS = {"none": {"BALANCE": "none"}, "weights": {"BALANCE": "weights"}, "focal": {"BALANCE": "none", "LOSS": "focal"}}


def test_named_rows_set_several_values_at_once() -> None:
    grid = {"STRATEGY": ROWS, "DROPOUT": (0.0, 0.2)}
    settings = check_settings({"GRID": grid, "MODEL_CONFIG": {"net": ROW}, "PRETRAINED": False})
    assert len(settings.points()) == 6
    assert settings.own_point() == {"STRATEGY": "none", "DROPOUT": 0.0} and settings.balance_of("augmented") == "none"
    there = settings.at({"STRATEGY": "focal", "DROPOUT": 0.2})
    written = {"BALANCE": "none", "LOSS": "focal", "DROPOUT": 0.2, "MODEL_CONFIG": {"net": ROW}, "PRETRAINED": False}
    assert there == check_settings(written)


@pytest.mark.parametrize(
    ("own", "stands_at"),
    [({}, "none"), ({"BALANCE": "weights"}, "weights"), ({"BALANCE": "none"}, "none"),
     ({"BALANCE": "none", "LOSS": "focal"}, "focal"), ({"BALANCE": "undersample"}, "none")],
)  # fmt: skip
def test_a_study_stands_at_the_row_whose_values_are_its_own(own: dict[str, Any], stands_at: str) -> None:
    settings = check_settings({"GRID": {"STRATEGY": ROWS}} | own)
    assert settings.own_point() == {"STRATEGY": stands_at}
    assert check_settings(settings.describe()).own_point() == {"STRATEGY": stands_at}


def test_one_text_for_all_variants_is_found_again_in_an_axis() -> None:
    settings = check_settings({"GRID": {"BALANCE": ("none", "weights")}, "BALANCE": "weights"})
    assert settings.own_point() == {"BALANCE": "weights"}
