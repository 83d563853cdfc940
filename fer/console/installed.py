"""What a Python lacks to run this project, and how to install it. Needs the standard library alone."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def how_to_install(error: ImportError) -> str | None:
    """One line: the packages of pyproject.toml that are missing here, and the commands that install them.

    None where nothing is missing, or `error` is about a module of the project itself.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever has an older one should read this
        return f"Python 3.11 to 3.13 is needed; this is {sys.version.split()[0]}. Install: `uv run main.py`."
    absent = missing_packages()
    if not absent or str(error.name).startswith("fer."):
        return None
    named = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
    return (
        f"this Python ({sys.executable}, {sys.version.split()[0]}) lacks {named}. Install: `uv run main.py`, "
        f'or `"{sys.executable}" -m pip install -r {PROJECT / "requirements.txt"}`; Python 3.11 to 3.13.'
    )


def missing_packages() -> list[str]:
    """Names of the dependencies in pyproject.toml that are not installed; versions are not compared."""
    import tomllib

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[<>=!~ \[;]", line, maxsplit=1)[0] for line in project["dependencies"]]
    return [name for name in names if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
