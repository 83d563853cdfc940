"""Promises about what a plan says it will take: hours, and the disk against what is free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fer.study.disk_need as disk_need
import fer.study.inspection as inspection
import fer.study.speed as speed
import main as program
from fer.data.readers import read_dataset
from fer.faces.balancing import oversampled, undersampled
from fer.settings.settings import PROJECT, Settings, load_settings
from fer.study.disk_need import CHECKPOINTS, PACKS, PREPARED, WEIGHTS, needed_space
from fer.study.execution import execute
from fer.study.plan import Study, open_study, planned_runs
from fer.study.plan_estimate import Estimate, describe_estimate, duration, estimate_plan, trained_rows
from fer.study.speed import speed_book

Make = Callable[..., Settings]
GB = 10**9


def opened(settings: Settings) -> tuple[Study, list]:
    study = open_study(settings)
    return study, planned_runs(study)


# ---------------------------------------------------------------- time


@pytest.mark.slow
def test_a_network_never_trained_here_is_timed_once(
    tiny_settings: Make, arguments: Callable[[Settings], list[str]], capfd: pytest.CaptureFixture
) -> None:
    settings = tiny_settings(VARIANTS=("raw", "augmented"), ONLINE_AUGMENTATION="strong")
    for first in (True, False):
        assert program.main([*arguments(settings), "--plan"]) == 0
        said = capfd.readouterr().err
        assert ("timing tiny_plain" in said) == first
        assert all(word in said for word in ("estimate: up to", "preparing faces", "packing", "testing", "figures")), (
            said
        )
    assert (settings.output_path / "cache" / "speeds.json").is_file()


@pytest.mark.slow
def test_a_plain_run_times_nothing_and_says_what_it_does_not_know(tiny_settings: Make) -> None:
    study, runs = opened(tiny_settings())
    found = estimate_plan(study, runs, speed_book(study.settings, measure=False))
    assert found.untimed == {"tiny_plain", "the pictures of alpha"} and not found.seconds
    assert any("tiny_plain" in line and "--plan" in line for line in describe_estimate(found))


@pytest.mark.slow
def test_a_finished_run_tells_the_speed_of_another(tiny_settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tiny_settings(SEEDS=(1,))
    study, runs = opened(first)
    assert execute(study, runs) == {}
    assert estimate_plan(study, runs, speed_book(first, measure=True)).seconds == {}
    monkeypatch.setattr(speed, "_time_network", lambda *_: pytest.fail("timed, though a finished run tells"))
    study, runs = opened(tiny_settings(SEEDS=(1, 2)))
    once = estimate_plan(study, runs, speed_book(first, measure=True))
    assert not once.untimed and 0 < once.seconds["training"] < 60
    study, runs = opened(tiny_settings(SEEDS=(1, 2, 3), EPOCHS=2))
    assert estimate_plan(study, runs, speed_book(first, True)).seconds["training"] == pytest.approx(
        2 * once.seconds["training"]
    )


@pytest.mark.slow
def test_an_oracle_costs_only_its_looks_and_more_views_cost_more(tiny_settings: Make) -> None:
    def seconds(**changes: object) -> dict[str, float]:
        study, runs = opened(tiny_settings(**changes))
        return estimate_plan(study, runs, speed_book(study.settings, measure=True)).seconds

    plain, peeked = seconds(TTA=("none",)), seconds(TTA=("none",), ORACLE=True)
    assert plain["training"] < peeked["training"] < 2 * plain["training"]
    assert seconds(TTA=("none", "three_views"))["testing"] == pytest.approx(3 * plain["testing"])


@pytest.mark.slow
def test_a_network_that_fills_memory_is_timed_with_fewer_pictures(
    tiny_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, runs = opened(tiny_settings())
    once, tried = speed._time_once, []

    def crowded(state: Any, *rest: Any) -> Any:
        tried.append(state.micro_batch)
        if state.micro_batch > 4:
            raise torch.OutOfMemoryError("out of memory")
        return once(state, *rest)

    monkeypatch.setattr(speed, "_time_once", crowded)
    found = estimate_plan(study, runs, speed_book(study.settings, measure=True))
    assert found.seconds["training"] > 0 and tried[:3] == [16, 8, 4]


@pytest.mark.slow
def test_rows_counted_are_those_that_balancing_leaves() -> None:
    labels = np.repeat([0, 2, 3], [5, 9, 2])
    counts = np.bincount(labels)
    assert trained_rows(counts, "none") == len(labels)
    assert trained_rows(counts, "oversample") == len(oversampled(labels, 0))
    assert trained_rows(counts, "undersample") == len(undersampled(labels, 0))


@pytest.mark.parametrize(
    ("seconds", "said"), [(40, "40 s"), (720, "12 minutes"), (19_800, "5.5 hours"), (1_036_800, "12 days")]
)
def test_seconds_are_said_in_a_unit_one_would_use(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_days_on_a_cpu_point_to_the_study_for_cpus() -> None:
    long = {"training": 12 * 86_400.0}
    assert "on this CPU about 12 days; a study for CPUs is studies/small_cpu.py" in describe_estimate(
        Estimate("cpu", long)
    )
    assert not any("CPU" in line for line in describe_estimate(Estimate("cuda", long)))
    assert not any("CPU" in line for line in describe_estimate(Estimate("cpu", {"training": 600.0})))
    settings = load_settings(PROJECT / "studies" / "small_cpu.py", [])
    assert len(settings.active_datasets) == len(settings.models) == 1 and not settings.pretrained


@pytest.mark.slow
def test_a_damaged_file_of_speeds_is_named_and_measured_again(
    tiny_settings: Make, caplog: pytest.LogCaptureFixture
) -> None:
    study, runs = opened(tiny_settings())
    book = speed_book(study.settings, measure=True)
    book.path.parent.mkdir(parents=True, exist_ok=True)
    book.path.write_text("{")
    with caplog.at_level("WARNING", logger="fer"):
        assert estimate_plan(study, runs, book).seconds["training"] > 0
    assert "speeds.json cannot be read" in caplog.text


# ---------------------------------------------------------------- disk


@pytest.mark.slow
def test_the_disk_asked_for_is_the_disk_taken(tiny_settings: Make) -> None:
    settings = tiny_settings(VARIANTS=("raw", "augmented"), SEEDS=(1, 2), EPOCHS=1)
    study, runs = opened(settings)
    book = speed_book(settings, measure=False)
    needs = {need.kind: need.size for need in needed_space(study, runs, book)}
    assert execute(study, runs) == {}
    program.audit(study)
    packs = list((settings.output_path / "cache" / "packed").glob("*.npy"))
    assert needs[PACKS] == sum(path.stat().st_size - 128 for path in packs)  # the header of a pack
    weights = sum(planned.folder.joinpath("weights.pth").stat().st_size for planned in runs)
    assert needs[WEIGHTS] == pytest.approx(weights, rel=0.5)  # a small network: names and sizes count
    assert needs[WEIGHTS] / 4 * 3 == needs[CHECKPOINTS]  # four runs; a checkpoint holds Adam's two moments beside
    pictures = sum(path.stat().st_size for path in settings.datasets_path.rglob("*.png"))
    assert needs[PREPARED] == pytest.approx(pictures, rel=0.5)
    assert needed_space(study, runs, book) == []


@pytest.mark.slow
def test_a_study_that_cannot_fit_is_refused_before_it_starts(
    tiny_settings: Make,
    arguments: Callable[[Settings], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    settings = tiny_settings()
    monkeypatch.setattr(disk_need, "free_space", lambda _: 1000)
    for argument in (["--plan"], []):
        assert program.main([*arguments(settings), *argument]) == 2
        said = capfd.readouterr().err
        assert "The disk is too small for this study: it needs" in said and "are free" in said
        assert "Traceback" not in said and "weights" in said
    assert not list(settings.output_path.rglob("weights.pth"))
    assert not (settings.output_path / "cache" / "packed").exists()
    assert not (settings.output_path / "audit").exists()


def test_folders_on_one_disk_are_added_up(tiny_settings: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needs = [disk_need.Need(PREPARED, tmp_path / "a", 3 * GB), disk_need.Need(PACKS, tmp_path / "b" / "c", 2 * GB)]
    monkeypatch.setattr(disk_need, "free_space", lambda _: 4 * GB)
    with pytest.raises(disk_need.InputError, match=r"needs 5\.00 GB .* 4\.00 GB are free"):
        disk_need.refuse_full_disk(needs)
    disk_need.refuse_full_disk(needs[:1])


@pytest.mark.slow
def test_the_check_says_the_most_it_can_take_and_writes_nothing(
    tiny_settings: Make, arguments: Callable[[Settings], list[str]], capfd: pytest.CaptureFixture
) -> None:
    settings = tiny_settings(VARIANTS=("raw", "augmented"), SEEDS=(1, 2))
    assert program.main([*arguments(settings), "--check"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "disk: at most" in said and "free at" in said
    assert not settings.output_path.exists()
    study, runs = opened(settings)
    book = speed_book(settings, measure=False)
    labels = {"alpha": study.datasets["alpha"].samples["label"].to_numpy()}
    most = {need.kind: need.size for need in disk_need.most_space(settings, labels, 1, book)}
    assert all(need.size <= most[need.kind] for need in needed_space(study, runs, book) if need.kind != CHECKPOINTS)
    assert inspection._splits(settings, read_dataset("alpha", *_place(settings))) == 1


def _place(settings: Settings) -> tuple:
    row = settings.datasets["alpha"]
    return row, settings.resolve(row.path)
