"""GRID: settings that take several values in one plan.

An axis is a setting and its values, or a name of one's own and a table of named rows, each of which sets several at
once: {"STRATEGY": {"none": {}, "focal": {"LOSS": "focal"}}}. A point takes one value, or the name of one row, of each
axis. Its settings are those of config.py with these in the place of their own, so that its runs have the keys they
would have without GRID.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from itertools import product
from math import prod
from typing import Any, TypeVar

from fer.columns.files import GRID_CLASSES, GRID_FOUND, GRID_SETUP
from fer.settings.config_file import put_value
from fer.settings.messages import FORMER, did_you_mean, quote
from fer.settings.training_values import TrainingValues
from utils import InputError

MOST_POINTS = 100
PICTURES = (
    "FACE_SIZE", "CROP_MARGIN", "ALIGN", "GRAYSCALE", "CONTRAST", "FACE_POLICY", "NO_FACE", "DETECTION_THRESHOLD",
    "SAVE_FORMAT", "OFFLINE_AUGMENTATION", "AUGMENT_ENGINE",
)  # fmt: skip
LABELS = ("LABEL_NOISE", "NOISE_FOLDS")
# Everything that shapes a training and leaves its validation rows the same; of the tables, also single entries.
TABLES = ("BALANCE", "ONLINE_AUGMENTATION")
ONLY_ENTRIES = ("MODEL_CONFIG", "RECIPES", "AUGMENTATIONS", "PRETRAININGS")
NAMES = (*(name.upper() for name in TrainingValues.model_fields), "RECIPE", "AMP", *LABELS, *PICTURES, *TABLES)
# Settings that hold several values of their own: one plan has them all already.
SEVERAL = ("ACTIVE_DATASETS", "VARIANTS", "EXPERIMENTS", "COMBINATIONS", "MIXING", "SEEDS", "TEST_VARIANTS", "TTA")
ROWS = (
    "DATASETS", "SPLIT_SEED", "VAL_FRACTION", "TEST_FRACTION", "COPIES", "CONFLICTS", "SPLITS", "FOLDS", "REPEATS",
    "LIMIT_PER_SPLIT",
)  # fmt: skip
Point = dict[str, Any]
T = TypeVar("T")


Grid = Mapping[str, tuple[Any, ...] | dict[str, dict[str, Any]]]


def points_of(grid: Grid) -> list[Point]:
    """Every combination of one value of each axis, the last axis changing fastest; [] without an axis."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())] if grid else []


def words_of(point: Mapping[str, Any]) -> str:
    """A point as it would be written in config.py: "LEARNING_RATE = 0.001, DROPOUT = 0.2"."""
    return ", ".join(f"{name} = {quote(value)}" for name, value in point.items())


def written_out(grid: Grid, point: Point) -> Point:
    """The settings a point names, those of its rows in place of their names."""
    found: Point = {}
    for name, value in point.items():
        axis = grid.get(name)
        found |= axis[value] if isinstance(axis, dict) else {name: value}
    return found


def own_point(grid: Grid, described: Mapping[str, Any]) -> Point:
    """The point the study's tables are about: config.py's own value where an axis holds it, else the axis's first.

    Of named rows the one all of whose values are config.py's, of several the one that says most. `described`: the
    settings as `Settings.describe` gives them.
    """
    return {name: _own_or_first(name, axis, described) for name, axis in grid.items()}


def _own_or_first(name: str, axis: tuple[Any, ...] | dict[str, dict[str, Any]], described: Mapping[str, Any]) -> Any:
    rows = axis if isinstance(axis, dict) else None
    fitting = [
        value
        for value in axis
        if all(_is(_value_at(described, key), said) for key, said in (rows[value] if rows else {name: value}).items())
    ]
    if not fitting:
        return next(iter(axis))
    return max(fitting, key=lambda value: len(rows[value])) if rows else fitting[0]


def _is(own: Any, value: Any) -> bool:
    """Whether a setting (as described) is `value`; of a table: all of its entries are the text, or those named."""
    plain = json.loads(json.dumps(value))
    if isinstance(own, dict) and isinstance(plain, str):
        plain = dict.fromkeys(own, plain)
    return plain == own or (isinstance(own, dict) and isinstance(plain, dict) and plain.items() <= own.items())


