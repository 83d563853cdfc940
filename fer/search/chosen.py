"""The chosen point as text for config.py, and as a study file for --config."""

from __future__ import annotations

from pprint import pformat
from typing import Any

from fer.settings.grid import Point, written_out
from fer.settings.search import rows_in
from fer.settings.settings import Settings

LEFT_OUT = ("SEARCH", "SEARCH_TRIALS", "SEARCH_STORAGE", "GRID")  # the last may hold a password's address
IN_ROWS = ("MODEL_CONFIG", "RECIPES", "AUGMENTATIONS", "PRETRAININGS")


def chosen_values(settings: Settings, point: Point) -> dict[str, Any]:
    """Every value a study file needs to be at the point: what config.py names, with the point's in place."""
    values = settings.at(point).model_dump(by_alias=True, exclude_unset=True)
    return {name: value for name, value in values.items() if name not in LEFT_OUT}


def config_lines(settings: Settings, point: Point) -> list[str]:
    """The point as it stands in config.py: a line per setting, or the whole row of a table that one entry changed."""
    values = chosen_values(settings, point)
    lines: dict[str, None] = {}
    for name in written_out(rows_in(settings.search), point):
        head, _, inside = name.partition(".")
        if head in IN_ROWS:
            row = max((key for key in values[head] if f"{inside}.".startswith(f"{key}.")), key=len)
            lines[f'"{row}": {_text(values[head][row])},  # a row of {head}'] = None
        else:
            lines[f"{head} = {_text(values[head])}"] = None
    return list(lines)


def study_file(settings: Settings, point: Point, about: str) -> str:
    """A python file of settings at the point, for `main.py --config`; `about` is its docstring."""
    values = chosen_values(settings, point)
    return "\n".join([f'"""{about}"""', "", *(f"{name} = {_text(value)}" for name, value in values.items()), ""])


def _text(value: Any) -> str:
    return pformat(value, width=112, sort_dicts=False)
