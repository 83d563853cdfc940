"""What the values of config.py may be: the kinds and ranges that records of settings are made of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Interval, MinLen
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, TypeAdapter

from fer.layouts.class_names import NUMBERINGS
from fer.layouts.emotions import ALL_EMOTIONS
from fer.settings.messages import quote

LONGEST_NAME = 255  # bytes of one name in a path, on every common file system
T = TypeVar("T")


def as_tuple(value: Any) -> Any:
    """Lists, and a single value whose brackets or comma were forgotten, are taken as tuples."""
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, str | int) else value


def _unique(values: tuple[T, ...]) -> tuple[T, ...]:
    twice = sorted({quote(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there more than once. Name each once.")
    return values


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", name) or "__" in name:
        raise ValueError(
            f"{quote(name)} becomes part of folder names. Use at most 64 letters, digits and . _ - "
            'inside, without "__". A library\'s longer name goes into the row: "architecture": "…".'
        )
    return name


def _names_unique_in_any_case(table: dict[str, T]) -> dict[str, T]:
    lowered = [name.lower() for name in table]
    equal = [name for name in table if lowered.count(name.lower()) > 1]
    if equal:
        raise ValueError(f"{', '.join(equal)} differ in upper and lower case only. Rename one: some disks mix them.")
    return table


def json_able(options: dict[str, Any]) -> dict[str, Any]:
    """Refuse, in words, what no JSON file can hold."""
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"only numbers, texts, True, False, None, lists and tables can go there ({error}).") from error
    return options


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty. Write a name.")
    return text


def _usable_path(text: str) -> str:
    """What no file system takes, or no file of results could hold, is refused before it is met as an error."""
    if "\0" in text or text.encode(errors="replace").decode() != text:
        raise ValueError("a path is UTF-8 text without zero bytes. Rename the folder, or write its name anew.")
    longest = max(text.split("/"), key=lambda part: len(part.encode()))
    if len(longest.encode()) > LONGEST_NAME:
        raise ValueError(
            f"{quote(longest[:20])}… has {len(longest.encode())} bytes; a name may have {LONGEST_NAME}. Shorten it."
        )
    try:
        Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("there is no such user here. Write the path out, or ~/ for your own folder.") from error
    return text


def _class_map(value: Any) -> Any:
    """The name of a known numbering, or a map from a dataset's own names (texts or whole numbers) to expressions."""
    if isinstance(value, str) and value in NUMBERINGS:
        return dict(NUMBERINGS[value])
    if not isinstance(value, dict):
        known = ", ".join(map(quote, NUMBERINGS))
        raise ValueError(f'write {{"their name": "our name", …}}, or the name of a numbering: {known}.')
    wrong = [emotion for emotion in value.values() if emotion is not None and emotion not in ALL_EMOTIONS]
    if wrong:
        known = ", ".join(map(quote, ALL_EMOTIONS))
        raise ValueError(f"{quote(wrong[0])} is not one of {known}, or None to leave that class out.")
    return {str(name): emotion for name, emotion in value.items()}


def pattern_with_group(text: str) -> str:
    """A regular expression with exactly one group."""
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"it is not a regular expression ({error}).") from error
    if groups != 1:
        raise ValueError(r"it needs exactly one group in round brackets that is the person, as in (S\d+)_.")
    return text


def _axis(value: Any) -> Any:
    """Values of one setting, or a table of named rows, each a table of settings and their values."""
    return (_NAMED_ROWS if isinstance(value, dict) else _VALUES).validate_python(value, strict=True)


def _device_name(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise ValueError('write "auto", "cpu", "mps", "cuda", or one GPU of several as "cuda:1".')
    return name


Several = Annotated[tuple[T, ...], BeforeValidator(as_tuple), MinLen(1), AfterValidator(_unique)]
Name = Annotated[str, AfterValidator(_folder_name)]
Table = Annotated[dict[Name, T], MinLen(1), AfterValidator(_names_unique_in_any_case)]
Text = Annotated[str, AfterValidator(_not_blank)]
PathText = Annotated[str, AfterValidator(_not_blank), AfterValidator(_usable_path)]
Classes = Annotated[dict[str, str | None], BeforeValidator(_class_map)]
Device = Annotated[str, AfterValidator(_device_name)]
Options = Annotated[dict[str, Any], AfterValidator(json_able)]
# Values by the name of a setting, or named rows of settings by a name of one's own.
Axes = Annotated[dict[Text, Annotated[Any, AfterValidator(_axis)]], AfterValidator(json_able)]
# The same for one axis, outside a record.
Axis: TypeAdapter[Any] = TypeAdapter(Annotated[Any, AfterValidator(_axis)])
_VALUES: TypeAdapter[tuple[Any, ...]] = TypeAdapter(Several[Any])
_NAMED_ROWS: TypeAdapter[dict[str, dict[str, Any]]] = TypeAdapter(Annotated[dict[Text, dict[Text, Any]], MinLen(1)])

Count = Annotated[int, Interval(ge=1, le=1_000_000)]
Seed = Annotated[int, Interval(ge=0, le=2**31 - 1)]
Pixels = Annotated[int, Interval(ge=16, le=1024)]
Share = Annotated[float, Interval(gt=0, lt=0.5)]  # of a dataset, put aside
Fraction = Annotated[float, Interval(ge=0, le=1)]
OpenFraction = Annotated[float, Interval(gt=0, lt=1)]
BelowOne = Annotated[float, Interval(ge=0, lt=1)]
Strength = Annotated[float, Interval(ge=0, le=2)]


class Record(BaseModel):
    """A row of values, checked strictly and frozen."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
