"""Promises of --verify: the same run is the same bit for bit; what differs is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fer.settings.settings import Settings
from fer.study.execution import execute
from fer.study.plan import open_study, planned_runs
from fer.study.verify import finished_run, verify_run
from model_utils import load_state, save_state
from utils import InputError, file_fingerprint, read_sealed, write_sealed


def trained(settings: Settings) -> str:
    study = open_study(settings)
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    return runs[0].name


@pytest.mark.slow
def test_a_run_trained_again_is_the_same(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings()
    name = trained(settings)
    found = verify_run(name, settings.model_copy(update={"epochs": 9}))  # today's settings have no say
    assert found.identical and found.weights == 0
    assert len(found.predictions) == 4
    assert "bit for bit" in found.sentences()[0]


def test_the_start_of_a_name_is_enough_where_it_is_one_run_s(tmp_path: Path) -> None:
    for name in ("a__raw__net__s1__1234abcd", "a__raw__net__s1__12ffabcd", "b__raw__net__s1__1234abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / "b__unfinished").mkdir()
    assert finished_run("b", tmp_path).name == "b__raw__net__s1__1234abcd"
    assert finished_run("a__raw__net__s1__1234", tmp_path).name == "a__raw__net__s1__1234abcd"
    with pytest.raises(InputError, match=r"2 finished runs start so: .*1234abcd, .*12ffabcd"):
        finished_run("a__raw", tmp_path)
    with pytest.raises(InputError, match="no finished run"):
        finished_run("", tmp_path)


@pytest.mark.slow
def test_other_weights_and_another_machine_are_named(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings()
    name = trained(settings)
    folder = settings.output_path / "saved_models" / name
    weights = load_state(folder / "weights.pth")
    first = next(iter(weights["state_dict"]))
    weights["state_dict"][first] += torch.tensor(0.25)
    save_state(folder / "weights.pth", weights)
    with pytest.raises(InputError, match=r"weights\.pth is not the file its run wrote"):
        verify_run(name, settings)
    stored = read_sealed(folder / "run.json")
    stored["weights_sha256"] = file_fingerprint(folder / "weights.pth", 64)
    stored["environment"]["threads"] = 64
    write_sealed(folder / "run.json", stored)
    found = verify_run(name, settings)
    assert not found.identical
    assert found.weights == pytest.approx(0.25, abs=1e-6)
    assert "threads: 64 there" in found.sentences()[0]


@pytest.mark.slow
def test_changed_pictures_are_named(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings()
    name = trained(settings)
    root = settings.resolve(settings.datasets["alpha"].path)
    next((root / "train" / "happy").iterdir()).unlink()
    with pytest.raises(InputError, match="the rows of alpha changed"):
        verify_run(name, settings)


@pytest.mark.slow
def test_an_unknown_run_lists_the_finished_ones(tiny_settings: Callable[..., Settings]) -> None:
    settings = tiny_settings()
    name = trained(settings)
    with pytest.raises(InputError, match=name):
        verify_run("nothing", settings)
