"""Promises of the page while a grid runs: curves of a running network, and no failure of it ends the grid."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_study import FakeStudy

import fer.report.live_page
from fer.report.live_page import LIVE_FIGURES, LivePage, write_live_page
from fer.results.study_files import read_study


def unfinished(output: Path) -> Path:
    """A study whose first run is in its third epoch; returns that run's folder."""
    study = FakeStudy(output)
    folder = read_study(study.output).runs[0].folder
    (folder / "run.json").unlink()
    return folder


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_the_page_shows_the_curves_of_a_running_network(tmp_path: Path) -> None:
    folder = unfinished(tmp_path / "out")
    write_live_page(tmp_path / "out", "png")
    figure = f"learning_curves/live_{folder.name}.png"
    assert (tmp_path / "out" / figure).is_file()
    assert figure in (tmp_path / "out" / "report.html").read_text()
    before = (tmp_path / "out" / figure).read_bytes()
    history = folder / "history.csv"
    lines = history.read_text().splitlines()
    history.write_text("\n".join(lines[:-1]) + "\n")
    write_live_page(tmp_path / "out", "png")
    assert (tmp_path / "out" / figure).read_bytes() != before


@pytest.mark.slow
def test_it_is_written_while_the_block_runs_and_its_figures_leave_with_it(tmp_path: Path) -> None:
    folder = unfinished(tmp_path / "out")
    figure = tmp_path / "out" / f"learning_curves/live_{folder.name}.png"
    with LivePage(tmp_path / "out", "png", lambda: None, period=0.1):
        wait_for((tmp_path / "out" / "report.html").is_file)
        assert figure.is_file()
    assert not figure.exists()
    assert json.loads((tmp_path / "out" / LIVE_FIGURES).read_text()) == {}


@pytest.mark.slow
def test_nothing_that_fails_in_it_ends_the_grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:  # type: ignore[no-untyped-def]
    def broken() -> None:
        raise OSError(28, "No space left on device")

    said = []
    monkeypatch.setattr(fer.report.live_page.log, "exception", lambda text, *_: said.append(text))
    (tmp_path / "out").mkdir()  # without a study: every page fails
    with LivePage(tmp_path / "out", "png", broken, period=0.1) as page:
        wait_for(lambda: page.process.pid is not None)
        time.sleep(0.2)
        page()
        wait_for(lambda: "live page could not be written" in capfd.readouterr().err)
    assert len(said) == 1 and "the runs go on" in said[0]
