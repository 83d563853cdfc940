"""What config.py promises: every value checked, every problem told at once, in words that name the fix."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

import config
from fer.settings.recipes import RECIPES
from fer.settings.settings import PROJECT, ModelRow, Settings, check_settings, load_settings
from fer.settings.training_values import TrainingValues
from utils import InputError

ROW = {"batch_size": 8, "weights": None, "input_size": 48}
NAMES = list(Settings().describe())


def problems(**values: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        check_settings(values)
    return caught.value.problems


def file_problems(folder: Path, text: str, *overrides: str) -> list[str]:
    path = folder / "study.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_settings(path, overrides)
    return caught.value.problems


# ---------------------------------------------------------------- the shipped file and the defaults


def test_config_py_holds_the_defaults_in_their_order() -> None:
    assert load_settings() == Settings()
    assert [name for name in vars(config) if name.isupper()] == NAMES


def test_describe_is_json_that_loads_to_the_same_settings() -> None:
    settings = load_settings(None, ["SEEDS=1,2", "MODEL_CONFIG.resnet50.options.drop_path_rate=0.1"])
    assert check_settings(json.loads(json.dumps(settings.describe()))) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_settings_and_rows_are_frozen() -> None:
    settings = Settings()
    for record, name in ((settings, "epochs"), (settings.models["resnet50"], "batch_size")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(record, name, 1)


def test_relative_paths_start_at_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, [f"DATASETS_DIR={tmp_path}"])
    assert settings.output_path == PROJECT / "saidas" and settings.output_path.is_absolute()
    assert settings.datasets_path == tmp_path


@pytest.mark.slow
def test_loading_needs_no_network_library() -> None:
    code = "import sys\nfrom fer.settings import settings\nsettings.load_settings()\n"
    code += "print({'torch', 'timm', 'cv2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# ---------------------------------------------------------------- study files and overrides


def test_a_study_names_only_what_differs(tmp_path: Path) -> None:
    study = tmp_path / "study.py"
    study.write_text('"""Accuracy."""\nfrom math import pi\nEPOCHS = 3\nSEEDS = [1, 2]\n', encoding="utf-8")
    assert load_settings(study) == Settings(epochs=3, seeds=(1, 2))


@pytest.mark.parametrize(
    ("override", "field", "expected"),
    [
        ("EPOCHS=7", "epochs", 7),
        ("PATIENCE=None", "patience", None),
        ("OUTPUT_DIR=/tmp/a=b", "output_dir", "/tmp/a=b"),
        ("ACTIVE_DATASETS=rafdb, expw", "active_datasets", ("rafdb", "expw")),
        ("SEEDS=5", "seeds", (5,)),
        ("WORKERS=auto", "workers", "auto"),
        ("BALANCE=weights", "balance", {"raw": "weights", "preprocessed": "weights", "augmented": "weights"}),
        ("BALANCE.raw=weights", "balance", Settings().balance | {"raw": "weights"}),
    ],
)
def test_overrides(override: str, field: str, expected: object) -> None:
    settings = load_settings(None, [override])
    assert getattr(settings, field) == expected
    assert settings.model_copy(update={field: getattr(Settings(), field)}) == Settings()


def test_dotted_overrides_change_one_entry_of_a_row(tmp_path: Path) -> None:
    study = tmp_path / "study.py"
    study.write_text(f'MODEL_CONFIG = {{"net.v2": {ROW}, "net": {ROW}}}', encoding="utf-8")
    settings = load_settings(study, ["MODEL_CONFIG.net.v2.batch_size=9", "MODEL_CONFIG.net.channels=1"])
    assert [(row.batch_size, row.channels) for row in settings.models.values()] == [(9, 3), (8, 1)]
    added = load_settings(study, [f"MODEL_CONFIG.third={ROW}"])
    assert list(added.models) == ["net.v2", "net", "third"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("EPOCHS", "KEY=VALUE"),
        ("EPOCS=3", '"EPOCHS"'),
        ("epochs=3", '"EPOCHS"'),
        ("EPOCHS.x=3", "no parts"),
        ("DATASETS.rafbd.path=x", '"rafdb"'),
        ("DATASETS.rafdb.pth=x", '"path"'),
        ("DATASETS.rafdb.path.x=x", "Shorten"),
        ("EPOCHS=many", "valid integer"),
    ],
)
def test_a_bad_override_says_how_to_mend_it(override: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_settings(None, [override])
    assert len(caught.value.problems) == 1 and words in caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("EPOCHS = 3\nSEEDS = (1,\n", ["study.py, line 2"]),
        ("EPOCHS = 3\nDEVICE = cpu\n", ["study.py, line 2", "cpu", "quotes"]),
        ("import nothing_of_that_name", ["study.py, line 1", "nothing_of_that_name"]),
        ("EPOCHS = 3\nEPOCHS = 4", ["study.py, line 2", "EPOCHS", "line 1"]),
        (f'MODEL_CONFIG = {{"a": {ROW},\n"a": {ROW}}}', ["study.py, line 2", "a stands in line 1"]),
        ("epochs = 3", ["epochs", "no effect", "Write EPOCHS"]),
        ("\0", ["study.py"]),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, text: str, words: list[str]) -> None:
    (problem,) = file_problems(tmp_path, text)
    assert all(word in problem for word in words)


def test_a_file_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "study.py").touch()
    with pytest.raises(InputError, match=r"studdy\.py: there is no such file.*study\.py"):
        load_settings(tmp_path / "studdy.py")
    with pytest.raises(InputError, match="cannot be read"):
        load_settings(tmp_path)


# ---------------------------------------------------------------- bad values


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("EPOCHS", "10", "valid integer"),
        ("EPOCHS", True, "valid integer"),
        ("EPOCHS", 10.0, "valid integer"),
        ("EPOCHS", 0, "greater than or equal to 1."),
        ("PATIENCE", 0, "or None"),
        ("LEARNING_RATE", "fast", "a valid number or 'auto'"),
        ("DROPOUT", float("nan"), "finite number"),
        ("VAL_FRACTION", 0.5, "less than 0.5"),
        ("LIMIT_PER_SPLIT", 3, "equal to 7 or None"),
        ("ALIGN", "yes", "valid boolean"),
        ("PRETRAINED", 1, "valid boolean"),
        ("OUTPUT_DIR", 3, "valid string"),
        ("OUTPUT_DIR", " ", "empty"),
        ("COPIES", "dorp", 'Did you mean "drop"?'),
        ("WORKERS", -1, "equal to 0 or 'auto'"),
        ("WORKERS", "some", "valid integer or 'auto'"),
        ("DEVICE", "gpu", '"cuda"'),
        ("TTA", (), "at least 1 item"),
        ("VARIANTS", None, "valid tuple"),
        ("SEEDS", (1, 1), "more than once"),
        ("ACTIVE_DATASETS", ["rafdb", "rafdb"], "more than once"),
        ("BALANCE", "oversampel", 'Did you mean "oversample"?'),
        ("BALANCE", 3, "valid dictionary"),
        ("PRIMARY_METRIC", "macro_f2", 'Did you mean "macro_f1"?'),
        ("PRIMARY_METRIC", "macro_auc", "'cohen_kappa'"),
        ("PRIMARY_COMPARISONS", (), "at least 1 item"),
        ("MODEL_CONFIG", {}, "at least 1 item"),
        ("MODEL_CONFIG", ["resnet50"], "valid dictionary"),
    ],
)
def test_a_bad_value_is_told_with_what_is_allowed(name: str, value: object, words: str) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"{name} = ") and words in problem


@pytest.mark.parametrize(
    ("values", "place", "words"),
    [
        ({"EPOCS": 3}, "EPOCS", 'Did you mean "EPOCHS"?'),
        ({"VARIANTS": ("raw", "preprocesed")}, "VARIANTS[1] = ", 'Did you mean "preprocessed"?'),
        ({"PRIMARY_COMPARISONS": ("model",)}, "PRIMARY_COMPARISONS[0] = ", 'Did you mean "models"?'),
        ({"BALANCE": {"augmentd": "none"}}, "BALANCE", 'Did you mean "augmented"?'),
        ({"BALANCE": {"raw": "nothing"}}, 'BALANCE.raw = "nothing"', "'undersample'"),
        ({"MODEL_CONFIG": {"net": 32}}, "MODEL_CONFIG.net = 32", '"batch_size"'),
        ({"MODEL_CONFIG": {"net": ROW | {"chanels": 1}}}, "MODEL_CONFIG.net", 'Did you mean "channels"?'),
        ({"MODEL_CONFIG": {"net": ROW | {"channels": 2}}}, "MODEL_CONFIG.net.channels = 2", "3 or 1"),
        ({"MODEL_CONFIG": {"net": {"weights": None, "input_size": 48}}}, "MODEL_CONFIG.net", "batch_size"),
        ({"MODEL_CONFIG": {"a/b": ROW}}, "MODEL_CONFIG", "folder names"),
        ({"MODEL_CONFIG": {"a__b": ROW}}, "MODEL_CONFIG", "folder names"),
        ({"MODEL_CONFIG": {"net": ROW, "Net": ROW}}, "MODEL_CONFIG", "upper and lower case"),
        (
            {"MODEL_CONFIG": {"net": ROW | {"options": {"x": print}}}},
            "MODEL_CONFIG.net.options",
            "numbers, texts",
        ),
        (
            {"DATASETS": {"fer2013": {"path": "x", "layout": "fer2013", "faces": "box"}}},
            "DATASETS.fer2013 = ",
            'boxes and their confidence come with layout "expw" or',
        ),
    ],
)
def test_a_bad_entry_is_told_with_its_place(values: dict[str, Any], place: str, words: str) -> None:
    found = [problem for problem in problems(**values) if problem.startswith(place)]
    assert len(found) == 1 and words in found[0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"ACTIVE_DATASETS": ("rafbd", "expw")}, ['"rafbd"', 'Did you mean "rafdb"?']),
        ({"COMBINATIONS": (("rafdb", "other"),)}, ["COMBINATIONS", "two or more of rafdb, expw, fer2013"]),
        ({"SCHEDULE": "onecycle"}, ["onecycle", "PATIENCE = None"]),
        ({"PATIENCE": 3}, ["PLATEAU_PATIENCE = 3"]),
        ({"FREEZE": "backbone", "PRETRAINED": False}, ["PRETRAINED = False", 'FREEZE = "none"']),
        ({"FREEZE": "backbone", "MODEL_CONFIG": {"net": ROW}}, ["net", 'FREEZE = "none"']),
    ],
)
def test_values_that_contradict_each_other(values: dict[str, Any], words: list[str]) -> None:
    (problem,) = problems(**values)
    assert all(word in problem for word in words)


@pytest.mark.parametrize(
    "values",
    [
        {"schedule": "onecycle", "patience": None},
        {"schedule": "onecycle", "patience": 5},
        {"schedule": "constant", "patience": 1},
        {"epochs": 2, "patience": 2},
        {"active_datasets": ("rafdb",), "experiments": ("individual",)},
        {"active_datasets": ("rafdb",)},
        {"active_datasets": ("rafdb",), "experiments": ("combined", "leave_one_out")},
        {"active_datasets": ("rafdb",), "combinations": (("rafdb", "expw"),)},
        {"active_datasets": ("rafdb", "expw"), "experiments": ("leave_one_out",)},
    ],
)
def test_values_that_agree(values: dict[str, Any]) -> None:
    assert Settings(**values)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    text = 'EPOCHS = "10"\nEPOCS = 3\nACTIVE_DATASETS = ("rafbd", "expw")\nseeds = 3\nTTA = "flipp"\n'
    text += 'COMBINATIONS = (("expw",),)\n'
    found = file_problems(tmp_path, text, "DEVISE=cpu", "MODEL_CONFIG.resnet50.batch_size=0")
    for beginning in (
        "EPOCHS = ",
        "EPOCS ",
        "ACTIVE_DATASETS",
        "COMBINATIONS",
        "seeds",
        "TTA",
        "--set DEVISE",
        "MODEL",
    ):
        assert sum(problem.startswith(beginning) for problem in found) == 1, beginning
    assert len(found) == 8


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@examples(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), plain, min_size=1, max_size=6))
def test_whatever_is_written_is_taken_or_told_in_words(values: dict[str, Any]) -> None:
    try:
        settings = check_settings(values)
    except InputError as error:
        assert error.problems and not any(jargon in str(error) for jargon in ("Input should", "_type", "pydantic"))
    else:
        assert check_settings(settings.describe()) == settings


@pytest.mark.slow
@examples(deadline=None)
@given(st.text(alphabet="EPOCHS.=resnet50MODL_IGFbatch z3'\"{},", max_size=40))
def test_whatever_is_overridden_is_taken_or_told(override: str) -> None:
    try:
        assert isinstance(load_settings(None, [override]), Settings)
    except InputError as error:
        assert error.problems


@pytest.mark.slow
def test_what_is_registered_can_be_chosen_without_another_edit() -> None:
    """A TTA policy and a layout are one entry each, here made before settings is imported."""
    code = (
        "from fer.views.policies import TTA_POLICIES; TTA_POLICIES['mirror'] = ('flip',)\n"
        "import fer.layouts.layouts as layouts\n"
        "layouts.LAYOUTS['mine'] = layouts.Layout('mine', ('x',), (), layouts.LAYOUTS['folders'].read, boxes=True)\n"
        "from fer.settings.settings import check_settings\n"
        "row = {'path': 'x', 'layout': 'mine', 'faces': 'box'}\n"
        "print(check_settings({'TTA': ('mirror',), 'DATASETS': {'a': row}, 'ACTIVE_DATASETS': ('a',),\n"
        "                      'EXPERIMENTS': ('individual',)}).tta)\n"
        "from pathlib import Path\nfrom fer.data.readers import missing_datasets\n"
        "from fer.settings.settings import DatasetRow\n"
        "print(missing_datasets({'a': (DatasetRow(**row), Path('/nowhere'))}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "('mirror',)" in done.stdout and "as its owners ship it" in done.stdout


# ---------------------------------------------------------------- values of one network's training


def test_defaults_config_recipe_and_row_win_in_this_order() -> None:
    rows = {"plain": ROW, "own": ROW | {"recipe": "probe", "epochs": 7}, "named": ROW | {"recipe": "other"}}
    recipes = {"probe": {"epochs": 20, "dropout": 0.4}, "other": {"weight_decay": 0.5}}
    values = {"MODEL_CONFIG": rows, "RECIPES": recipes, "DROPOUT": 0.1, "WEIGHT_DECAY": 0.2}
    settings = check_settings(values | {"RECIPE": "probe"})
    found = {name: settings.training_of(name) for name in rows}
    assert [v.epochs for v in found.values()] == [20, 7, 50]
    assert [v.dropout for v in found.values()] == [0.4, 0.4, 0.1]
    assert [v.weight_decay for v in found.values()] == [0.2, 0.2, 0.5]
    assert check_settings(values).training_of("plain").epochs == 50


@pytest.mark.parametrize("name", TrainingValues.model_fields)
def test_a_row_takes_every_value_of_a_training(name: str) -> None:
    default = getattr(Settings(), name)
    row = ModelRow(**ROW | {name: default})
    assert row.given() == {name: default} and ModelRow(**ROW).given() == {}
    assert name in row.model_dump() and name not in ModelRow(**ROW).model_dump()


def test_own_recipes_stand_beside_the_shipped() -> None:
    settings = check_settings({"RECIPES": {"mine": {"epochs": 3}, "linear_probe": {"freeze": "backbone"}}})
    assert list(settings.recipes) == ["baseline", "finetune", "from_scratch_small", "linear_probe", "mine"]
    assert settings.recipes["linear_probe"].given() == {"freeze": "backbone"}
    assert check_settings(settings.describe()) == settings


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_agrees_with_itself(name: str) -> None:
    """Whatever stands in config.py beside it: a recipe holds all that its own values contradict otherwise."""
    table = {"net": {"batch_size": 8, "weights": "x", "input_size": 48}}
    assert check_settings({"RECIPE": name, "MODEL_CONFIG": table}).recipe == name


def test_a_mistake_in_one_row_is_told_of_that_row() -> None:
    rows = {"good": ROW, "bad": ROW | {"schedule": "onecycle"}}
    (problem,) = problems(MODEL_CONFIG=rows)
    assert problem.startswith('MODEL_CONFIG "bad": SCHEDULE = "onecycle"')
    assert check_settings({"SCHEDULE": "onecycle", "MODEL_CONFIG": {"net": ROW | {"patience": 5}}})
    (problem,) = problems(MODEL_CONFIG={"net": ROW | {"recipe": "fine_tune"}})
    assert 'MODEL_CONFIG "net" names the recipe "fine_tune"' in problem and 'Did you mean "finetune"?' in problem
    (problem,) = problems(MODEL_CONFIG={"net": ROW | {"dropuot": 0.1}})
    assert 'Did you mean "dropout"?' in problem


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"FREEZE": "bakcbone"}, '"backbone" for all but the head'),
        ({"FREEZE": {"last_layer": 3}}, '{"last_layers": 20}'),
        ({"FREEZE": {"last_blocks": 0}}, "from 1"),
        ({"STAGES": ({"epochs": 3, "freeze": "backbone"},)}, "learning_rate"),
        ({"STAGES": ({"epochs": 3, "freeze": "none", "learning_rate": 1e-3},)}, "Set EPOCHS = 3"),
        (
            {"STAGES": ({"epochs": 3, "freeze": "none", "learning_rate": 1.0},), "EPOCHS": 3, "FREEZE": "backbone"},
            'Set FREEZE = "none"',
        ),
        ({"OPTIMIZER": "moun"}, 'Did you mean "muon"?'),
        ({"OPTIMIZER": "muon"}, "Write a number"),
        ({"SCHEDULE": "cosine"}, "PATIENCE = None"),
        ({"SCHEDULE": "cosine", "PATIENCE": None, "EPOCHS": 3, "WARMUP_EPOCHS": 3}, "leaves nothing of 3 epochs"),
        ({"STOP_BY": "f1"}, "macro_f1"),
        ({"GRADIENT_CLIP": 0.0}, "None"),
    ],
)
def test_a_bad_value_of_fine_tuning_is_told(values: dict[str, Any], words: str) -> None:
    (problem,) = problems(**values)
    assert words in problem
