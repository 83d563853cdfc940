"""Promises about the figure of attention: drawn on request, a row per class answered, left out in words otherwise."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fer.figures.draw import draw_picture_figures
from fer.settings.settings import Settings
from fer.study.execution import execute, write_study
from fer.study.plan import open_study, planned_runs


@pytest.mark.slow
@pytest.mark.parametrize("asked", [True, False])
def test_it_is_drawn_on_request_alone(tiny_settings: Callable[..., Settings], asked: bool) -> None:
    study = open_study(tiny_settings(EPOCHS=1, GRAD_CAM=asked))
    runs = planned_runs(study)
    assert execute(study, runs) == {}
    write_study(study, runs)
    drawn = [path.name for path in draw_picture_figures(study, runs, "png")]
    assert any("attention" in name for name in drawn) == asked
