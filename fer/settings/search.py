"""SEARCH: settings whose values are looked for, each with a range, choices, or named rows as in GRID.

{"LEARNING_RATE": {"low": 1e-4, "high": 1e-1, "log": True}, "DROPOUT": (0.0, 0.2, 0.4)}. A point takes one value, or
the name of one row, of each axis; its settings are those of config.py with these in the place of their own, so that
its runs have the keys they would have without SEARCH.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import floor, inf, prod
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ValidationError

from fer.settings.grid import Point, axis_problem, name_problem, point_problems, settings_of, twice_problems
from fer.settings.messages import quote
from fer.settings.value_types import Axis, Record, Text, json_able
from utils import without_password

MOST_CHECKED = 100  # points whose settings are tried before the first trial; more: each value by itself
DIGITS = 4  # significant digits of a value drawn from a range: enough, and readable in config.py
SERVER = re.compile(r"postgresql(\+psycopg)?://\S+")
T = TypeVar("T")


class Range(Record):
    """Numbers from `low` to `high`, both included: whole where all of these are. `log`: drawn evenly by size."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def is_whole(self) -> bool:
        """True where its values are whole numbers."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 0))

    @property
    def size(self) -> float:
        """How many values it holds; infinite without steps."""
        if self.step is None and not self.is_whole:
            return inf
        return floor((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def rounded(self, value: float) -> int | float:
        """A drawn value with as many digits as count."""
        if self.is_whole:
            return int(value)
        return min(max(float(f"{value:.{DIGITS}g}"), float(self.low)), float(self.high))


Axes = dict[str, Any]  # Range, tuple of values, or table of named rows, by the name of the axis


def _axis(value: Any) -> Any:
    """A range, where the table names one of its ends; else what GRID takes."""
    if isinstance(value, Range) or not (isinstance(value, dict) and {"low", "high", "log", "step"} & set(value)):
        return value if isinstance(value, Range) else Axis.validate_python(value)
    try:
        found = Range.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][:1])) or "it"
        raise ValueError(
            f'{where}: {first["msg"]}. A range is {{"low": 1e-4, "high": 1e-1, "log": True}}; "log" and "step" may be '
            "left out."
        ) from None
    if problem := _range_problem(found):
        raise ValueError(problem)
    return found


def _range_problem(found: Range) -> str:
    if found.low >= found.high:
        return f"low = {found.low} is not below high = {found.high}. Swap them, or write the one value in its place."
    if found.log and found.low <= 0:
        return f"log draws by size, and low = {found.low} has none. Take a low above 0, or leave log out."
    if found.log and found.step is not None:
        return "log and step do not go together. Leave one of them out."
    if found.step is not None and not 0 < found.step <= found.high - found.low:
        return f"step = {found.step} has to be above 0 and at most high - low = {found.high - found.low}."
    return ""


def _whole_table(table: Axes) -> Axes:
    json_able({name: value for name, value in table.items() if not isinstance(value, Range)})
    return table


Search = Annotated[dict[Text, Annotated[Any, AfterValidator(_axis)]], AfterValidator(_whole_table)]


def rows_in(search: Mapping[str, Any]) -> dict[str, Any]:
    """The axes that are tables of named rows."""
    return {name: values for name, values in search.items() if isinstance(values, dict)}


def values_of(axis: Any) -> tuple[Any, ...]:
    """The values of an axis that are tried before the first trial: all choices, or the ends of a range."""
    return (axis.low, axis.high) if isinstance(axis, Range) else tuple(axis)


def first_point(search: Mapping[str, Any]) -> Point:
    """The first value of each axis."""
    return {name: values_of(axis)[0] for name, axis in search.items()}


def size_of(search: Mapping[str, Any]) -> float:
    """How many points there are; infinite with a range that has no steps."""
    return prod(axis.size if isinstance(axis, Range) else len(axis) for axis in search.values())


def tried_points(search: Mapping[str, Any]) -> list[Point]:
    """Points whose settings are tried before the first trial: all ends and choices, combined where they are few."""
    tried = {name: values_of(axis) for name, axis in search.items()}
    if prod(map(len, tried.values())) <= MOST_CHECKED:
        return [dict(zip(tried, values, strict=True)) for values in product(*tried.values())]
    first = first_point(search)
    return [first | {name: value} for name, values in tried.items() for value in values]


def search_problems(search: Mapping[str, Any], settings_at: Callable[[Point], T]) -> list[str]:
    """What stands against a search: names that shape no training, and values their setting refuses."""
    named = [(axis, settings_of(axis, values)) for axis, values in search.items()]
    problems = [problem for _, names in named for name in names if (problem := name_problem(name, "SEARCH"))]
    problems += [problem for axis in rows_in(search) if (problem := axis_problem(axis, "SEARCH"))]
    problems += twice_problems([name for _, names in named for name in names], "SEARCH")
    return problems or point_problems(tried_points(search), settings_at, "SEARCH")


def search_conflicts(search: Axes, grid: Axes, oracle: bool, storage: str | None) -> Iterator[tuple[set[str], str]]:
    """Where a search keeps its trials, and what cannot stand beside one: names, and the sentence, without password."""
    if storage is not None and not SERVER.fullmatch(storage):
        yield (
            {"SEARCH_STORAGE"},
            f"SEARCH_STORAGE = {quote(without_password(storage))} is no address of a PostgreSQL server. Write "
            '"postgresql://user@host:5432/database", or None for a file in the output folder.',
        )
    if search and grid:
        yield {"SEARCH", "GRID"}, "SEARCH and GRID both say which values to compare. Empty one of them: {}."
    if search and oracle:
        yield (
            {"SEARCH", "ORACLE"},
            "SEARCH leaves the test set unread, and ORACLE = True chooses an epoch by it. Set ORACLE = False.",
        )
