"""Label files and tables as text: where a dataset lies, its lines, and those that have to be left out."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from fer.layouts.file_states import file_state
from utils import InputError

BOX_COLUMNS = ["box_left", "box_top", "box_right", "box_bottom"]  # pixels in the source picture


class Row(Protocol):
    """What a reader may know of a dataset's row in config.py (settings.DatasetRow)."""

    @property
    def layout(self) -> str: ...
    @property
    def faces(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def classes(self) -> Mapping[str, str | None] | None: ...
    @property
    def table(self) -> str | None: ...
    @property
    def columns(self) -> Mapping[Any, str]: ...
    @property
    def contempt(self) -> str | None: ...
    @property
    def vote_rule(self) -> str: ...
    @property
    def angles(self) -> tuple[str, ...]: ...
    @property
    def last_frames(self) -> int: ...
    @property
    def every_frame(self) -> int: ...
    @property
    def neutral_frame(self) -> bool: ...


@dataclass(frozen=True)
class Place:
    """One dataset on disk; `base` is `root` or the folder below it where the layout begins."""

    name: str
    row: Row
    root: Path
    base: Path

    def relative(self, path: Path) -> str:
        """`path` relative to the root, posix."""
        return path.relative_to(self.root).as_posix()


def reject(sample_id: str, path: str, reason: str, step: str = "in file", split: str = "") -> dict[str, str]:
    """One row of Listing.rejected; `split` as far as it is known."""
    return {"sample_id": sample_id, "path": path, "reason": reason, "step": step, "split": split}


class LabelSheet:
    """The lines of a label file, one row each; rows leave with a reason and line number, none gets lost.

    `rows` has a column `line` (from 1) and the named `columns`, separated by white space. The first
    column takes what is left over, so it may hold spaces. Blank lines are skipped. Its column `split`, which goes
    into rejected rows, is "" until the reader fills it. Raises InputError for a file that is no UTF-8 text.
    """

    def __init__(self, place: Place, file: Path, columns: Sequence[str]):
        text, rows = self._open(place, file), []
        for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
            cells = line.strip().rsplit(None, len(columns) - 1)
            if len(cells) == len(columns):
                rows.append((number, *cells))
            elif cells:
                self._reject(number, f"{len(cells)} columns instead of {len(columns)}: {line[:60]!r}")
        self.rows = pd.DataFrame(rows, columns=["line", *columns]).assign(split="")

    def _open(self, place: Place, file: Path) -> str:
        self._place = place
        self._file = place.relative(file)
        self.rejected: list[dict[str, str]] = []
        refuse_odd_table(place, file)
        return file.read_bytes().decode("utf-8-sig", errors="replace")

    def make_numbers(self, columns: list[str]) -> None:
        """Turn text into floats; lines with anything else, infinity and NaN included, are rejected."""
        numbers = {column: _to_numbers(self.rows[column].to_list()) for column in columns}
        wrong = ~np.isfinite(np.column_stack(list(numbers.values()))).all(axis=1)
        template = " ".join(f"{{{column}:.20}}" for column in columns)
        kept = pd.DataFrame(numbers)[~wrong].reset_index(drop=True)
        self.reject(wrong, f"not all numbers: {template}")
        self.rows = self.rows.assign(**kept)

    def reject(self, wrong: pd.Series | np.ndarray, reason: str) -> int:
        """Take out the rows where `wrong` is true; `reason` may name columns in braces. Returns how many."""
        wrong = np.asarray(wrong, dtype=bool)
        for row in self.rows[wrong].to_dict("records"):
            self._reject(row["line"], reason.format_map(row), row["split"])
        self.rows = self.rows[~wrong].reset_index(drop=True)
        return int(wrong.sum())

    def reject_repeated(self, columns: list[str]) -> None:
        """Keep the first of the rows that agree in `columns`."""
        first = self.rows.groupby(columns, sort=False)[["line", "label"]].transform("first")
        self.rows = self.rows.assign(first_line=first["line"], first_label=first["label"])
        self.reject(
            self.rows["line"] != self.rows["first_line"],
            "same face as line {first_line} (label {first_label:g} there, {label:g} here)",
        )

    def _reject(self, number: int, reason: str, split: str = "") -> None:
        sample_id = f"{self._place.name}/{self._file}#line{number}"
        self.rejected.append(reject(sample_id, self._file, f"line {number}: {reason}", split=split))


class CsvSheet(LabelSheet):
    """A table with a header, separated by comma, semicolon or tab; cells in quotes may hold line breaks.

    `rows` has the column `line`, and as text each of `names` (own name to the spellings of it in a header, case
    ignored) that the table has. Raises InputError where one of `required` is missing. `header`: of a table without one.
    """

    def __init__(
        self,
        place: Place,
        file: Path,
        names: Mapping[str, Sequence[str]],
        required: Sequence[str],
        header: Sequence[str] = (),
    ):
        text = self._open(place, file)
        separator = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        header = [cell.strip().lower() for cell in header or next(reader, [])]
        found = {name: _position(header, spellings) for name, spellings in names.items()}
        taken = {name: position for name, position in found.items() if position is not None}
        absent = [f"{name} ({' or '.join(names[name])})" for name in required if name not in taken]
        if absent:
            shown = ", ".join(header)[:120]
            raise InputError(
                f"{place.name}: {file} lacks the columns {', '.join(absent)}; it has {shown}. "
                'Name them in the row of DATASETS: "columns": {"path": "…", "label": "…"}.'
            )
        rows, line = [], reader.line_num + 1
        try:
            for cells in reader:
                if len(cells) == len(header):
                    rows.append((line, *(cells[position].strip() for position in taken.values())))
                elif any(cell.strip() for cell in cells):
                    self._reject(line, f"{len(cells)} columns instead of {len(header)}: {separator.join(cells)[:60]!r}")
                line = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"{place.name}: {file}, line {line}: {error}. Is a quotation mark not closed?") from error
        self.rows = pd.DataFrame(rows, columns=["line", *taken]).astype(dict.fromkeys(taken, "str"))
        if "split" not in taken:
            self.rows["split"] = ""


def _position(header: Sequence[str], spellings: Sequence[str]) -> int | None:
    return next((header.index(name.lower()) for name in spellings if name.lower() in header), None)


def refuse_odd_table(place: Place, file: Path) -> None:
    """Raise InputError for a label file or table that cannot be opened, or is UTF-16."""
    problem = file_state(file).problem
    if problem:
        raise InputError(f"{place.name}: {file} {problem}. Put the dataset's own file there.")
    with file.open("rb") as stream:
        start = stream.read(2)
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise InputError(f'{place.name}: {file} is UTF-16. Save it as UTF-8 (some editors call UTF-16 "Unicode").')


def _to_numbers(texts: list[str]) -> np.ndarray:
    try:
        return np.array(texts, dtype=np.float64)
    except ValueError:
        return np.array([_to_number(text) for text in texts])


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
