"""GRID: settings that take several values in one plan.

An axis is a name and its values; a point takes one value of each. The settings of a point are those of config.py with
the point's values in the place of their own, so that its runs have the keys they would have without GRID.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from math import prod
from typing import Any, TypeVar

from fer.settings.config_file import put_value
from fer.settings.messages import FORMER, did_you_mean, quote
from fer.settings.training_values import TrainingValues
from utils import InputError

MOST_POINTS = 100
PICTURES = (
    "FACE_SIZE", "CROP_MARGIN", "ALIGN", "GRAYSCALE", "FACE_POLICY", "NO_FACE", "DETECTION_THRESHOLD", "SAVE_FORMAT",
    "OFFLINE_AUGMENTATION", "AUGMENT_ENGINE",
)  # fmt: skip
LABELS = ("LABEL_NOISE", "NOISE_FOLDS")
# Everything that shapes a training and leaves its validation rows the same; of the tables, also single entries.
TABLES = ("BALANCE", "ONLINE_AUGMENTATION")
ONLY_ENTRIES = ("MODEL_CONFIG", "RECIPES", "AUGMENTATIONS")
NAMES = (*(name.upper() for name in TrainingValues.model_fields), "RECIPE", "AMP", *LABELS, *PICTURES, *TABLES)
# Settings that hold several values of their own: one plan has them all already.
SEVERAL = ("ACTIVE_DATASETS", "VARIANTS", "EXPERIMENTS", "COMBINATIONS", "MIXING", "SEEDS", "TEST_VARIANTS", "TTA")
ROWS = (
    "DATASETS", "SPLIT_SEED", "VAL_FRACTION", "TEST_FRACTION", "COPIES", "CONFLICTS", "SPLITS", "FOLDS", "REPEATS",
    "LIMIT_PER_SPLIT",
)  # fmt: skip
Point = dict[str, Any]
T = TypeVar("T")


def points_of(grid: Mapping[str, Iterable[Any]]) -> list[Point]:
    """Every combination of one value of each axis, the last axis changing fastest; [] without an axis."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())] if grid else []


def words_of(point: Mapping[str, Any]) -> str:
    """A point as it would be written in config.py: "LEARNING_RATE = 0.001, DROPOUT = 0.2"."""
    return ", ".join(f"{name} = {quote(value)}" for name, value in point.items())


def own_point(grid: Mapping[str, tuple[Any, ...]], described: Mapping[str, Any]) -> Point:
    """The point the study's tables are about: config.py's own value where an axis holds it, else the axis's first.

    `described`: the settings as `Settings.describe` gives them.
    """
    return {name: _own_or_first(values, _value_at(described, name)) for name, values in grid.items()}


def _own_or_first(values: tuple[Any, ...], own: Any) -> Any:
    return next((value for value in values if json.loads(json.dumps(value)) == own), values[0])


def _value_at(table: Any, dotted: str) -> Any:
    """The value a dotted name leads to; None where there is none (names may hold dots)."""
    for key in table if isinstance(table, Mapping) else ():
        if dotted == key:
            return table[key]
        if dotted.startswith(f"{key}."):
            return _value_at(table[key], dotted[len(key) + 1 :])
    return None


def with_point(values: Mapping[str, Any], point: Point, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of config.py with those of a point in place, and without GRID. Raises InputError for a name unknown."""
    placed = {name: value for name, value in values.items() if name != "GRID"}
    problems = [put_value(placed, name, copy.deepcopy(value), defaults) for name, value in point.items()]
    if found := [problem for problem in problems if problem]:
        raise InputError(found)
    return placed


def grid_problems(grid: Mapping[str, tuple[Any, ...]], settings_at: Callable[[Point], T]) -> list[str]:
    """What stands against a grid: names that shape no training, too many points, values their setting refuses."""
    problems = [problem for name in grid if (problem := _name_problem(name))]
    count = prod(map(len, grid.values()))
    if count > MOST_POINTS:
        problems.append(f"GRID makes {count:,} points; {MOST_POINTS} are the most. Leave out values or an axis.")
    return problems or _point_problems(points_of(grid), settings_at)


def _point_problems(points: list[Point], settings_at: Callable[[Point], T]) -> list[str]:
    """Each problem once, with the first point that has it; one that all points have is none of the grid's."""
    where: dict[str, list[Point]] = {}
    for point in points:
        try:
            settings_at(point)
        except InputError as error:
            for problem in error.problems:
                where.setdefault(problem, []).append(point)
    every = [problem for problem, found in where.items() if len(found) == len(points)]
    some = [f"GRID, with {words_of(found[0])}: {problem}" for problem, found in where.items() if problem not in every]
    return [*every, *some]


def _name_problem(name: str) -> str:
    head, _, inside = name.partition(".")
    if (head in NAMES and (head in TABLES or not inside)) or (head in ONLY_ENTRIES and inside):
        return ""
    if head in SEVERAL:
        return f"GRID names {quote(name)}, which holds several values itself. Write them there."
    if head in ROWS:
        return f"GRID names {quote(name)}, with which the rows that validate change: its points could not be compared."
    if head in ONLY_ENTRIES:
        return f'GRID names {head} as a whole. Name one entry of a row: "{head}.<row>.<entry>".'
    if head in FORMER:
        return f"GRID names {quote(name)}, which is not a setting any more; {FORMER[head]}"
    known = (*NAMES, *ONLY_ENTRIES)
    near = did_you_mean(head, known) or " Values of a training can stand there, and of how faces are prepared."
    return f"GRID names {quote(name)}, which is no setting that shapes a training.{near}"
