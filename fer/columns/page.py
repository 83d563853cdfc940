"""docs/outputs.md, every output file, and docs/columns.md, every column. `python -m fer.columns.page` writes both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fer.columns.columns import COLUMNS, Column
from fer.columns.files import OUTPUT_FILES, OutputFile
from fer.layouts.emotions import EMOTIONS

DOCS = Path(__file__).parents[2] / "docs"
FILES_HEAD = """# What a study writes

Everything below the output folder (`saidas/`), prepared pictures (`datasets/`) and predict.py's table. What a column
holds: [columns.md](columns.md); what the numbers can say: [science.md](science.md). `python -m fer.columns.page` writes
both pages from `fer/columns/`, which the writers of the files use too; a test compares them with real files.
"""
COLUMNS_HEAD = """# Every column of every table

Which files have them: [outputs.md](outputs.md). Text is UTF-8, numbers are unrounded, scores and shares go from 0 to 1,
an empty cell means "does not apply" or "not known". Written by `python -m fer.columns.page`.
"""
KINDS = {"count": "whole number", "flag": "True, False"}


def pages() -> dict[Path, str]:
    """The pages as Markdown."""
    parts = {"outputs.md": (FILES_HEAD, _files()), "columns.md": (COLUMNS_HEAD, _columns())}
    return {DOCS / name: "\n".join([head, *lines]) + "\n" for name, (head, lines) in parts.items()}


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
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
