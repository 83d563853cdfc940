"""Promises of tables: sorted by validation, whose choice is marked; bold where tests tell nothing apart; intervals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_results import Study

from fer.report.paper_tables import paper_tables, write_paper_tables
from fer.report.table_formats import PaperTable, Row, as_latex, as_markdown
from fer.results.tables import CLASS_TEXTS, write_tables
from fer.settings.settings import EMOTIONS
from fer.statistics.comparisons import write_statistics
from utils import read_csv

pytestmark = pytest.mark.slow

# Share of rows each network gets right: validation likes "second", the test set "first"; "bad" is far below both.
RIGHT = {"first": {"val": 0.6, "test": 0.82}, "second": {"val": 0.9, "test": 0.8}, "bad": {"val": 0.4, "test": 0.3}}


class Planted(Study):
    """A study whose networks are right on planted shares of the rows."""

    def write_predictions(self, planned: Any, item: dict[str, str], **changes: Any) -> Path:
        labels = np.repeat(np.arange(len(EMOTIONS)), self.counts[item["split"]])
        rng = np.random.default_rng([len(planned.run.model), item["test_on"] == "wild", item["split"] == "val"])
        right = rng.permutation(len(labels)) < RIGHT[planned.run.model][item["split"]] * len(labels)
        answers = np.where(right, labels, (labels + 1) % len(EMOTIONS))
        probabilities = np.full((len(labels), len(EMOTIONS)), 0.02) + 0.86 * np.eye(len(EMOTIONS))[answers]
        return super().write_predictions(planned, item, probabilities=probabilities.astype(np.float32))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    output = tmp_path_factory.mktemp("planted")
    Planted(output, train_on=(("studio",),), models=tuple(RIGHT), tta=("none",))
    results, validation = write_tables(output)
    write_statistics(output)
    write_paper_tables(output, results)
    return output, results, validation


def tables_of(output: Path, results: pd.DataFrame) -> dict[str, PaperTable]:
    classes = read_csv(output / "per_class_results.csv", CLASS_TEXTS)
    return {table.name: table for table in paper_tables(output, results, classes)}


def words(row: Row) -> str:
    return row.cells[2].text


def test_every_table_is_sorted_by_validation_and_marks_its_choice(made: tuple) -> None:
    output, results, _ = made
    tables = tables_of(output, results)
    for name in ("comprehensive_individual", "comprehensive_cross", "per_class_f1_studio"):
        assert [words(row) for row in tables[name].blocks[0].rows][:3] == ["second †", "first", "bad"], name
    wide = pd.read_csv(output / "comprehensive_results.csv")
    individual = wide[wide["section"] == "individual"]
    assert individual["model"].tolist() == ["second", "first", "bad"]
    assert individual["chosen_by_validation"].tolist() == [True, False, False]
    assert individual["validation_score"].is_monotonic_decreasing


def test_bold_is_the_best_and_what_tests_do_not_tell_from_it(made: tuple) -> None:
    output, results, _ = made
    rows = tables_of(output, results)["comprehensive_individual"].blocks[0].rows
    bold = {words(row): [cell.best for cell in row.cells[4:7]] for row in rows}
    assert bold["first"] == [True] * 3
    assert bold["second †"] == [True] * 3, "two points apart on 252 pictures are no difference"
    assert bold["bad"] == [False] * 3
    assert bold["majority class"] == [False] * 3
    text = (output / "tables" / "comprehensive_individual.tex").read_text()
    assert len(re.findall(r"\\textbf{", text)) == 6
    assert r"second $^\dagger$" in text


def test_one_seed_carries_its_interval(made: tuple) -> None:
    output, results, _ = made
    intervals = pd.read_csv(output / "statistics" / "intervals.csv")
    found = intervals.query("model == 'first' and test_on == 'studio' and metric == 'macro_f1'").iloc[0]
    row = tables_of(output, results)["comprehensive_individual"].blocks[0].rows[1]
    low, high = (f"{100 * found[end]:.1f}" for end in ("low", "high"))
    assert row.cells[6].text == f"{100 * found['value']:.1f} [{low}, {high}]"
    assert low < high


def test_no_statistics_no_bold_and_the_caption_says_so(tmp_path: Path) -> None:
    Planted(tmp_path, train_on=(("studio",),), models=("first", "bad"), tta=("none",), datasets=("studio",))
    results, _ = write_tables(tmp_path)
    table = tables_of(tmp_path, results)["comprehensive_individual"]
    assert "Nothing is bold" in table.caption
    assert r"\textbf" not in as_latex(table)
    assert "**" not in as_markdown(table).split("pictures**")[1]
