"""Promises of GRID in a plan: keys are those of config.py's values, and only the study's own point meets a test set."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from fer.results.study_files import read_grid, read_study
from fer.settings.settings import Settings
from fer.study.execution import execute, write_study
from fer.study.grid import added_runs, grid_points, idle_axes
from fer.study.plan import open_study, planned_runs
from utils import read_csv, read_json


@pytest.mark.slow
def test_the_runs_of_a_point_have_the_keys_of_its_values_in_config(tiny_settings: Callable[..., Settings]) -> None:
    grid = {"LEARNING_RATE": (3e-3, 1e-3), "FACE_SIZE": (16, 20), "MODEL_CONFIG.tiny_plain.dropout": (0.0, 0.5)}
    study = open_study(tiny_settings(GRID=grid, VARIANTS=("raw", "preprocessed")))
    points = grid_points(study, planned_runs(study))
    assert len(points) == 8 and [point.is_own for point in points] == [True, *[False] * 7]
    row = dict(study.settings.describe()["MODEL_CONFIG"]["tiny_plain"]) | {"dropout": 0.5}
    written = tiny_settings(
        LEARNING_RATE=1e-3, FACE_SIZE=20, MODEL_CONFIG={"tiny_plain": row}, VARIANTS=("raw", "preprocessed")
    )
    assert [one.name for one in points[-1].runs] == [one.name for one in planned_runs(open_study(written))]
    # what no axis changes stands in the plan once: raw pictures know no FACE_SIZE
    assert len(added_runs(study, points[0].runs, points)) == 3 + 7


def test_without_a_grid_nothing_is_added(tiny_settings: Callable[..., Settings]) -> None:
    study = open_study(tiny_settings())
    runs = planned_runs(study)
    assert grid_points(study, runs) == [] and added_runs(study, runs, []) == []
    write_study(study, runs)
    assert "grid" not in read_json(study.settings.output_path / "study.json")
    assert read_grid(study.settings.output_path) is None


def test_an_axis_that_changes_no_run_is_named(tiny_settings: Callable[..., Settings]) -> None:
    study = open_study(tiny_settings(GRID={"MOMENTUM": (0.9, 0.8), "DROPOUT": (0.0, 0.1)}))
    assert idle_axes(grid_points(study, planned_runs(study))).startswith("GRID: MOMENTUM changes no run")
    assert idle_axes([]) == ""


@pytest.mark.slow
def test_other_points_are_scored_on_validation_alone_until_they_stand_in_config(
    tiny_settings: Callable[..., Settings],
) -> None:
    settings = tiny_settings(GRID={"LEARNING_RATE": (3e-3, 1e-3)}, EPOCHS=1)
    study = open_study(settings)
    runs = planned_runs(study)
    points = grid_points(study, runs)
    (added,) = added_runs(study, runs, points)
    assert execute(study, [*runs, added]) == {}
    write_study(study, runs, points)
    output = settings.output_path
    assert not list(added.folder.glob("predictions/*__test__*")) and list(added.folder.glob("predictions/*__val__*"))
    assert set(read_csv(output / "test_reads.csv")["run"]) == {runs[0].name}
    assert [run.name for run in read_study(output).runs] == [runs[0].name]
    grid = read_grid(output)
    assert grid is not None and {run.name for run in grid.study.runs} == {runs[0].name, added.name}

    before = pd.Series({path: path.stat().st_mtime_ns for path in added.folder.glob("weights.pth")})
    chosen = open_study(tiny_settings(LEARNING_RATE=1e-3, EPOCHS=1))
    assert execute(chosen, planned_runs(chosen)) == {}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())  # found, not trained again
    assert list(added.folder.glob("predictions/*__test__*"))
