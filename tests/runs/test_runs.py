"""Promises about keys: they change exactly when something that shapes the weights does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import TINY_MODEL
from fake_study import run_record

import fer.runs.run as runs
from fer.runs.run import (
    Hyperparameters,
    Run,
    key_inputs,
    locked,
    plan_run,
    read_run_json,
    rows_fingerprint,
    what_made_it_new,
)
from fer.settings.settings import Settings, check_settings
from fer.study.plan import _hyperparameters, open_study, planned_runs
from utils import fingerprint, write_sealed

HYPER = Hyperparameters(
    architecture="resnet50", weights="a1_in1k", options={}, input_size=224, channels=3, batch_size=64, dropout=0.0,
    freeze="none", epochs=50, learning_rate=1e-4, optimizer="adamw", weight_decay=0.01, momentum=0.9,
    schedule="plateau", plateau_patience=3, plateau_factor=0.5, patience=10, label_smoothing=0.0, ema_decay=0.0,
    train_sizes=(),
    augmentation={"kind": "strong", "strength": 1.0, "probability": 0.8}, augment_engine="albumentations",
)  # fmt: skip
RUN = Run(("rafdb",), "augmented", "resnet50", 42, "official", "oversample", "natural", "macro_f1", HYPER)
RECIPES, ROWS = {"rafdb": {"variant": "augmented"}}, {"rafdb": "0" * 32}


def key_of(run: Run, recipes: dict[str, Any] = RECIPES, rows: dict[str, str] = ROWS) -> str:
    return fingerprint(key_inputs(run, recipes, rows))


def test_example_keys_are_pinned() -> None:
    """A night of training is found again by these. If one changes, RECIPE_VERSION must rise, knowingly."""
    scratch = replace(RUN, hyper=replace(HYPER, weights=None, augmentation=None), variant="raw", balance="none")
    assert [key_of(RUN), key_of(scratch), key_of(replace(RUN, train_on=("rafdb", "expw")))] == PINNED


PINNED = ["b680af71", "32b89e7b", "c9f4054f"]


@pytest.mark.parametrize("name", [field.name for field in fields(Hyperparameters)])
def test_every_hyperparameter_is_in_the_key(name: str) -> None:
    other: Any = 8 if name == "classes" else "other"
    assert key_of(replace(RUN, hyper=replace(HYPER, **{name: other}))) != key_of(RUN)


@pytest.mark.parametrize("name", [field.name for field in fields(Run) if field.name != "hyper"])
def test_every_field_of_a_run_is_in_the_key(name: str) -> None:
    other = {"train_on": ("expw",), "balance_seed": 42}.get(name, "other")
    assert key_of(replace(RUN, **{name: other})) != key_of(RUN)


def test_rows_enter_by_content_label_and_split_in_order() -> None:
    rows = pd.DataFrame({"face": ["a", "b"], "label": [0, 1], "split": ["train", "val"], "path": ["x", "y"]})
    same = rows_fingerprint(rows)
    assert rows_fingerprint(rows.assign(path=["moved", "too"])) == same
    for column, values in (("face", ["a", "c"]), ("label", [0, 2]), ("split", ["val", "val"])):
        assert rows_fingerprint(rows.assign(**{column: values})) != same
    assert rows_fingerprint(rows.iloc[::-1]) != same


def test_a_setting_added_later_stays_out_while_it_reproduces_what_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = key_of(RUN)
    without = {name: value for name, value in key_inputs(RUN, RECIPES, ROWS)["hyper"].items() if name != "dropout"}
    monkeypatch.setattr(runs, "ADDED_LATER", runs.ADDED_LATER | {"dropout": 0.0})
    assert key_inputs(RUN, RECIPES, ROWS)["hyper"] == without
    assert key_of(RUN) != before
    assert key_of(replace(RUN, hyper=replace(HYPER, dropout=0.1))) != key_of(RUN)


IRRELEVANT = {
    "WORKERS": 1, "PLOT_FORMAT": "svg", "TTA": ("none",), "EVALUATE_TEST": False, "AMP": "off", "MOMENTUM": 0.5,
    "AUGMENT_ENGINE": "batch", "NO_FACE": "reject", "PRIMARY_METRIC": "accuracy", "PRIMARY_COMPARISONS": ("TTA",),
}  # fmt: skip
RELEVANT = {
    "EPOCHS": 3, "LEARNING_RATE": 0.1, "SPLIT_SEED": 7, "VAL_FRACTION": 0.3, "LIMIT_PER_SPLIT": 21, "SEEDS": (1,),
    "SELECT_BY": "accuracy", "BALANCE": "weights", "ONLINE_AUGMENTATION": "light", "DROPOUT": 0.2,
    "OPTIMIZER": "sgd", "LABEL_SMOOTHING": 0.1, "TRAIN_SIZES": ((0.5, 16),), "AMP": "on",
}  # fmt: skip


def names(settings: Settings) -> list[str]:
    return [planned.name for planned in planned_runs(open_study(settings))]


def test_only_keys_of_the_batch_engine_follow_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = replace(RUN, hyper=replace(HYPER, augment_engine="batch"))
    before = key_of(batch)
    monkeypatch.setattr(runs, "BATCH_AUGMENTATION_VERSION", 99)
    assert key_of(batch) != before
    assert key_of(RUN) == PINNED[0]


def test_half_precision_is_another_run_and_the_plan_says_how_to_pin_it(tmp_path: Path) -> None:
    """fp32 stays out, so that runs made before precision was in keys are found."""
    assert "precision" not in key_inputs(RUN, RECIPES, ROWS)["hyper"]
    half = plan_run(replace(RUN, hyper=replace(HYPER, precision="bf16")), RECIPES, ROWS, tmp_path)
    half.folder.mkdir(parents=True)
    write_sealed(half.folder / "run.json", run_record(half))
    said = what_made_it_new(plan_run(RUN, RECIPES, ROWS, tmp_path))
    assert "PRECISION: 'bf16' -> 'fp32'" in said and "pins it" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", IRRELEVANT)
def test_the_key_ignores_what_does_not_shape_weights(tiny_settings: Callable[..., Settings], name: str) -> None:
    assert names(tiny_settings(**{name: IRRELEVANT[name]})) == names(tiny_settings())


@pytest.mark.slow
@pytest.mark.parametrize("name", RELEVANT)
def test_the_key_follows_what_shapes_weights(tiny_settings: Callable[..., Settings], name: str) -> None:
    assert names(tiny_settings(**{name: RELEVANT[name]})) != names(tiny_settings())


@pytest.mark.slow
def test_the_key_ignores_which_other_datasets_are_active(tiny_settings: Callable[..., Settings]) -> None:
    alone, both = names(tiny_settings("alpha")), names(tiny_settings("alpha", "beta"))
    assert set(alone) < set(both)


@pytest.mark.slow
def test_combined_runs_and_equal_experiments_are_planned_once(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings("alpha", "beta", EXPERIMENTS=("individual", "combined"), VARIANTS=("raw", "preprocessed"))
    planned = planned_runs(open_study(settings))
    assert [run.run.train_on for run in planned if run.run.variant == "raw"] == [
        ("alpha",), ("beta",), ("alpha", "beta")
    ]  # fmt: skip
    assert len({run.name for run in planned}) == len(planned) == 6


def test_the_plan_says_which_value_made_a_run_new(tmp_path: Path) -> None:
    old = plan_run(RUN, RECIPES, ROWS, tmp_path)
    old.folder.mkdir(parents=True)
    write_sealed(old.folder / "run.json", run_record(old))
    new = plan_run(replace(RUN, hyper=replace(HYPER, epochs=80)), RECIPES, {"rafdb": "1" * 32}, tmp_path)
    said = what_made_it_new(new)
    assert "EPOCHS: 50 -> 80" in said
    assert "rows of rafdb changed" in said
    assert said.count(";") == 1
    assert what_made_it_new(plan_run(replace(RUN, seed=1), RECIPES, ROWS, tmp_path)) == "not trained before"


def test_a_run_json_with_a_changed_number_is_not_used(tmp_path: Path) -> None:
    planned = plan_run(RUN, RECIPES, ROWS, tmp_path)
    write_sealed(planned.folder / "run.json", run_record(planned))
    assert read_run_json(planned.folder, planned.inputs) is not None
    text = (planned.folder / "run.json").read_text()
    (planned.folder / "run.json").write_text(text.replace("61000", "61001"))
    assert read_run_json(planned.folder, planned.inputs) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"inputs": {}}', "[" * 100_000])
def test_a_damaged_or_foreign_run_json_counts_as_unfinished(tmp_path: Path, text: str) -> None:
    planned = plan_run(RUN, RECIPES, ROWS, tmp_path)
    planned.folder.mkdir(parents=True)
    (planned.folder / "weights.pth").write_bytes(b"x")
    (planned.folder / "run.json").write_text(text)
    assert read_run_json(planned.folder, planned.inputs) is None
    assert not planned.finished


def test_a_run_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path / "run") as first, locked(tmp_path / "run") as second:
        assert first
        assert not second
    with locked(tmp_path / "run") as again:
        assert again


def test_a_row_sets_values_for_its_network_alone(tiny_settings: Callable[..., Settings]) -> None:
    rows = {"tiny_plain": TINY_MODEL, "tiny_residual": TINY_MODEL | {"epochs": 3, "learning_rate": 0.1}}
    plain, other = planned_runs(open_study(tiny_settings(MODEL_CONFIG=rows)))
    assert [plain.name] == names(tiny_settings())
    assert (other.run.hyper.epochs, other.run.hyper.learning_rate) == (3, 0.1)


@pytest.mark.slow
def test_a_recipe_makes_no_new_run_where_it_says_what_is_set_already(tiny_settings: Callable[..., Settings]) -> None:
    said = {"EPOCHS": 2, "LEARNING_RATE": 3e-3}
    recipes = {"same": {"epochs": 2, "learning_rate": 3e-3}, "longer": {"epochs": 4}}
    assert names(tiny_settings(RECIPES=recipes, RECIPE="same", EPOCHS=9)) == names(tiny_settings(**said))
    assert names(tiny_settings(RECIPES=recipes, RECIPE="longer")) == names(tiny_settings(EPOCHS=4))
    assert names(tiny_settings(RECIPE="baseline", LEARNING_RATE=1e-3)) == names(tiny_settings(LEARNING_RATE="auto"))


def test_run_json_is_parsed_once_and_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, parsed = plan_run(RUN, RECIPES, ROWS, tmp_path), []
    read = runs.read_sealed
    monkeypatch.setattr(runs, "read_sealed", lambda path: parsed.append(path) or read(path))
    record = run_record(planned, {"train": [1] * 7, "val": [1] * 7})
    write_sealed(planned.folder / "run.json", record)
    (planned.folder / "weights.pth").write_bytes(b"weights")
    assert all(planned.finished for _ in range(5))
    assert len(parsed) == 1
    write_sealed(planned.folder / "run.json", record | {"weights_sha256": "1" * 64})
    assert read_run_json(planned.folder)["weights_sha256"] == "1" * 64
    write_sealed(planned.folder / "run.json", record | {"inputs": planned.inputs | {"seed": 43}})
    assert not planned.finished
    (planned.folder / "run.json").unlink()
    assert not planned.finished
    assert len(parsed) == 3


def test_the_shipped_settings_enter_keys_as_they_always_did() -> None:
    """Recorded before a row, a recipe, stages or heads could say more: what they add stays out at its default."""
    recorded = {
        "architecture": "densenet121", "weights": "ra_in1k", "options": {}, "input_size": 224, "channels": 3,
        "batch_size": 48, "dropout": 0.0, "freeze": "none", "epochs": 50, "learning_rate": 1e-4, "optimizer": "adamw",
        "weight_decay": 0.01, "momentum": 0.9, "schedule": "plateau", "plateau_patience": 3, "plateau_factor": 0.5,
        "patience": 10, "label_smoothing": 0.0, "ema_decay": 0.0, "train_sizes": [], "augmentation": None,
        "augment_engine": "albumentations",
    }  # fmt: skip
    hyper = _hyperparameters(check_settings({"AMP": "off"}), "raw", "densenet121")
    run = replace(RUN, variant="raw", model="densenet121", balance="none", hyper=hyper)
    assert key_inputs(run, RECIPES, ROWS)["hyper"] == recorded
