"""Promises about printed tables: the best in bold, nothing of an oracle, escaped text, LaTeX that compiles."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from fake_study import FakeStudy

from fer.report.marks import Marks
from fer.report.paper_tables import paper_tables, write_paper_tables
from fer.report.table_formats import (
    Block,
    Column,
    PaperTable,
    Row,
    as_latex,
    as_markdown,
    escape_latex,
    mark_best,
    number_cell,
    text_cell,
)
from fer.report.wide_tables import wide_results
from fer.results.scores import MAJORITY
from fer.results.tables import read_results, write_tables

ODD = r"a&b_50%<i>$|*{x}~^#\ é"


def table(name: str = ODD) -> PaperTable:
    columns = (Column("model", ("",)), Column("acc.", ("no TTA",), True), Column("F1", ("no TTA",), True))
    rows = (
        Row((text_cell(name), number_cell(0.8123, 0.011, factor=100), number_cell(0.2, factor=100))),
        Row((text_cell("other"), number_cell(0.7, factor=100), number_cell(math.nan))),
        Row((text_cell("majority"), number_cell(0.9, factor=100), number_cell(0.9, factor=100)), "baseline"),
    )
    return PaperTable("t_1", name, f"n = 3, {name}", columns, (Block(name, mark_best(rows, (0, 1, 1))),))


def bold(row: Row) -> list[bool]:
    return [cell.best for cell in row.cells]


def test_best_is_marked_among_honest_rows_with_equal_print_shared() -> None:
    rows = [
        Row((number_cell(0.801, factor=100), number_cell(3.0), number_cell(1.0))),
        Row((number_cell(0.8011, 0.02, factor=100), number_cell(2.0), number_cell(math.nan))),
        Row((number_cell(0.99, factor=100), number_cell(0.1), number_cell(9.0)), "oracle"),
        Row((number_cell(0.995, factor=100), number_cell(0.1), number_cell(9.0)), "baseline"),
    ]
    first, second, oracle, baseline = mark_best(rows, (1, -1, 1))
    assert bold(first) == [True, False, False], "one candidate alone is no best"
    assert bold(second) == [True, True, False]
    assert not any(bold(oracle) + bold(baseline))


def test_numbers_carry_their_spread_and_missing_ones_are_a_dash() -> None:
    assert number_cell(0.8123, 0.011, factor=100).text == "81.2 ± 1.1"
    assert number_cell(0.8123, math.nan, factor=100).text == "81.2"
    assert number_cell(0.8123, math.nan, factor=100, interval=(0.8, 0.83)).text == "81.2 [80.0, 83.0]"
    assert number_cell(math.nan, 0.1).text == "–"
    assert number_cell(1234567.0, digits=0).text == "1,234,567"


def test_markdown_is_one_table_whatever_the_names() -> None:
    lines = [line for line in as_markdown(table()).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert "**81.2** ± 1.1" in lines[2]
    assert "<i>" not in as_markdown(table()).replace(r"\<i\>", "")


def test_latex_escapes_every_special_character() -> None:
    assert escape_latex("a_b & 50%") == r"a\_b \& 50\%"
    body = as_latex(table()).split(r"\toprule")[1]
    assert r"\textbf{81.2}\,{\scriptsize $\pm$ 1.1}" in body
    assert r"a\&b\_50\%\textless{}i\textgreater{}\$\textbar{}" in body
    cells = [line for line in body.splitlines() if line.strip().endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in cells} == {2}


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed (Debian: texlive-latex-recommended)"
)
def test_latex_compiles(tmp_path: Path) -> None:
    packages = "".join(rf"\usepackage{p}" for p in ("[T1]{fontenc}", "[utf8]{inputenc}", "{booktabs}", "{graphicx}"))
    (tmp_path / "t.tex").write_text(as_latex(table()), encoding="utf-8")
    (tmp_path / "all.tex").write_text(
        rf"\documentclass{{article}}{packages}\begin{{document}}\input{{t.tex}}\end{{document}}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-1500:]
    assert (tmp_path / "all.pdf").is_file()


# ---------------------------------------------------------------- the tables of a study


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    output = tmp_path_factory.mktemp("study")
    counts = {"train": (4, 2, 3, 9, 5, 3, 6), "val": (1,) * 7, "test": (4, 3, 3, 9, 5, 3, 6)}
    FakeStudy(output, train_on=(("studio",), ("studio", "wild")), models=("tiny", "other"), seeds=(1, 2),
              tta=("none",), splits=("test",), class_counts=counts, sample_data=("wild",), limit=30)  # fmt: skip
    results, _ = write_tables(output)
    write_paper_tables(output, results)
    return output, results


@pytest.mark.slow
def test_wide_results_hold_mean_spread_and_n_over_seeds(written: tuple[Path, pd.DataFrame]) -> None:
    output, results = written
    wide = pd.read_csv(output / "comprehensive_results.csv")
    row = wide.query("section == 'cross' and model == 'tiny'").iloc[0]
    found = results.query("train_on == 'studio' and test_on == 'wild' and model == 'tiny'")["macro_f1"]
    assert row["wild none macro_f1"] == pytest.approx(found.mean())
    assert row["wild none macro_f1 sd"] == pytest.approx(found.std(ddof=1))
    assert row["wild none n"] == 2
    assert math.isnan(row["studio none macro_f1"])
    assert wide["section"].dropna().unique().tolist() == ["individual", "combined", "cross", "ensemble"]
    assert wide.iloc[-1]["model"] == MAJORITY
    assert wide.iloc[-1]["wild none accuracy"] == pytest.approx(9 / 33)


@pytest.mark.slow
def test_results_read_back_give_the_same_tables(written: tuple[Path, pd.DataFrame]) -> None:
    output, results = written
    again = read_results(output)
    pd.testing.assert_frame_equal(again, results, check_dtype=False)
    classes = pd.read_csv(output / "per_class_results.csv")
    found = {made.name: as_latex(made) for made in paper_tables(output, again, classes)}
    assert found == {path.stem: path.read_text() for path in (output / "tables").glob("*.tex")}


def test_printed_tables_name_n_baseline_limit_and_sample_data(written: tuple[Path, pd.DataFrame]) -> None:
    text = (written[0] / "tables" / "comprehensive_combined.md").read_text()
    assert "Tested on studio+wild, 66 pictures" in text
    assert "majority class" in text
    assert r"LIMIT\_PER\_SPLIT = 30" in text
    assert "SAMPLE DATA" in text
    for name in ("cost", "per_class_f1_wild"):
        assert "majority class" in (written[0] / "tables" / f"{name}.md").read_text()


@pytest.mark.slow
def test_oracle_rows_are_their_own_and_named(written: tuple[Path, pd.DataFrame]) -> None:
    output, results = written
    peeked = results.query("section == 'individual' and seed == 2").assign(selection="oracle", accuracy=1.0)
    both = pd.concat([results.drop(index=peeked.index), peeked], ignore_index=True)
    wide = (
        wide_results(both, Marks(output).validation)
        .query("section == 'individual' and model == 'tiny'")
        .set_index("selection")
    )
    assert wide.loc["macro_f1", "studio none n"] == wide.loc["oracle", "studio none n"] == 1
    first = paper_tables(output, both, pd.read_csv(output / "per_class_results.csv"))[0]
    rows = [row for row in first.rows if row.kind == "oracle"]
    assert len(rows) == 2
    assert all("(oracle)" in row.cells[2].text and not any(bold(row)) for row in rows)


def test_tables_of_an_earlier_plan_are_removed_and_no_run_gives_none(tmp_path: Path) -> None:
    FakeStudy(tmp_path, finished=False)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "comprehensive_cross.tex").write_text("old")
    results, _ = write_tables(tmp_path)
    assert write_paper_tables(tmp_path, results) == []
    assert [path for path in (tmp_path / "tables").iterdir() if path.suffix in (".md", ".tex")] == []
    assert (tmp_path / "comprehensive_results.csv").is_file()
