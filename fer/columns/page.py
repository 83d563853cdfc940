"""docs/outputs.md: every output file and every column. Written by `python -m fer.columns.page`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fer.columns.columns import COLUMNS, Column
from fer.columns.files import OUTPUT_FILES, OutputFile
from fer.layouts.emotions import EMOTIONS

PAGE = Path(__file__).parents[2] / "docs" / "outputs.md"
HEAD = """# What a study writes

Everything below the output folder (`saidas/`), prepared pictures (`datasets/`) and predict.py's table. Text is UTF-8,
numbers are unrounded, scores and shares go from 0 to 1, an empty cell means "does not apply" or "not known". Written by
`python -m fer.columns.page` from `fer/columns/`, which the writers use too; a test compares both with real files.
What the numbers can say: [science.md](science.md).
"""
KINDS = {"count": "whole number", "flag": "True, False"}


def as_page() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, "## Files", "", *_files(), "", "## Columns", "", *_columns()]) + "\n"


def _files() -> Iterator[str]:
    yield "| file | what it is, or a row of it | columns |"
    yield "|---|---|---|"
    for one in OUTPUT_FILES:
        yield f"| `{one.path}` | {one.what} | {_listed(one)} |"


def _listed(one: OutputFile) -> str:
    classes = f"{EMOTIONS[0]} … {EMOTIONS[-1]}"
    names = ", ".join(one.columns).replace(", ".join(EMOTIONS), classes)
    return "; ".join(filter(None, [names, one.also]))


def _columns() -> Iterator[str]:
    yield "| column | type | unit | meaning |"
    yield "|---|---|---|---|"
    yield from map(_column_line, COLUMNS)


def _column_line(column: Column) -> str:
    kind = KINDS.get(column.kind, column.kind)
    return f"| {', '.join(column.names)} | {kind} | {column.unit} | {column.meaning} |"


if __name__ == "__main__":
    PAGE.write_text(as_page(), encoding="utf-8")
