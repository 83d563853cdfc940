"""Promises about the plan: what each experiment trains on, and that an oracle never changes the run beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fer.runs import trained_network
from fer.runs.run import ORACLE
from fer.settings.settings import Settings
from fer.study import variants
from fer.study.execution import execute
from fer.study.plan import describe_idle, open_study, planned_runs
from utils import InputError, file_fingerprint


def trainings(settings: Settings) -> list[tuple[str, str]]:
    return [("+".join(planned.run.train_on), planned.run.mixing) for planned in planned_runs(open_study(settings))]


@pytest.mark.slow
def test_leave_one_out_trains_on_all_the_others(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings("alpha", "beta", "gamma", EXPERIMENTS=("leave_one_out",))
    assert trainings(settings) == [("beta+gamma", "natural"), ("alpha+gamma", "natural"), ("alpha+beta", "natural")]


@pytest.mark.slow
def test_combinations_and_mixings_multiply_combined_runs_only(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings(
        "alpha", "beta", "gamma", EXPERIMENTS=("both",), COMBINATIONS=(("alpha", "beta"),),
        MIXING=("natural", "balanced"),
    )  # fmt: skip
    alone = [(name, "natural") for name in ("alpha", "beta", "gamma")]
    assert trainings(settings) == [*alone, ("alpha+beta", "natural"), ("alpha+beta", "balanced")]


@pytest.mark.slow
def test_a_training_two_experiments_want_is_planned_once(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings(
        "alpha", "beta", "gamma", EXPERIMENTS=("combined", "leave_one_out"), COMBINATIONS=(("beta", "gamma"),)
    )
    assert len(trainings(settings)) == len(set(trainings(settings))) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "experiments", "trained", "idle"),
    [
        (("alpha",), ("individual", "combined"), ["alpha"], ["combined"]),
        (("alpha",), ("combined", "leave_one_out"), [], ["combined", "leave_one_out"]),
        (("alpha", "beta"), ("individual", "leave_one_out"), ["alpha", "beta"], ["leave_one_out"]),
        (("alpha", "beta"), ("combined",), ["alpha+beta"], []),
    ],
)
def test_an_experiment_with_too_few_datasets_has_nothing_to_do_and_says_so(
    tiny_settings: Callable[..., Settings], names: tuple, experiments: tuple, trained: list[str], idle: list[str]
) -> None:
    settings = tiny_settings(*names, EXPERIMENTS=experiments, COMBINATIONS=(("alpha", "beta"),))
    assert [train_on for train_on, _ in trainings(settings)] == trained
    said = describe_idle(settings)
    assert "\n" not in said and all(f'"{name}"' in said for name in idle) and bool(said) == bool(idle)


@pytest.mark.slow
def test_an_oracle_is_another_epoch_of_the_same_training(tiny_settings: Callable[..., Settings]) -> None:
    alone = open_study(tiny_settings(EPOCHS=6))
    assert execute(alone, planned_runs(alone)) == {}
    chosen = planned_runs(alone)[0]
    weights = file_fingerprint(chosen.folder / "weights.pth")

    both = open_study(tiny_settings(EPOCHS=6, ORACLE=True))
    runs = planned_runs(both)
    assert [planned.run.selection for planned in runs] == ["macro_f1", ORACLE]
    assert runs[0].name == chosen.name
    assert execute(both, runs) == {}  # its counterpart is finished: the training is repeated in its own folder
    later = _facts(runs[1].folder)

    (chosen.folder / "run.json").unlink()
    (runs[1].folder / "run.json").unlink()
    assert execute(both, runs) == {}  # now both are taken from one training
    assert file_fingerprint(chosen.folder / "weights.pth") == weights
    assert _facts(runs[1].folder) == later
    assert not (runs[1].folder / "training").exists()

    history = pd.read_csv(runs[1].folder / "history.csv")
    assert history["test_accuracy"].max() == history["test_accuracy"].iloc[later[0] - 1]
    assert "test_accuracy" not in pd.read_csv(chosen.folder / "history.csv")


@pytest.mark.slow
def test_trainings_of_a_command_read_prepared_faces_once_and_load_each_network_once(
    tiny_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(tiny_settings(EPOCHS=1, VARIANTS=("preprocessed",), SEEDS=(1, 2)))
    read, loaded = [], []
    preparing, loading = variants.preprocess_or_load, trained_network.load_trained
    monkeypatch.setattr(variants, "preprocess_or_load", lambda *given: read.append(given) or preparing(*given))
    monkeypatch.setattr(trained_network, "load_trained", lambda *given: loaded.append(given) or loading(*given))
    assert execute(study, planned_runs(study)) == {}
    assert len(read) == 1
    assert len(loaded) == 2


def _facts(folder: Path) -> tuple[int, str]:
    stored = json.loads((folder / "run.json").read_text())
    return stored["facts"]["best_epoch"], stored["weights_sha256"]


def test_an_oracle_needs_the_test_set(tiny_settings: Callable[..., Settings]) -> None:
    with pytest.raises(InputError, match="ORACLE"):
        tiny_settings(ORACLE=True, EVALUATE_TEST=False)
