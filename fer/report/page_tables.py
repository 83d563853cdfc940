"""Tables as the page shows them: what names a row in one cell, numbers to the right of it, at most ROWS_SHOWN rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from fer.report.table_formats import MISSING, Block, Cell, Column, PaperTable, Row, number_cell, text_cell

ROWS_SHOWN = 60
# Columns of words by which a reader tells rows apart first, in this order; the others stand small below.
NAMES = ("model", "question", "first", "dataset", "test set", "tested on", "test_on", "run")
# What the words of a run's folder say in columns of their own.
OF_A_RUN = {"train_on", "variant", "model", "seed"}


@dataclass(frozen=True)
class PageTable:
    """A table with one cell of words a row: `heading` is that cell's, `blocks` hold `PageRow`s by title.

    `count` says in words how many rows are shown, of how many.
    """

    name: str
    title: str
    caption: str
    count: str
    heading: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[tuple[str, int], ...], ...]
    blocks: tuple[tuple[str, tuple[PageRow, ...]], ...]


@dataclass(frozen=True)
class PageRow:
    """A row: what it is named by, the words below that, cells, and its kind as in table_formats.Row."""

    name: str
    below: str
    cells: tuple[Cell, ...]
    kind: str


def page_table(table: PaperTable, total: int | None = None, most: int = 10**9) -> PageTable:
    """`table` with the words before its first number in one cell; `total` rows there are, if not all are in `table`.

    `most`: rows shown of each block.
    """
    first = next((place for place, column in enumerate(table.columns) if column.is_number), len(table.columns))
    first = max(first if first < len(table.columns) else 1, 1)
    words = [column.name for column in table.columns[:first]]
    main = next((words.index(name) for name in NAMES if name in words), 0)
    groups = tuple(tuple(line) for line in _headings(table.columns[first:]))
    blocks = tuple(
        (block.title, tuple(_page_row(row, first, main) for row in _cut(block.rows, most))) for block in table.blocks
    )
    shown = sum(row.kind != "baseline" for _, rows in blocks for row in rows)
    there = total if total is not None else sum(row.kind != "baseline" for row in table.rows)
    heading = " · ".join([words[main], *(word for place, word in enumerate(words) if place != main)])
    return PageTable(
        table.name, table.title, table.caption, rows_words(shown, there), heading, table.columns[first:], groups, blocks
    )  # fmt: skip


def rows_words(shown: int, there: int) -> str:
    """ "12 rows", "60 of 1,234 rows"."""
    return f"{shown:,} of {there:,} rows" if shown < there else "1 row" if there == 1 else f"{there:,} rows"


def _cut(rows: tuple[Row, ...], most: int) -> list[Row]:
    networks = [row for row in rows if row.kind != "baseline"]
    return networks[:most] + [row for row in rows if row.kind == "baseline"]


def _headings(columns: tuple[Column, ...]) -> list[list[tuple[str, int]]]:
    return list(PaperTable("", "", "", columns, ()).headings()) if columns else []


def _page_row(row: Row, first: int, main: int) -> PageRow:
    words = [cell.text for cell in row.cells[:first]]
    below = [word for place, word in enumerate(words) if place != main and word != MISSING]
    return PageRow(words[main], " · ".join(below), row.cells[first:], row.kind)


def table_of(name: str, title: str, frame: pd.DataFrame) -> PageTable:
    """A CSV as a table of the page: columns with one value go to the caption, and only ROWS_SHOWN rows are shown."""
    if "run" in frame and set(frame.columns) >= OF_A_RUN:
        frame = frame.drop(columns="run")
    same = [column for column in frame.columns if len(frame) > 1 and frame[column].nunique(dropna=False) == 1]
    shown = frame.drop(columns=same).head(ROWS_SHOWN)
    facts = [f"{column}: {frame[column].iloc[0]}" for column in same if pd.notna(frame[column].iloc[0])]
    numbers = {column: pd.api.types.is_numeric_dtype(shown[column]) and shown[column].dtype != bool for column in shown}
    columns = tuple(Column(str(column), is_number=numbers[column]) for column in shown)
    records = shown.astype(object).itertuples(index=False, name=None)
    rows = tuple(Row(tuple(map(_value_cell, record))) for record in records)
    caption = f"{'; '.join(facts)}." if facts else ""
    return page_table(PaperTable(name, title, caption, columns, (Block("", rows),)), total=len(frame))


def _value_cell(value: Any) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_cell(float(value), digits=0 if float(value).is_integer() and abs(value) > 1 else 3)
    return text_cell(None if pd.isna(value) else value)
