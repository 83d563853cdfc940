"""What pydantic finds wrong, in sentences a user can act on: its own words, with the place and value they are about.

Own sentences stand only where pydantic's say less: names that are missing or unknown, rows of a table, None.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError


def problems_of(error: ValidationError, values: Mapping[str, Any], record: type[BaseModel]) -> list[str]:
    """One sentence per mistake in the `values` given for `record`: place, value, what is allowed.

    Several errors at one place (the arms of a union) are one mistake. A ValueError raised by a check of the
    record itself keeps its words; one raised for the record as a whole may hold several lines.
    """
    found: dict[str, str] = {}
    allowed: dict[str, list[str]] = {}
    for item in error.errors():
        loc, kind = item["loc"], item["type"]
        at_key = loc[-1:] == ("[key]",)
        if kind == "missing" and isinstance(loc[-1], int):  # a tuple that is too short, not a row without an entry
            loc, kind, item["msg"] = loc[:-1], "too_short", "Tuple should have more items"
        own_words = str(item["ctx"]["error"]) if kind == "value_error" else ""
        if not loc:
            found.update({line: line for line in own_words.split("\n")})
        elif at_key or kind in ("extra_forbidden", "invalid_key", "missing"):
            loc = loc[:-1] if at_key else loc
            place, hint, _ = _reach(loc[:-1], values, record)
            text = _about_name(place, hint, str(loc[-1]), kind, item.get("ctx", {}))
            found.setdefault(f"{place}.{loc[-1]}", f"{place}: {own_words}" if own_words else text)
        else:
            place, hint, value = _reach(loc, values, record)
            allowed.setdefault(place, []).append(_row_words(hint) or item["msg"])
            text = f": {own_words[0].lower()}{own_words[1:]}" if own_words else _should(allowed[place], value, hint)
            found[place] = f"{place} = {quote(value)}{text}"
    return list(found.values())


def _should(messages: list[str], value: Any, hint: Any) -> str:
    """Pydantic's messages on one value as the rest of a sentence; the arms of a union are joined by "or"."""
    words = " or ".join(dict.fromkeys(messages)) + (" or None" if type(None) in get_args(hint) else "")
    first, _, rest = words.replace(" after validation", "").partition(" should ")
    rest = re.sub(r" or \w+ should (be|have) ", " or ", rest)
    near = did_you_mean(value, re.findall(r"'([^']*)'", rest))
    return f" should {rest}.{near}" if rest else f": {first}."


def _about_name(place: str, hint: Any, name: str, kind: str, context: Mapping[str, Any]) -> str:
    """The sentence on a name that is not there, or that is unknown where it stands."""
    inner = _inner_types(hint)
    if kind == "missing":
        choices = ", ".join(quote(choice) for choice in get_args(inner[name]) if isinstance(choice, str))
        return f'{place} has no "{name}". Add one{choices and ": "}{choices}.'
    known = list(inner) or re.findall(r"'([^']*)'", str(context.get("expected", "")))
    if not known:
        return f"{place}: the name {name} must be a text in quotes."
    near = did_you_mean(name, known) or f" Known: {', '.join(known)}."
    return f"{place} has no entry {quote(name)}.{near}" if place else not_a_setting(name, inner, near)


# What became of settings of older files.
FORMER = {
    f"{kind.upper()}_{value.upper()}": f"it is an entry of a row, AUGMENTATIONS.{kind}.{value}. Copy that row from the "
    f"shipped config.py and write it there, or --set AUGMENTATIONS.{kind}.{value}=…"
    for kind in ("light", "strong")
    for value in ("strength", "probability")
}


def not_a_setting(name: str, known: Iterable[str], near: str | None = None) -> str:
    """The sentence on a name that no setting has: what became of it, or the nearest one that there is."""
    if name in FORMER:
        return f"{name} is not a setting any more; {FORMER[name]}"
    return f"{name} is not a setting.{did_you_mean(name, known) if near is None else near}"


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
    items, *rows = get_args(_bare(hint)) or (Any, Any)  # inside Any everything is Any
    return items if get_origin(_bare(hint)) is tuple else rows[0]


def _row_words(hint: Any) -> str:
    """What a row of a table should be: its required entries by name; "" for anything that is no row."""
    record = _bare(hint)
    if not _inner_types(record):
        return ""
    required = [f'"{name}": …' for name, field in record.model_fields.items() if field.is_required()]
    required = required or [f'"{next(iter(record.model_fields))}": …']
    return f"Row should be {{{', '.join(required)}}}"


def quote(value: Any) -> str:
    """A value as it is written in config.py, texts in double quotes, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else f"{text[:97]}…"


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """A sentence with the nearest of the known names, case ignored; empty where none is near."""
    names = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), names, n=1) if isinstance(name, str) else []
    return f" Did you mean {quote(names[near[0]])}?" if near else ""
