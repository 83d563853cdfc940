"""What pydantic finds wrong, in sentences a user can act on, made from the types themselves.

Knows no setting by name: a range or a choice is written once, in the type of a field, and read from there.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Interval
from pydantic import BaseModel, ValidationError


def problems_of(error: ValidationError, values: Mapping[str, Any], record: type[BaseModel]) -> list[str]:
    """One sentence per mistake in the `values` given for `record`: place, value, what is allowed.

    Several errors at one place (the arms of a union) are one mistake. A ValueError raised by a check of the
    record itself keeps its words; one raised for the record as a whole may hold several lines.
    """
    found: dict[str, str] = {}
    for item in error.errors():
        loc, kind = item["loc"], item["type"]
        at_key = loc[-1:] == ("[key]",)
        if kind == "missing" and isinstance(loc[-1], int):  # a tuple that is too short, not a row without an entry
            loc, kind = loc[:-1], "too_short"
        own_words = str(item["ctx"]["error"]) if kind == "value_error" else ""
        if not loc:
            found.update({line: line for line in own_words.split("\n")})
            continue
        if at_key or kind in ("extra_forbidden", "invalid_key", "missing"):
            loc = loc[:-1] if at_key else loc
            place, hint, _ = _reach(loc[:-1], values, record)
            text = own_words or _about_name(place, hint, str(loc[-1]), missing=kind == "missing")
            found.setdefault(f"{place}.{loc[-1]}", f"{place}: {text}" if own_words else text)
        else:
            place, hint, value = _reach(loc, values, record)
            text = own_words or f"Write {_allowed(hint)}.{did_you_mean(value, _choices(hint))}"
            found.setdefault(place, f"{place} = {quote(value)}: {text[0].lower() + text[1:]}")
    return list(found.values())


def _about_name(place: str, hint: Any, name: str, missing: bool) -> str:
    """The sentence on a name that is not there, or that is unknown where it stands."""
    inner = _inner_types(hint)
    if missing:
        return f'{place} has no "{name}". Add one: {_allowed(inner[name])}.'
    known = inner or dict.fromkeys(_choices(get_args(_bare(hint))[0]))
    if not known:
        return f"{place}: the name {name} must be a text in quotes."
    near = did_you_mean(name, known) or f" Known: {', '.join(known)}."
    return f"{place} has no entry {quote(name)}.{near}" if place else f"{name} is not a setting.{near}"


def _reach(loc: Iterable[int | str], values: Any, hint: Any) -> tuple[str, Any, Any]:
    """Follow a pydantic location as far as the user's values have such a part: place, its type, its value."""
    place = ""
    for part in loc:
        if isinstance(values, list | tuple) and isinstance(part, int):
            place, values = f"{place}[{part}]", values[part]
        elif isinstance(values, Mapping) and str(part) in (keys := {str(key): key for key in values}):
            place, values = f"{place}.{part}".lstrip("."), values[keys[str(part)]]
        else:
            break
        inner = _inner_types(hint)
        hint = inner[part] if part in inner else _items_type(hint)
    return place, hint, values


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _inner_types(hint: Any) -> dict[str, Any]:
    """The entries of a record with their types, under the names a user writes; empty for anything else."""
    record = _bare(hint)
    if not (isinstance(record, type) and issubclass(record, BaseModel)):
        return {}
    hints = get_type_hints(record, include_extras=True)
    return {field.alias or name: hints[name] for name, field in record.model_fields.items()}


def _items_type(hint: Any) -> Any:
    """The type of a tuple's items or a table's rows."""
    items, *rows = get_args(_bare(hint))
    return items if get_origin(_bare(hint)) is tuple else rows[0]


def _choices(hint: Any) -> list[str]:
    """The texts that may stand somewhere in a value of this type."""
    bare = _bare(hint)
    if get_origin(bare) is Literal:
        return [choice for choice in get_args(bare) if isinstance(choice, str)]
    if get_origin(bare) in (tuple, dict):
        return _choices(_items_type(bare))
    return [choice for arm in get_args(bare) for choice in _choices(arm)]


def _allowed(hint: Any) -> str:
    """What a type allows, in words: the kind and the range, or the choices."""
    bare, origin = _bare(hint), get_origin(_bare(hint))
    if origin is Literal:
        return _either([quote(choice) for choice in get_args(bare)])
    if origin in (Union, UnionType):
        return _either([_allowed(arm) for arm in get_args(bare)])
    if origin is tuple and Ellipsis not in get_args(bare):
        return f"in brackets: {', '.join(_allowed(part) for part in get_args(bare))}"
    if origin is tuple:
        return f"one or more in brackets, each {_allowed(_items_type(bare))}"
    if origin is dict:
        return _allowed_table(*get_args(bare))
    if _inner_types(bare):
        return _allowed_row(bare)
    kinds = {int: "a whole number", float: "a number", bool: "True or False", str: "a text in quotes"}
    return kinds.get(bare, "None") + _range(hint)


def _allowed_table(key: Any, row: Any) -> str:
    if row is Any:
        return 'a table {"name": value}'
    names = _choices(key)
    if names:
        return f"{_allowed(row)}; or a table with one of these for each of {', '.join(names)}"
    return f'a table with one or more rows "name": …, each {_allowed(row)}'


def _allowed_row(record: type[BaseModel]) -> str:
    required = [f'"{name}": …' for name, field in record.model_fields.items() if field.is_required()]
    optional = [name for name, field in record.model_fields.items() if not field.is_required()]
    return f"{{{', '.join(required)}}} (optional: {', '.join(optional)})"


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _range(hint: Any) -> str:
    limit = next((extra for extra in get_args(hint) if isinstance(extra, Interval)), None)
    if limit is None:
        return ""
    if limit.lt is None:
        return f" from {limit.ge} to {limit.le}"
    return f" {'above' if limit.ge is None else 'at least'} {limit.gt or limit.ge or 0} and below {limit.lt}"


def quote(value: Any) -> str:
    """A value as it is written in config.py, texts in double quotes, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else f"{text[:97]}…"


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """A sentence with the nearest of the known names, case ignored; empty where none is near."""
    names = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), names, n=1) if isinstance(name, str) else []
    return f" Did you mean {quote(names[near[0]])}?" if near else ""
