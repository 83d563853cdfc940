"""Packages that only some uses need: asked for when they are used, with the extra that installs them."""

from __future__ import annotations

from importlib.util import find_spec

from utils import InputError


def need_extra(extra: str, *modules: str) -> None:
    """Raises InputError naming the extra of pyproject.toml where one of its `modules` is not installed."""
    absent = [module for module in modules if find_spec(module) is None]
    if absent:
        raise InputError(
            f"This needs {', '.join(absent)}, which the extra `{extra}` installs: `uv sync --extra {extra}`, "
            f"or `pip install '.[{extra}]'` in the project's folder."
        )
