"""What SEARCH promises before the first trial: every mistake is told in words, and no password is ever written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fer.settings.search import size_of, tried_points
from fer.settings.settings import Settings, check_settings
from utils import InputError, without_password

RATE = {"low": 1e-4, "high": 1e-1, "log": True}


def problems_of(**values: Any) -> str:
    with pytest.raises(InputError) as caught:
        check_settings(values)
    assert len(caught.value.problems) == len(set(caught.value.problems))
    return "\n".join(caught.value.problems)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"LERNING_RATE": RATE}, 'Did you mean "LEARNING_RATE"?'),
        ({"LEARNING_RATE": {"low": 0.1, "high": 0.01}}, "low = 0.1 is not below high = 0.01"),
        ({"LEARNING_RATE": {"low": 0.1, "high": 0.1}}, "is not below"),
        ({"LEARNING_RATE": {"low": 0, "high": 0.1, "log": True}}, "log draws by size, and low = 0"),
        ({"LEARNING_RATE": {"low": 0.1, "high": 1, "log": True, "step": 0.1}}, "log and step do not go together"),
        ({"EPOCHS": {"low": 1, "high": 5, "step": 9}}, "step = 9"),
        ({"EPOCHS": {"low": 1, "high": 5, "step": 0}}, "step = 0"),
        ({"LEARNING_RATE": {"low": 0.1}}, "high: Field required"),
        ({"LEARNING_RATE": {"low": 0.1, "hihg": 1}}, "high: Field required"),
        ({"LEARNING_RATE": {"low": "a", "high": 1}}, "low: "),
        ({"DROPOUT": (0.0, 1.2)}, "DROPOUT = 1.2 should be less than 1"),
        ({"DROPOUT": {"low": 0.0, "high": 1.2}}, "DROPOUT = 1.2 should be less than 1"),
        ({"EPOCHS": {"low": 5.0, "high": 9.5}}, "EPOCHS"),
        ({"DROPOUT": ()}, "at least 1 item"),
        ({"DROPOUT": (0.1, 0.1)}, "more than once"),
        ({"OPTIMIZER": ("adamw", "sdg")}, '"sgd"'),
        ({"SCHEDULE": ("plateau", "cosine"), "WARMUP_EPOCHS": (0, 99)}, "WARMUP_EPOCHS"),
        ({"MODEL_CONFIG.resnet5.dropout": (0.0, 0.1)}, 'Did you mean "resnet50"?'),
        ({"MODEL_CONFIG": ("a", "b")}, "Name one entry of a row"),
        ({"S": {"a": {"DROPOUT": 0.1}}, "DROPOUT": (0.0, 0.1)}, "in two axes"),
        *(({name: ("a", "b")}, f'SEARCH names "{name}"') for name in
          ("OUTPUT_DIR", "SEEDS", "EVALUATE_TEST", "DATASETS", "SEARCH_TRIALS", "TTA", "VAL_FRACTION", "GRID")),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_words(search: dict[str, Any], words: str) -> None:
    assert words in problems_of(SEARCH=search)


def test_what_cannot_stand_beside_a_search() -> None:
    search = {"DROPOUT": (0.0, 0.1)}
    assert "SEARCH and GRID" in problems_of(SEARCH=search, GRID=search)
    assert "ORACLE" in problems_of(SEARCH=search, ORACLE=True)
    assert "SEARCH_TRIALS" in problems_of(SEARCH=search, SEARCH_TRIALS=0)


def test_ranges_are_whole_where_their_ends_are_and_say_how_much_they_hold() -> None:
    search = {"EPOCHS": {"low": 10, "high": 40, "step": 10}, "OPTIMIZER": ("adamw", "sgd")}
    settings = check_settings({"SEARCH": search})
    assert size_of(settings.search) == 8
    assert len(tried_points(settings.search)) == 4
    assert settings.at({"EPOCHS": 20}).epochs == 20
    assert size_of(check_settings({"SEARCH": {"DROPOUT": {"low": 0.0, "high": 0.5, "step": 0.1}}}).search) == 6
    assert size_of(check_settings({"SEARCH": {"LEARNING_RATE": RATE}}).search) == float("inf")


def test_many_axes_are_tried_value_by_value() -> None:
    names = ("DROPOUT", "DROP_PATH", "LABEL_SMOOTHING", "MOMENTUM", "MIXUP", "CUTMIX", "HEAD_DROPOUT")
    search = {name: {"low": 0.1, "high": 0.5} for name in names}
    assert len(tried_points(check_settings({"SEARCH": search}).search)) == 14
    assert "MOMENTUM = 1.0" in problems_of(SEARCH=search | {"MOMENTUM": (0.9, 1.0)})


def test_a_search_leaves_the_settings_as_they_are_and_is_described_as_json() -> None:
    settings = check_settings({"SEARCH": {"LEARNING_RATE": RATE}, "LEARNING_RATE": 0.5})
    assert settings.learning_rate == 0.5
    assert settings.at({"LEARNING_RATE": 0.01}) == Settings(LEARNING_RATE=0.01)
    assert check_settings(json.loads(json.dumps(settings.describe()))) == settings


ADDRESS = "postgresql://anna:geh@im/x@server:5432/searches"


def test_the_password_of_the_storage_is_used_and_never_written() -> None:
    settings = check_settings({"SEARCH_STORAGE": ADDRESS})
    assert settings.search_storage == ADDRESS
    assert settings.at({}).search_storage == ADDRESS
    assert settings.describe()["SEARCH_STORAGE"] == "postgresql://anna:***@server:5432/searches"
    assert "geh" not in problems_of(SEARCH_STORAGE=ADDRESS.replace("postgresql", "mysql"))
    assert "geh" not in problems_of(SEARCH_STORAGE=f"postgres {ADDRESS}")
    assert without_password("postgresql://h/d?user=a&password=geheim&x=1") == "postgresql://h/d?user=a&password=***&x=1"
    assert without_password("postgresql://anna@server/searches") == "postgresql://anna@server/searches"
