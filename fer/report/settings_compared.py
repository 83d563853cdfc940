"""Runs compared across settings: for `python main.py --compare` in 30 lines, and for the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from fer.columns.files import GRID_SETUP
from fer.console.terminal import console as new_console
from fer.findings.finding import counted, metric_words
from fer.report.table_formats import Block, Column, PaperTable, Row, number_cell, text_cell
from fer.results.all_runs import by_setup, score_column, setting_columns, write_all_runs
from fer.results.study_files import read_study
from fer.settings.grid import words_of
from fer.settings.messages import did_you_mean
from fer.statistics.grid import axes_of, read_grid_table, setup_words
from utils import InputError

LINES, COLUMNS = 30, 100
KIND = ("train_on", "rows_hash", "variant", "model")
TEST_NOTE = "test: only runs of the present plan, whose tables show it; nothing is to be chosen by it"


# ---------------------------------------------------------------- in the terminal


def compare_runs(output: Path, metric: str, word: str = "") -> None:
    """Write tables/all_runs.csv and print the setups, those that hold `word` alone where one is given.

    Raises InputError where no run is finished, or none holds the word.
    """
    table = write_all_runs(output, metric)
    if table.empty:
        raise InputError(f"{output} holds no finished run: there is nothing to compare. A whole run makes one.")
    console = new_console(soft_wrap=True)
    for line in compare_lines(table, metric, word):
        console.print(line, highlight=False, markup=False)
    console.print(f"every run: {output / 'tables' / 'all_runs.csv'}", highlight=False, markup=False)


def compare_lines(table: pd.DataFrame, metric: str, word: str = "") -> list[str]:
    """At most LINES - 1 lines of COLUMNS characters: a setup a line, best by validation first within a training set."""
    setups = by_setup(table, metric)
    setups = _holding(setups, setting_columns(table), word) if word else setups
    shown = score_column(table, metric).removeprefix("val_")
    head = [
        f"{counted(len(table), 'finished run')}, {counted(len(setups), 'setup')} shown, by validation "
        f"{metric_words(shown)} (mean over seeds ± standard deviation)",
        TEST_NOTE if setups["test_score"].notna().any() else "",
    ]
    names = [name for name in (*KIND, *setting_columns(table)) if setups[name].nunique(dropna=False) > 1]
    same = [f"{name} {setups[name].iloc[0]}" for name in ("train_on", "variant", "model") if name not in names]
    head += [f"all: {', '.join(same)}"] if same else []
    lines = _fitted(setups, names)
    kept = lines[: LINES - 2 - len(head)]
    left = [f"{len(lines) - len(kept)} more in all_runs.csv"] if len(kept) < len(lines) else []
    return [line[:COLUMNS] for line in (*filter(None, head), *kept, *left)]


def _holding(setups: pd.DataFrame, settings: list[str], word: str) -> pd.DataFrame:
    """The setups that hold a word in a name or as NAME=value; all, where it is the name of a setting that differs."""
    if word.upper() in settings:
        return setups.drop(columns=[name for name in settings if name != word.upper()]).assign(
            **{name: "" for name in settings if name != word.upper()}
        )
    texts = setups[list(KIND)].agg(" ".join, axis=1)
    for name in settings:
        texts += f" {name}=" + setups[name]
    found = setups[texts.str.lower().str.contains(word.lower(), regex=False)]
    if found.empty:
        known = sorted({part for text in texts for part in text.split()} | set(settings))
        raise InputError(
            f"--compare {word}: no finished run has it.{did_you_mean(word, known)} Write a dataset, variant, network, "
            "the name of a setting that differs, or NAME=value."
        )
    return found


def _fitted(setups: pd.DataFrame, names: list[str]) -> list[str]:
    """The lines of the table; columns that find no room on the right are left to the file."""
    cells = {
        "validation": [_score_text(row) for row in setups.to_dict("records")],
        "seeds": list(map(str, setups["seeds"])),
    }
    if setups["test_score"].notna().any():
        cells["test"] = [f"{value:.3f}" if pd.notna(value) else "" for value in setups["test_score"]]
    width = sum(_width(name, column) + 2 for name, column in cells.items())
    for name in names:
        column = [str(value) for value in setups[name]]
        if width + _width(name, column) <= COLUMNS:
            cells[name] = column
            width += _width(name, column) + 2
    heading = "  ".join(name.ljust(_width(name, column)) for name, column in cells.items())
    rows = zip(
        *([value.ljust(_width(name, column)) for value in column] for name, column in cells.items()), strict=True
    )
    return [heading.rstrip(), *("  ".join(row).rstrip() for row in rows)]


def _width(name: str, column: list[str]) -> int:
    return max(map(len, [name, *column]))


def _score_text(row: dict[Any, Any]) -> str:
    sd = f" ± {row['sd']:.3f}" if pd.notna(row["sd"]) else ""
    return f"{row['score']:.3f}{sd}"


# ---------------------------------------------------------------- on the page


def across_settings(output: Path) -> list[PaperTable]:
    """The tables of the section "Across settings": that of GRID, and every finished run where some are of other plans.

    Raises InputError where study.json or a table is damaged.
    """
    grid, metric = read_grid_table(output), read_study(output).primary_metric
    table = write_all_runs(output, metric)
    found = [] if grid is None or grid.empty else [_grid_table(grid)]
    return found if table["in_plan"].all() else [*found, _runs_table(table, metric)]


def _grid_table(grid: pd.DataFrame) -> PaperTable:
    metric = metric_words(str(grid["metric"].iloc[0]))
    columns = (
        Column("values"), Column(f"validation {metric}", is_number=True), Column("behind the chosen", is_number=True),
        Column("seeds", is_number=True), Column("n", is_number=True), Column("other tables"),
    )  # fmt: skip
    caption = (
        "Sorted by validation, with 95 % intervals; bold is what validation chooses. It was chosen on these very "
        "pictures, so its score is too good. Points are compared on validation alone: test sets were scored at one of "
        "them, which all other tables are about."
    )
    return PaperTable("grid", "GRID", caption, columns, tuple(_grid_blocks(grid)))


def _grid_blocks(grid: pd.DataFrame) -> Iterator[Block]:
    axes = axes_of(grid)
    for setup, part in grid.groupby(list(GRID_SETUP), sort=False):
        rows = part.sort_values("validation_score", ascending=False, kind="stable").to_dict("records")
        title = setup_words([*setup]) or f"mean over all {int(part['n_setups'].iloc[0])} setups"
        yield Block(title, tuple(_grid_row(row, axes) for row in rows))


def _grid_row(row: dict[Any, Any], axes: list[str]) -> Row:
    score = number_cell(row["validation_score"], digits=3, interval=(row["low"], row["high"]))
    behind = number_cell(row["below_best"], digits=3, interval=(row["below_best_low"], row["below_best_high"]))
    counts = [number_cell(row[name], digits=0) for name in ("n_seeds", "n")]
    values = text_cell(words_of({name: row[name] for name in axes}))
    here = text_cell("are about this" if row["in_plan"] else "")
    return Row((values, replace(score, best=bool(row["chosen_by_validation"])), behind, *counts, here))


def _runs_table(table: pd.DataFrame, metric: str) -> PaperTable:
    setups = by_setup(table, metric)
    shown = [name for name in (*KIND, *setting_columns(table)) if setups[name].nunique(dropna=False) > 1]
    words = metric_words(score_column(table, metric).removeprefix("val_"))
    numbers = (f"validation {words}", "seeds", f"test {metric_words(metric)}")
    columns = (*map(Column, shown), *(Column(name, is_number=True) for name in numbers))
    rows = [
        Row((
            *(text_cell(row[name]) for name in shown), number_cell(row["score"], row["sd"], digits=3),
            number_cell(row["seeds"], digits=0), number_cell(row["test_score"], digits=3),
        ))
        for row in setups.to_dict("records")
    ]  # fmt: skip
    caption = (
        f"All {len(table)} finished runs of this folder, also of earlier plans, mean ± standard deviation over seeds, "
        "with the settings in which runs of one training set, variant and network differ. Scores compare where "
        "training set and rows are the same. Test scores stand "
        "beside runs of the present plan alone, whose tables show them."
    )
    return PaperTable("all_runs", "Every finished run", caption, columns, (Block("", tuple(rows)),))
