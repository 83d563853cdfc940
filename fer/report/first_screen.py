"""What a reader sees first: the findings, and one table of what validation chooses beside the majority class."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from fer.findings.choice import Choice, choose, interval_of
from fer.findings.evidence import Evidence
from fer.findings.finding import Finding, metric_words
from fer.report.page_tables import PageTable, page_table
from fer.report.table_formats import Block, Cell, Column, PaperTable, Row, number_cell, text_cell

DATASETS_SHOWN = 12


@dataclass(frozen=True)
class PageFinding:
    """A finding as the page shows it: what is found in bold, the numbers behind it, how sure it is, where to look."""

    bold: str
    rest: str
    strength: str
    see: str


def page_findings(findings: list[Finding]) -> list[PageFinding]:
    """The findings; the bold part of each ends at its first colon or semicolon."""
    return [PageFinding(*_parts(one.sentence), one.strength, one.see) for one in findings]


def _parts(sentence: str) -> tuple[str, str]:
    found = re.match(r"(.{12,130}?(?:[;:]| warns of))( .*)", sentence)
    return (found[1], found[2]) if found else ("", sentence)


def chosen_table(evidence: Evidence) -> PageTable | None:
    """Per dataset the row validation chooses among networks, ensembles and TTA, and the majority class, in percent.

    None where nothing is validated yet.
    """
    choices = [found for name in evidence.datasets if (found := choose(evidence, name, only_networks=False))]
    if not choices:
        return None
    metrics = list(dict.fromkeys([evidence.metric, "accuracy"]))
    columns = [Column("dataset"), Column("chosen by validation")]
    for metric in metrics:
        columns += [Column("test", (metric_words(metric),), True), Column("majority", (metric_words(metric),), True)]
    columns += [Column("validation", (metric_words(evidence.metric),), True), Column("pictures", ("test",), True)]
    columns[:2] = [Column(column.name, ("",)) for column in columns[:2]]
    rows = tuple(_choice_row(evidence, choice, metrics) for choice in choices)
    table = PaperTable(
        "chosen",
        "What validation chooses among networks, ensembles and TTA",
        CAPTION,
        tuple(columns),
        (Block("", rows),),
    )
    return page_table(table, most=DATASETS_SHOWN)


CAPTION = (
    "Percent, in brackets the 95 % interval; majority: the most frequent training class as the answer to every picture."
)


def _choice_row(evidence: Evidence, choice: Choice, metrics: list[str]) -> Row:
    cells = [text_cell(choice.dataset), text_cell(choice.words)]
    for metric in metrics:
        is_primary = metric == evidence.metric
        value = choice.test if is_primary else choice.accuracy
        majority = math.nan if choice.majority is None else choice.majority[is_primary]
        cells += [_score(value, *interval_of(evidence, choice, metric)), number_cell(majority, factor=100)]
    pictures = math.nan if choice.n is None else float(choice.n)
    return Row((*cells, number_cell(choice.validation, factor=100), number_cell(pictures, digits=0)))


def _score(value: float | None, low: float | None, high: float | None) -> Cell:
    ends = (math.nan, math.nan) if low is None or high is None else (low, high)
    return number_cell(math.nan if value is None else value, factor=100, interval=ends)
