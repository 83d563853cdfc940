"""One table in four formats: Markdown, LaTeX (booktabs), HTML cells, plain values. Knows nothing of studies.

The templates lie in `templates/`. Text is escaped per format, numbers come formatted, a missing one is "–".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
MISSING = "–"


@dataclass(frozen=True)
class Column:
    """A column; `groups` are the headings above its own, outermost first, as many in every column of a table."""

    name: str
    groups: tuple[str, ...] = ()
    is_number: bool = False


@dataclass(frozen=True)
class Cell:
    """What a reader sees, and the number it is sorted by (NaN: none). `spread`: what follows it, as " ± 1.2"."""

    number: str
    value: float = math.nan
    best: bool = False
    spread: str = ""

    @property
    def text(self) -> str:
        """The number (or the words) with its spread."""
        return self.number + self.spread


@dataclass(frozen=True)
class Row:
    """Cells in the order of the columns. `kind`: "" or "baseline" or "oracle": the latter are never the best."""

    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True)
class Block:
    """Rows that are compared with each other, under a title ("" for none)."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table as it is printed. `name`: file name without suffix; `caption` says n and what the numbers are."""

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]

    @property
    def rows(self) -> list[Row]:
        """The rows of all blocks."""
        return [row for block in self.blocks for row in block.rows]

    def headings(self) -> Iterator[list[tuple[str, int]]]:
        """Lines of headings above the columns' own names: (text, how many columns it spans)."""
        for level in range(len(self.columns[0].groups)):
            spans = groupby(self.columns, lambda column, level=level: column.groups[: level + 1])  # type: ignore[misc]
            yield [(groups[-1], len(list(columns))) for groups, columns in spans]


def text_cell(text: Any) -> Cell:
    """A cell of words; nothing to say is "–"."""
    return Cell(str(text) if text not in ("", None) else MISSING)


def number_cell(
    mean: float,
    sd: float = math.nan,
    digits: int = 1,
    factor: float = 1,
    interval: tuple[float, float] = (math.nan, math.nan),
) -> Cell:
    """`factor` × mean with `digits` decimals, then ± sd or, where there is none, the interval; "–" for no mean."""
    if mean is None or math.isnan(mean):
        return Cell(MISSING)
    shown, low, high = (f"{factor * value:,.{digits}f}" for value in (sd, *interval))
    spread = f" ± {shown}" if not math.isnan(sd) else "" if math.isnan(interval[0]) else f" [{low}, {high}]"
    return Cell(f"{factor * mean:,.{digits}f}", float(mean), spread=spread)


def mark_best(rows: Sequence[Row], best_of: Sequence[int]) -> tuple[Row, ...]:
    """The rows with the best cells of each column marked; `best_of`: 1 largest, -1 smallest, 0 neither.

    For costs, which are counted; which scores are best is for tests to say (fer.statistics.best). Best is what reads
    as best: equal printed numbers share it. Baselines and oracle rows take no part, and a column with fewer than two
    candidates has no best.
    """
    best: list[str | None] = []
    for column, sign in enumerate(best_of):
        cells = [row.cells[column] for row in rows if not row.kind and not math.isnan(row.cells[column].value)]
        top = max(cells, key=lambda cell, sign=sign: sign * cell.value) if sign and len(cells) > 1 else None  # type: ignore[misc]
        best.append(None if top is None else top.number)
    return tuple(row if row.kind else _with_marks(row, best) for row in rows)


def _with_marks(row: Row, best: Sequence[str | None]) -> Row:
    cells = (
        replace(cell, best=mark is not None and cell.number == mark) for cell, mark in zip(row.cells, best, strict=True)
    )
    return Row(tuple(cells), row.kind)


# ---------------------------------------------------------------- escaping

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "×": r"$\times$", "–": "--", "—": "---",
    "·": r"$\cdot$", "→": r"$\rightarrow$", "−": "$-$", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\dots{}",
    "†": r"$^\dagger$", "\n": " ",
}  # fmt: skip


def escape_latex(text: str) -> str:
    """Text that LaTeX (T1, utf8) prints as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def escape_markdown(text: str) -> str:
    """Text that a Markdown table prints as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text).replace("\n", " ")


# ---------------------------------------------------------------- formats


def as_markdown(table: PaperTable) -> str:
    """The table in Markdown (pipe tables), a heading per block."""
    return _markup("table.md.jinja", table)


def as_latex(table: PaperTable) -> str:
    """The table as a LaTeX float; needs booktabs and graphicx (it shrinks to the width of the text)."""
    return _markup("table.tex.jinja", table)


def _markup(template: str, table: PaperTable) -> str:
    return environment().get_template(template).render(table=table)


@cache
def environment() -> Environment:
    """The templates; HTML is escaped by itself, the others by the filters `latex` and `markdown`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.jinja",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"latex": escape_latex, "markdown": escape_markdown}
    return found
