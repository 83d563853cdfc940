"""Promises of LEARNING_RATE = "auto": it knows scratch from fine-tuning, and is the number it stands for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fer.runs.learning_rate import learning_rate
from fer.settings.settings import Settings, check_settings
from fer.study.plan import open_study, planned_runs
from utils import InputError


@pytest.mark.parametrize(
    ("optimizer", "freeze", "pretrained", "rate"),
    [("adamw", "none", True, 1e-4), ("adamw", "none", False, 1e-3), ("adam", "backbone", True, 1e-3),
     ("sgd", "none", True, 0.01), ("sgd", "none", False, 0.1), ("sgd", "backbone", True, 0.1)],
)  # fmt: skip
def test_auto_follows_start_and_optimizer(optimizer: str, freeze: str, pretrained: bool, rate: float) -> None:
    settings = check_settings({"OPTIMIZER": optimizer, "FREEZE": freeze})
    assert settings.learning_rate == "auto"
    assert learning_rate(settings, pretrained) == rate
    assert learning_rate(settings.model_copy(update={"learning_rate": 0.5}), pretrained) == 0.5


@pytest.mark.slow
def test_auto_is_the_same_run_as_the_number_it_stands_for(tiny_settings: Callable[..., Settings]) -> None:
    names = [
        [planned.name for planned in planned_runs(open_study(tiny_settings(LEARNING_RATE=rate)))]
        for rate in ("auto", 1e-3, 1e-4)
    ]
    assert names[0] == names[1] != names[2]


def test_rows_need_no_weights_where_nothing_is_pretrained() -> None:
    row = {"batch_size": 8, "input_size": 32}
    assert check_settings({"MODEL_CONFIG": {"mine": row}, "PRETRAINED": False}).models["mine"].weights is None
    with pytest.raises(InputError, match=r'mine should start from pretrained weights.*"weights": None'):
        check_settings({"MODEL_CONFIG": {"mine": row}})
    check_settings({"MODEL_CONFIG": {"mine": row | {"weights": None}}})
