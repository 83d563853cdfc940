"""How far a grid is: counted over all runs, time left from what was seen, gone when the grid is over."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_study import FakeStudy

from fer.report.page import write_report
from fer.results.tables import write_tables
from fer.runs.epoch_words import PROGRESS
from fer.runs.run import locked
from fer.study.grid_progress import GridProgress
from utils import read_json, write_json

ROW = {"val_macro_f1": 0.24, "val_loss": 1.6, "seconds": 10.0}


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the program logs."""
    caplog.set_level("INFO")
    return caplog


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GridProgress:
    """Four runs of 6 epochs, none begun; all of 100 pictures, but those of both sets of 200."""
    monkeypatch.setattr("fer.study.grid_progress.trained_pictures", lambda study, run: 100 * len(run.train_on))
    fake = FakeStudy(tmp_path, seeds=(1, 2), train_on=(("studio",), ("studio", "wild")), finished=False)
    study: Any = SimpleNamespace(settings=SimpleNamespace(output_path=tmp_path))
    return GridProgress(study, fake.plan())


def test_time_left_counts_every_run_to_come(grid: GridProgress, logged: pytest.LogCaptureFixture) -> None:
    first = grid.runs[0]
    grid.start(first)
    grid.note_epoch(first.run, ROW | {"epoch": 2})
    # 4 epochs of this, 6 of its second seed, twice 6 of both sets with twice the pictures: 34 times 10 s
    assert grid.seconds_left(first.run, 2) == pytest.approx(340)
    assert "run 1 of 4, epoch 2 of 6, about 6 minutes left: validation macro-F1 0.240, loss 1.600" in logged.text
    facts = read_json(grid.path)
    assert (facts["run"], facts["runs"], facts["epoch"], facts["epochs"]) == (1, 4, 2, 6)
    assert facts["seconds_left"] == 340 and facts["name"] == first.name


def test_runs_that_are_done_take_no_time(grid: GridProgress) -> None:
    first, second, *both = grid.runs
    for planned in both:
        grid.skip(planned)
    grid.start(first)
    grid.note_epoch(first.run, ROW | {"epoch": 6})
    assert grid.seconds_left(first.run, 6) == pytest.approx(60)
    grid.start(second)
    grid.note_epoch(second.run, ROW | {"epoch": 6})
    assert grid.seconds_left(second.run, 6) == pytest.approx(0)


def test_what_comes_between_trainings_is_counted(grid: GridProgress) -> None:
    first, *others = grid.runs
    for planned in others[1:]:
        grid.skip(planned)
    grid.between = [7.0]
    grid.start(first)
    grid.note_epoch(first.run, ROW | {"epoch": 6})
    assert grid.seconds_left(first.run, 6) == pytest.approx(60 + 2 * 7)


@pytest.mark.slow
def test_the_page_says_it_while_a_run_is_on_its_way(tmp_path: Path) -> None:
    study = FakeStudy(tmp_path)
    planned = study.plan()[0]
    (planned.folder / "run.json").unlink()
    write_tables(tmp_path)
    write_json(tmp_path / PROGRESS, {"text": "run 7 of 24, epoch 3 of 12, about 41 minutes left"})
    with locked(planned.folder):
        page = write_report(tmp_path).read_text()
    assert "run 7 of 24, epoch 3 of 12, about 41 minutes left" in page
    assert "run 7 of 24" not in write_report(tmp_path).read_text(), "the process that said so is gone"


def test_nothing_is_left_when_the_grid_is_over(grid: GridProgress) -> None:
    grid.start(grid.runs[0])
    grid.note_epoch(grid.runs[0].run, ROW | {"epoch": 1})
    grid.close()
    assert not grid.path.exists()