def _value_at(table: Any, dotted: str) -> Any:
    """The value a dotted name leads to; None where there is none (names may hold dots)."""
    for key in table if isinstance(table, Mapping) else ():
        if dotted == key:
            return table[key]
        if dotted.startswith(f"{key}."):
            return _value_at(table[key], dotted[len(key) + 1 :])
    return None


def with_point(values: Mapping[str, Any], point: Point, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`values` of config.py with those of a point in place, without GRID and SEARCH. InputError for a name unknown."""
    placed = {name: value for name, value in values.items() if name not in ("GRID", "SEARCH")}
    problems = [put_value(placed, name, copy.deepcopy(value), defaults) for name, value in point.items()]
    if found := [problem for problem in problems if problem]:
        raise InputError(found)
    return placed


def grid_problems(grid: Grid, settings_at: Callable[[Point], T]) -> list[str]:
    """What stands against a grid: names that shape no training, too many points, values their setting refuses."""
    named = [(axis, settings_of(axis, values)) for axis, values in grid.items()]
    problems = [problem for _, names in named for name in names if (problem := name_problem(name, "GRID"))]
    problems += filter(None, [axis_problem(axis, "GRID") for axis, values in grid.items() if isinstance(values, dict)])
    problems += twice_problems([name for _, names in named for name in names], "GRID")
    count = prod(map(len, grid.values()))
    if count > MOST_POINTS:
        problems.append(f"GRID makes {count:,} points; {MOST_POINTS} are the most. Leave out values or an axis.")
    return problems or point_problems(points_of(grid), settings_at, "GRID")


def twice_problems(names: list[str], where: str) -> list[str]:
    """The settings that stand in two axes of `where`, GRID or SEARCH."""
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"{where} sets {quote(name)} in two axes. Leave it out of one." for name in twice]


def point_problems(points: list[Point], settings_at: Callable[[Point], T], where: str) -> list[str]:
    """Each problem once, with the first point that has it; one that all points have is none of `where`'s."""
    found_at: dict[str, list[Point]] = {}
    for point in points:
        try:
            settings_at(point)
        except InputError as error:
            for problem in error.problems:
                found_at.setdefault(problem, []).append(point)
    every = [problem for problem, found in found_at.items() if len(found) == len(points)]
    some = [
        f"{where}, with {words_of(found[0])}: {problem}" for problem, found in found_at.items() if problem not in every
    ]
    return [*every, *some]


def settings_of(axis: str, values: Any) -> list[str]:
    """The settings an axis changes: those its rows name, else the one it is called by."""
    return list(dict.fromkeys(key for row in values.values() for key in row)) if isinstance(values, dict) else [axis]


def axis_problem(name: str, where: str) -> str:
    """What stands against a name of one's own: it becomes a column of grid.csv and the name of a figure."""
    if name not in (*GRID_SETUP, *GRID_FOUND, *GRID_CLASSES) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        return ""
    return f"{where}: {quote(name)} cannot name a table of rows. Take letters, digits and _, as in STRATEGY."


def name_problem(name: str, where: str) -> str:
    """What stands against a name in `where`, GRID or SEARCH: it is no setting, or shapes no training."""
    head, _, inside = name.partition(".")
    if (head in NAMES and (head in TABLES or not inside)) or (head in ONLY_ENTRIES and inside):
        return ""
    if head in SEVERAL:
        return f"{where} names {quote(name)}, which holds several values itself. Write them there."
    if head in ROWS:
        return (
            f"{where} names {quote(name)}, with which the rows that validate change: its points could not be compared."
        )
    if head in ONLY_ENTRIES:
        return f'{where} names {head} as a whole. Name one entry of a row: "{head}.<row>.<entry>".'
    if head in FORMER:
        return f"{where} names {quote(name)}, which is not a setting any more; {FORMER[head]}"
    known = (*NAMES, *ONLY_ENTRIES)
    near = did_you_mean(head, known) or " Values of a training can stand there, and of how faces are prepared."
    return f"{where} names {quote(name)}, which is no setting that shapes a training.{near}"
