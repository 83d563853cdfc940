"""Values from a python file and from KEY=VALUE texts, before anything is known about what they mean."""

from __future__ import annotations

import ast
import copy
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from fer.settings.messages import did_you_mean, not_a_setting, quote
from utils import InputError

TOO_DEEP = "an expression is nested too deep for Python. Write the value out, or shorter."


def read_config(path: Path, known: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """The upper-case values a python file sets, and problems with its names, of which `known` have a meaning.

    Raises InputError, with file and line, where the file cannot be read or run.
    """
    tree = _parse(path)
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(tree, str(path), "exec", dont_inherit=True), namespace)
    except SystemExit as error:
        raise InputError(f"{path} ends the program (sys.exit, exit or quit). Take that line out.") from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f", line {lines[-1]}" if lines else ""
        hint = " A text needs quotes." if isinstance(error, NameError) else ""
        raise InputError(f"{path}{where}: {type(error).__name__}: {error}.{hint}") from error
    problems = _repeated(tree, path)
    for name, value in namespace.items():
        if name not in known and name.upper() in known and not isinstance(value, ModuleType):
            problems.append(f"{name} in {path.name} has no effect. Write {name.upper()}.")
    return {name: value for name, value in namespace.items() if name.isupper() and name[0] != "_"}, problems


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        near = did_you_mean(path.name, [other.name for other in path.parent.glob("*.py")])
        raise InputError(
            f"{path}: there is no such file.{near} A file of settings is a python file of values such as "
            "config.py; a relative path starts at the folder the command is given in."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Name a python file of values.") from error
    except (RecursionError, MemoryError) as error:  # MemoryError: python's word for brackets nested too deep
        raise InputError(f"{path}: {TOO_DEEP}") from error
    except (SyntaxError, ValueError) as error:  # ValueError: zero bytes, before Python 3.12
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        text = f": {error.text.strip()}" if isinstance(error, SyntaxError) and error.text else ""
        raise InputError(f"{path}{line}: {getattr(error, 'msg', error)}{text}") from error


def _repeated(tree: ast.Module, path: Path) -> list[str]:
    """Values and table rows given twice: Python would silently keep the last."""
    assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    groups = [[(target.id, target.lineno) for target in assigned if isinstance(target, ast.Name)]]
    for table in ast.walk(tree):
        if isinstance(table, ast.Dict):
            keys = [key for key in table.keys if isinstance(key, ast.Constant)]
            groups.append([(str(key.value), key.lineno) for key in keys])
    problems = []
    for group in groups:
        first: dict[str, int] = {}
        for name, line in group:
            if name in first:
                problems.append(
                    f"{path}, line {line}: {name} stands in line {first[name]} already, and Python keeps "
                    "only the last. Remove or rename one."
                )
            first.setdefault(name, line)
    return problems


def apply_override(values: dict[str, Any], override: str, defaults: Mapping[str, Any]) -> str | None:
    """Apply one KEY=VALUE to `values`, in place; return the problem if there is one.

    A dotted key changes one entry of a table: a copy of the one in `values`, else of the one in `defaults`.
    VALUE is a python value; anything else is a text, or with commas in it a tuple of texts.
    """
    key, equals, text = override.partition("=")
    if not equals:
        return f"--set {override}: write KEY=VALUE, for example --set EPOCHS=10."
    problem = put_value(values, key.strip(), _literal(text), defaults)
    return f"--set {override}: {problem}" if problem else None


def put_value(values: dict[str, Any], key: str, value: Any, defaults: Mapping[str, Any]) -> str | None:
    """Put `value` in the place of `values` that `key` names, dotted or not; return the problem if there is one."""
    name, _, inside = key.partition(".")
    if name not in defaults:
        return not_a_setting(name, defaults)
    if not inside:
        values[name] = value
        return None
    table = copy.deepcopy(values.get(name, defaults[name]))
    if not isinstance(table, dict):
        return f"{name} = {quote(table)} has no parts. Write {name} alone."
    row = _first_key(table, inside)
    if row not in table and row != inside:
        rows = ", ".join(table)
        return f"{name} has no row {quote(row)} ({rows}).{did_you_mean(row, table)}"
    if not _put(table, inside, value):
        return f"{key} leads into a plain value, which has no parts. Shorten the key."
    values[name] = table
    return None


def _first_key(table: Mapping[str, Any], dotted: str) -> str:
    """The longest key of `table` that `dotted` starts with (names may hold dots), else its first part."""
    known = [key for key in table if f"{dotted}.".startswith(f"{key}.")]
    return max(known, key=len) if known else dotted.partition(".")[0]


def _put(table: dict[str, Any], dotted: str, value: Any) -> bool:
    """Set the entry that a dotted key names; False where the way there is no table."""
    key = _first_key(table, dotted)
    if key == dotted:
        table[key] = value
        return True
    inner = table.setdefault(key, {})
    return isinstance(inner, dict) and _put(inner, dotted[len(key) + 1 :], value)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (RecursionError, MemoryError) as error:
        raise InputError(f"--set with {quote(text)}: {TOO_DEEP}") from error
    except (ValueError, SyntaxError):
        return tuple(part.strip() for part in text.split(",")) if "," in text else text.strip()
