"""The points of GRID as plans: the same datasets and splits, other settings, scored on validation alone.

The study itself stands at one point, its own (see fer.settings.grid). The others are trained to be compared with it by
validation: no test set is scored by them, so that nobody can choose a point by it. Whoever wants the test score of
another point writes its values into config.py; its runs are found there, and scored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fer.runs.run import PlannedRun
from fer.settings.grid import words_of
from fer.study.plan import Study, needed_runs, planned_runs


@dataclass(frozen=True)
class GridPoint:
    """One point: its values by name, the study at these values, and its runs, those of other points among them."""

    values: dict[str, Any]
    study: Study
    runs: list[PlannedRun]
    is_own: bool

    @property
    def words(self) -> str:
        """ "LEARNING_RATE = 0.001"."""
        return words_of(self.values)


def grid_points(study: Study, runs: list[PlannedRun]) -> list[GridPoint]:
    """The points of the study's GRID, its own among them with `runs`; [] without GRID."""
    own = study.settings.own_point() if study.settings.grid else {}
    found = []
    for values in study.settings.points():
        if values == own:
            found.append(GridPoint(values, study, runs, True))
            continue
        settings = study.settings.at(values).model_copy(update={"evaluate_test": False, "oracle": False})
        there = study.with_settings(settings)
        found.append(GridPoint(values, there, planned_runs(there), False))
    return found


def added_runs(study: Study, runs: Iterable[PlannedRun], points: Iterable[GridPoint]) -> list[PlannedRun]:
    """The runs that are trained for GRID alone: those of other points that are not among `runs`, each once.

    From now on `study` knows the point each belongs to, and a point that what its runs need is the study's where it is.
    """
    known = {planned.name for planned in runs}
    own = {planned.name for planned in needed_runs(study, runs)}
    added = []
    for point in points:
        for planned in point.runs:
            if planned.name not in known:
                known.add(planned.name)
                study.adopt(planned, point.study)
                for need in planned.needs:
                    (point.study if need.name in own else study).adopt(need, study if need.name in own else point.study)
                added.append(planned)
    return added


def idle_axes(points: list[GridPoint]) -> str:
    """In words: the axes without any effect on a run; empty where each has one."""
    idle = [name for name in (points[0].values if points else ()) if not _has_effect(name, points)]
    if not idle:
        return ""
    return (
        f"GRID: {', '.join(idle)} changes no run of this plan: a recipe or the rows of MODEL_CONFIG name a value of "
        "their own, or nothing reads it beside the other settings."
    )


def _has_effect(name: str, points: list[GridPoint]) -> bool:
    """Whether two points that differ in `name` alone have different runs."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for point in points:
        others = words_of({key: value for key, value in point.values.items() if key != name})
        found.setdefault(others, set()).add(tuple(sorted(planned.name for planned in point.runs)))
    return any(len(runs) > 1 for runs in found.values())
