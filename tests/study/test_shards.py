"""Promises about shares of a plan: together they are the plan, and no share waits for another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import main as program
from fer.runs.run import PlannedRun
from fer.settings.settings import PROJECT, Settings
from fer.study.plan import open_study, planned_runs
from fer.study.shards import Shard, parse_shard, share_of
from utils import InputError


def run(number: int, needs: tuple[PlannedRun, ...] = ()) -> PlannedRun:
    return PlannedRun(None, {}, Path(f"run{number}"), needs=needs)  # type: ignore[arg-type]


@given(st.lists(st.sets(st.integers(0, 30), max_size=2), max_size=30), st.integers(1, 12))
def test_the_shares_are_the_plan_and_what_runs_need_is_in_their_share(needs: list[set[int]], count: int) -> None:
    runs: list[PlannedRun] = []
    for number, before in enumerate(needs):
        runs.append(run(number, tuple(runs[one] for one in sorted(before) if one < number)))
    shares = [share_of(runs, Shard(number, count)) for number in range(1, count + 1)]
    assert sorted(one.name for share in shares for one in share) == sorted(one.name for one in runs)
    for share in shares:
        names = [one.name for one in share]
        for one in share:
            assert all(names.index(need.name) < names.index(one.name) for need in one.needs)


def test_runs_that_stand_alone_are_dealt_in_turn() -> None:
    runs = [run(number) for number in range(5)]
    assert [[one.name for one in share_of(runs, Shard(number, 2))] for number in (1, 2)] == [
        ["run0", "run2", "run4"],
        ["run1", "run3"],
    ]
    assert share_of(runs, Shard(7, 8)) == []  # more shards than runs


@pytest.mark.parametrize("text", ["3/2", "0/2", "1/0", "two", "1", "1/2/3", "-1/2"])
def test_other_shards_are_refused_in_words(text: str) -> None:
    with pytest.raises(InputError, match="--shard"):
        parse_shard(text)
    assert parse_shard(" 2/8") == Shard(2, 8)


@pytest.mark.slow
def test_two_shards_started_together_train_every_run_once_and_the_last_makes_the_tables(
    tiny_settings: Callable[..., Settings], arguments: Callable[[Settings], list[str]]
) -> None:
    """The third overlaps with both: locks and finished runs keep it from training anything twice."""
    settings = tiny_settings(SEEDS=(1, 2, 3))
    command = [sys.executable, "main.py", *arguments(settings)]
    shards = [subprocess.Popen([*command, "--shard", f"{number}/2"], cwd=PROJECT) for number in (1, 2)]
    assert [one.wait(timeout=300) for one in shards] == [0, 0]
    stamps = weight_stamps(settings)
    assert len(stamps) == 3
    assert subprocess.run([*command, "--shard", "1/1"], cwd=PROJECT).returncode == 0
    assert weight_stamps(settings) == stamps
    assert (settings.output_path / "results.csv").is_file()


def weight_stamps(settings: Settings) -> dict[str, int]:
    """When the weights of each run were written."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in settings.output_path.glob("saved_models/*/weights.pth")
    }


def test_a_shard_alone_leaves_the_others_and_says_so(
    tiny_settings: Callable[..., Settings], arguments: Callable[[Settings], list[str]], capfd: pytest.CaptureFixture
) -> None:
    settings = tiny_settings(SEEDS=(1, 2))
    assert program.main([*arguments(settings), "--shard", "2/2"]) == 0
    assert [one.finished for one in planned_runs(open_study(settings))] == [False, True]
    assert "shard 2/2: 1 of the plan's 2 runs" in capfd.readouterr().err
    assert not (settings.output_path / "results.csv").exists()
