"""Promises about a search: no trial twice, what was interrupted goes on, and no test set is read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import optuna
import pandas as pd
import pytest

import main as program
from fer.search import worker
from fer.settings.settings import PROJECT, Settings, load_settings
from fer.study.plan import open_study

# A learning rate so small that nothing is learnt is clearly worst.
RATES = {"LEARNING_RATE": (1e-8, 3e-3)}


@pytest.fixture
def study_file(tiny_settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., list[str]]:
    """A function that writes a study file and returns the arguments that name it."""

    def write(**changes: object) -> list[str]:
        settings = tiny_settings(**changes)
        described = settings.describe() | {name: value for name, value in changes.items() if name.startswith("SEARCH")}
        path = tmp_path / "study.py"
        path.write_text("".join(f"{name} = {value!r}\n" for name, value in described.items()))
        return ["--config", str(path)]

    return write


def trials_of(output: Path) -> pd.DataFrame:
    return pd.read_csv(output / "search" / "trials.csv")


@pytest.mark.slow
def test_a_search_finds_the_learning_rate_that_learns_and_reads_no_test_set(
    study_file: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    arguments = study_file(SEARCH=RATES, SEARCH_TRIALS=5, EPOCHS=6, EVALUATE_TEST=True, VAL_FRACTION=0.4)
    assert program.main(arguments) == 0
    told = capfd.readouterr().err
    assert "EVALUATE_TEST = True is ignored" in told
    output = tmp_path / "out"
    trials = trials_of(output)
    assert sorted(trials["LEARNING_RATE"]) == [1e-8, 3e-3]  # both points, each once
    assert trials.loc[trials["chosen_by_validation"], "LEARNING_RATE"].tolist() == [3e-3]
    assert not list(output.glob("saved_models/*/predictions/*__test__*"))
    assert not (output / "test_reads.csv").exists()
    chosen = load_settings(output / "search" / "chosen.py")
    assert chosen.learning_rate == 3e-3 and chosen.evaluate_test and not chosen.search
    facts = json.loads((output / "search" / "search.json").read_text())
    assert facts["chosen"]["lines"] == ["LEARNING_RATE = 0.003"]
    assert facts["looked_at"] == 2 and facts["optimism"]["rows"] > 0
    assert "SEARCH" not in (output / "search" / "chosen.py").read_text()
    assert 'id="search"' in (output / "report.html").read_text()


def weight_stamps(output: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in output.glob("saved_models/*/weights.pth")}


WIDE = {"LEARNING_RATE": {"low": 1e-4, "high": 1e-2, "log": True}, "DROPOUT": (0.0, 0.2)}


@pytest.mark.slow
def test_two_workers_on_one_file_share_the_trials_and_a_third_finds_nothing_to_do(
    study_file: Callable[..., list[str]], tmp_path: Path
) -> None:
    command = [sys.executable, "main.py", *study_file(SEARCH=WIDE, SEARCH_TRIALS=6, EPOCHS=1)]
    workers = [subprocess.Popen(command, cwd=PROJECT) for _ in range(2)]
    assert [one.wait(timeout=900) for one in workers] == [0, 0]
    output = tmp_path / "out"
    trials, stamps = trials_of(output), weight_stamps(output)
    assert trials["state"].tolist() == ["complete"] * 6
    assert trials["runs"].is_unique
    assert len(stamps) == 6
    assert subprocess.run(command, cwd=PROJECT).returncode == 0
    assert weight_stamps(output) == stamps
    assert len(trials_of(output)) == 6


class EndsTheFirst:
    """A pruner that ends trial 0 after its first epoch, and no other."""

    def prune(self, _study: object, trial: optuna.trial.FrozenTrial) -> bool:
        return trial.number == 0


@pytest.mark.slow
def test_a_trial_that_is_ended_early_keeps_its_history_alone_and_is_marked(
    study_file: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "pruner", lambda _epochs: EndsTheFirst())
    arguments = study_file(SEARCH=WIDE, SEARCH_TRIALS=3, EPOCHS=3)
    assert program.main(arguments) == 0
    output = tmp_path / "out"
    trials = trials_of(output).set_index("trial")
    assert trials["state"].tolist() == ["pruned", "complete", "complete"]
    assert trials["epochs"].tolist() == [1, 3, 3]
    assert not trials.loc[0, "chosen_by_validation"] and 0 <= trials.loc[0, "validation_score"] <= 1
    assert [path.name for path in (output / "saved_models" / str(trials.loc[0, "runs"])).iterdir()] == ["history.csv"]
    assert program.main(arguments) == 0  # and it stays ended
    assert trials_of(output).set_index("trial").equals(trials)


@pytest.mark.slow
def test_a_search_that_was_killed_continues_with_the_epochs_it_has(
    study_file: Callable[..., list[str]], tmp_path: Path
) -> None:
    command = [sys.executable, "main.py", *study_file(SEARCH=WIDE, SEARCH_TRIALS=2, EPOCHS=40, PATIENCE=None)]
    first = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    for line in first.stderr:
        if "epoch 3 of 40" in line:
            break
    first.kill()
    first.wait()
    again = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "lost its worker: it is given again" in again.stderr
    assert "continuing after epoch" in again.stderr
    trials = trials_of(tmp_path / "out")
    assert trials["state"].tolist() == ["complete"] * 2
    assert trials["epochs"].tolist() == [40, 40]
    assert len(weight_stamps(tmp_path / "out")) == 2


def test_what_is_kept_is_judged_after_every_epoch_as_if_it_were_the_last(tmp_path: Path) -> None:
    """Epoch 2 is kept by macro-F1 until the third; the score noted is the accuracy of the kept one."""
    history = pd.DataFrame({"val_macro_f1": [0.2, 0.4, 0.3], "val_accuracy": [0.5, 0.3, 0.9], "val_loss": [1.0, 1, 1]})
    history.to_csv(tmp_path / "history.csv", index=False)
    run = SimpleNamespace(folder=tmp_path, run=SimpleNamespace(selection="macro_f1"))
    assert worker._kept_scores(run, "accuracy") == [0.5, 0.3, 0.3]  # type: ignore[arg-type]
    assert worker._kept_scores(run, "cohen_kappa") == [0.2, 0.4, 0.4]  # type: ignore[arg-type]


@pytest.mark.slow
def test_check_and_plan_say_what_a_search_will_do(
    study_file: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    arguments = study_file(SEARCH=WIDE, SEARCH_TRIALS=7)
    for what in ("--check", "--plan"):
        assert program.main([*arguments, what]) == 0
        told = "".join(capfd.readouterr())
        assert "search: at most 7 trials over LEARNING_RATE: 0.0001 to 0.01 by size; DROPOUT: 0.0, 0.2" in told
    assert "a trial" in told and "for 7 on one worker" in told
    assert not (tmp_path / "out" / "search").exists()
    assert not list((tmp_path / "out").glob("saved_models/*/weights.pth"))


def test_a_search_is_not_dealt_out(study_file: Callable[..., list[str]], capfd: pytest.CaptureFixture) -> None:
    assert program.main([*study_file(SEARCH=WIDE), "--shard", "1/2"]) == 2
    assert "Start the same command several times" in capfd.readouterr().err


def test_without_the_extra_it_is_named(
    study_file: Callable[..., list[str]], capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer.machine.extras.find_spec", lambda name: None if name == "optuna" else name)
    assert program.main(study_file(SEARCH=WIDE)) == 2
    assert "uv sync --extra search" in capfd.readouterr().err
    assert program.main([*study_file(SEARCH=WIDE), "--check"]) == 2
    assert "uv sync --extra search" in " ".join("".join(capfd.readouterr()).split())  # the terminal wraps it


def test_an_axis_that_changes_nothing_is_told(tiny_settings: Callable[..., Settings]) -> None:
    row = {"batch_size": 16, "weights": None, "input_size": 16, "channels": 1, "dropout": 0.1}
    search = {"DROPOUT": (0.0, 0.2), "WEIGHT_DECAY": (0.0, 0.1)}
    study = open_study(tiny_settings(SEARCH=search, MODEL_CONFIG={"tiny_plain": row}))
    assert worker.idle_axes(study).startswith("SEARCH: DROPOUT changes no run")
