"""The tables of a paper: all results side by side, per class, and what each network costs.

Made from results.csv and per_class_results.csv. Each is written to `tables/` as Markdown and LaTeX, and with plain
numbers as CSV: `comprehensive_results.csv` (all sections), `tables/per_class.csv`, `tables/cost.csv`.

A row is everything that is equal but the seed (and the repeat of the folds): means ± sample standard deviations, n of
them in a column of its own. The folds of a repeat are pooled before (fer.results.pooling, fer.results.trainings).
Percent; costs not. Rows are sorted by validation and the one that it chooses is marked, so that nobody is invited to
choose on test (fer.results.validation_choice); bold marks what paired tests do not tell from the best
(fer.statistics.best). Rows whose epoch was chosen on the test set are named (oracle); they and the majority class are
never bold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fer.columns.files import SHOWN_SETUP
from fer.data.whole_sets import is_whole
from fer.layouts.emotions import classes_named
from fer.report.marks import CHOSEN, Marks, with_intervals
from fer.report.table_formats import (
    Block,
    Cell,
    Column,
    PaperTable,
    Row,
    as_latex,
    as_markdown,
    mark_best,
    number_cell,
    text_cell,
)
from fer.report.wide_tables import COSTS, HEADLINE, by_validation, cost_results, wide_classes, wide_results
from fer.results.leaks import parts_of
from fer.results.scores import MAJORITY
from fer.results.tables import CLASS_TEXTS, SECTIONS
from fer.results.trainings import ROWS_WORDS, per_training, spread_words
from fer.runs.run import ORACLE
from utils import fingerprint, read_csv, write_changed

WORDS = ("train_on", "variant", "test_variant", "model", "balance", "mixing")
ACROSS = ("cross", "leave_one_out")  # sections whose tables say which classes training and test rows share
SECTION_TITLES = {
    "individual": "Individual: trained and tested on one dataset",
    "combined": "Combined: trained on several datasets, tested on each and on their union",
    "cross": "Cross-dataset: tested on a dataset not trained on",
    "leave_one_out": "Leave one dataset out: trained on all others",
    "ensemble": "Ensembles of all networks of a training set",
}


def write_paper_tables(output: Path, results: pd.DataFrame) -> list[PaperTable]:
    """Write every table of `results` (as tables.write_tables returns it); tables of an earlier plan are removed."""
    folder = output / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    classes = read_csv(output / "per_class_results.csv", CLASS_TEXTS)
    tables = paper_tables(output, results, classes)
    written = set()
    for table in tables:
        for suffix, text in ((".md", as_markdown(table)), (".tex", as_latex(table))):
            write_changed(folder / f"{table.name}{suffix}", text)
            written.add(f"{table.name}{suffix}")
    for path in [*folder.glob("*.md"), *folder.glob("*.tex")]:
        if path.name not in written:
            path.unlink()
    marks = Marks(output)
    with_ends = with_intervals(output, per_training(results), list(HEADLINE))
    _write_csv(output / "comprehensive_results.csv", wide_results(with_ends, marks.validation))
    _write_csv(folder / "per_class.csv", wide_classes(results, classes, marks.validation))
    _write_csv(folder / "cost.csv", cost_results(results))
    return tables


def paper_tables(output: Path, results: pd.DataFrame, classes: pd.DataFrame) -> list[PaperTable]:
    """All tables, in reading order; a kind of experiment the study has not is left out."""
    marks, results = Marks(output), with_intervals(output, per_training(results), list(HEADLINE))
    sections = [section for section in SECTIONS if (results["section"] == section).any()]
    found = [_section_table(output, results, section, marks, classes_named(classes["class"])) for section in sections]
    found += [*_parts_tables(COPIES, results, marks), *_parts_tables(CONFIDENT, results, marks)]
    found += [*_class_tables(results, classes, marks)]
    return found + ([_cost_table(results)] if (results["section"] != "").any() else [])


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_changed(path, table.to_csv(index=False, lineterminator="\n"))


# ---------------------------------------------------------------- the printed tables


def _section_table(
    output: Path, results: pd.DataFrame, section: str, marks: Marks, classes: tuple[str, ...]
) -> PaperTable:
    """A block per test set: side by side, all test sets of a study would be too wide to read."""
    rows = results[results["section"] == section]
    tests = sorted(
        set(zip(rows["test_on"], rows["rows"], strict=True)), key=lambda test: (len(parts_of(output, test[0])), *test)
    )
    policies = sorted(set(rows["tta"]), key=lambda tta: (tta != "none", tta))
    words, wide = _words_that_vary(rows), wide_results(rows, marks.validation)
    columns = [Column(_heading(word), ("",)) for word in words]
    columns.append(Column(f"validation {_metric_words(marks.metric)}", ("",), is_number=True))
    columns += [Column(name, (_tta_words(tta),), is_number=True) for tta in policies for name in HEADLINE.values()]
    blocks = [_test_block(results, rows, wide, test, words, policies, marks) for test in tests]
    if section in ACROSS:
        columns.append(Column("classes", ("",)))
        blocks = [_with_classes(block, rows, test, classes) for block, test in zip(blocks, tests, strict=True)]
    columns.append(Column("n", ("",), is_number=True))
    return PaperTable(
        name=f"comprehensive_{section}",
        title=SECTION_TITLES[section],
        caption=" ".join([_caption(rows), *_choice_words(marks), _bold_words(marks)]),
        columns=tuple(columns),
        blocks=tuple(blocks),
    )


def _with_classes(block: Block, rows: pd.DataFrame, test: tuple[str, str], classes: tuple[str, ...]) -> Block:
    """The block with a cell before the last: how many classes both training and test rows have, and which lack."""
    shared = dict(_tested(rows, *test)[["train_on", "classes_shared"]].itertuples(index=False, name=None))
    shown = []
    for row in block.rows:
        names = str(shared.get(row.cells[0].text, "")).split()
        lacking = ", ".join(name for name in classes if name not in names)
        words = f"{len(names)} of {len(classes)}{f', not {lacking}' if lacking else ''}" if names else ""
        shown.append(replace(row, cells=(*row.cells[:-1], text_cell(words), row.cells[-1])))
    return replace(block, rows=tuple(shown))


def _test_block(
    results: pd.DataFrame,
    rows: pd.DataFrame,
    wide: pd.DataFrame,
    test: tuple[str, str],
    words: list[str],
    policies: list[str],
    marks: Marks,
) -> Block:
    """What the rows of a section (`wide`: side by side) say of one test set and kind of rows; the majority class."""
    test_on, kind = test
    counted = [f"{test_on} {tta} n" for tta in policies if f"{test_on} {tta} n" in wide]
    part = wide[wide[counted].notna().any(axis=1) & (wide["rows"] == kind)]
    ordered = by_validation(part, marks.validation, ["rows"], test_on)
    shown = [_section_row(record, words, test_on, policies, marks) for record in ordered.to_dict("records")]
    tested = _tested(results, test_on, kind)
    baseline = tested[tested["run"] == MAJORITY].to_dict("records")
    title = _tested_words(rows, test_on, kind)
    return Block(title, (*shown, *(_baseline_row(record, words, policies) for record in baseline)))


def _tested(rows: pd.DataFrame, test_on: str, kind: str) -> pd.DataFrame:
    return rows[(rows["test_on"] == test_on) & (rows["rows"] == kind)]


def _tested_words(rows: pd.DataFrame, test_on: str, kind: str) -> str:
    counts = " or ".join(f"{n:,}" for n in sorted(set(_tested(rows, test_on, kind)["n_test"])))
    new = ", all its rows that are new to the network" if is_whole(test_on) else ""
    return f"Tested on {test_on}{new}, {counts} pictures{ROWS_WORDS[kind]}"


def _words_that_vary(rows: pd.DataFrame) -> list[str]:
    """Columns that name a row: training set and model always, others where a table holds several values."""
    return [w for w in WORDS if w in ("train_on", "variant", "model") or _varies(rows, w)]


def _varies(rows: pd.DataFrame, word: str) -> bool:
    """`test_variant`, `balance` and `mixing` are named only where they do not follow from the other words."""
    given = [w for w in ("train_on", "variant", "model") if w != word]
    return bool((rows.groupby(given)[word].nunique() > 1).any())


def _heading(word: str) -> str:
    return {"train_on": "trained on", "test_variant": "tested on"}.get(word, word)


def _tta_words(tta: str) -> str:
    return "no TTA" if tta == "none" else f"TTA {tta}"


def _metric_words(metric: str) -> str:
    return HEADLINE.get(metric, metric.replace("_", " "))


def _named(record: dict, word: str) -> str:
    """What stands in a column of words; a model's name tells an oracle and what validation chooses."""
    if word != "model":
        return str(record[word])
    oracle = " (oracle)" if record["selection"] == ORACLE else ""
    return f"{record[word]}{oracle}{f' {CHOSEN}' if record['chosen_by_validation'] else ''}"


def _section_row(record: dict, words: list[str], test_on: str, policies: list[str], marks: Marks) -> Row:
    cells = [text_cell(_named(record, word)) for word in words]
    cells.append(number_cell(record["validation_score"], factor=100))
    for tta in policies:
        for metric in HEADLINE:
            mean, sd, *ends = (
                record.get(f"{test_on} {tta} {metric}{end}", math.nan) for end in ("", " sd", " low", " high")
            )
            cell = number_cell(mean, sd, factor=100, interval=(ends[0], ends[1]))
            cells.append(replace(cell, best=marks.is_best(record, test_on, tta, metric)))
    counts = _count_cell(record.get(f"{test_on} {tta} n") for tta in policies)
    return Row((*cells, counts), "oracle" if record["selection"] == ORACLE else "")


def _count_cell(counts: Iterable[float | None]) -> Cell:
    """How many trainings: one number, or the range where some sets are not scored by all."""
    known = sorted({int(n) for n in counts if n is not None and not pd.isna(n)})
    if not known:
        return Cell("–")
    return Cell(str(known[0]) if len(known) == 1 else f"{known[0]}–{known[-1]}", known[-1])


def _baseline_row(record: dict, words: list[str], policies: list[str]) -> Row:
    """The majority class; its answer is the same under every TTA policy."""
    cells = [text_cell("majority class" if word == "model" else "") for word in words]
    cells += [text_cell(""), *(number_cell(record[metric], factor=100) for _ in policies for metric in HEADLINE)]
    return Row((*cells, text_cell("")), "baseline")


def _caption(rows: pd.DataFrame) -> str:
    """What the numbers are, and what a reader must know before believing them."""
    notes = [f"Percent; ±: standard deviation over n {spread_words(rows)}; in brackets, where n = 1: 95 % interval."]
    if (rows["selection"] == ORACLE).any():
        notes.append("Oracle: epoch chosen on the test set, to show what that is worth; never bold.")
    return " ".join([*notes, *warnings_of(rows)])


def _choice_words(marks: Marks) -> list[str]:
    """How rows are sorted and what the dagger means."""
    metric = _metric_words(marks.metric)
    return [
        f"Sorted by validation {metric}, without TTA, on the test set's own validation rows where the row was trained "
        f"on it, else on those it was trained on; {CHOSEN}: what validation chooses among rows judged on the same "
        "that lack no seed others have."
    ]


def _bold_words(marks: Marks) -> str:
    if not marks.is_tested:
        return "Nothing is bold: no two rows were compared."
    return (
        "Bold: the best of its column under this test set, and all that paired tests do not tell from it (p at least "
        "0.05, corrected for all pairs of rows)."
    )


def warnings_of(rows: pd.DataFrame) -> list[str]:
    """Sentences on LIMIT_PER_SPLIT and drawn faces, where they touch these rows."""
    notes = []
    if rows["limit_per_split"].notna().any():
        notes.append(f"LIMIT_PER_SPLIT = {rows['limit_per_split'].iloc[0]}.")
    if rows["sample_data"].any():
        notes.append("SAMPLE DATA." if rows["sample_data"].all() else "Partly SAMPLE DATA.")
    return notes


# ---------------------------------------------------------------- parts of the test rows, per class, and cost


class Parts(NamedTuple):
    """A table of accuracy on parts of the test rows: what each column of results.csv is called in it."""

    name: str
    title: str
    caption: str
    accuracies: dict[str, str]
    counts: dict[str, str]


COPIES = Parts(
    "copies",
    "What copies in training are worth",
    "Accuracy. Identical copies: test pictures with identical pixels in training or validation as delivered. "
    "Of those without one, some have a near copy there (mirrored, resized, re-encoded), counted by the audit.",
    {
        "accuracy": "all pictures",
        "accuracy_without_copies": "without an identical copy",
        "accuracy_without_near_copies": "without a near copy either",
        "accuracy_copies": "identical copies",
    },
    {"n_copies": "identical copies, n", "n_near_copies": "near copies among the rest, n"},
)
CONFIDENT = Parts(
    "confident",
    "On test rows whose label is not doubted",
    "Accuracy. Left out are rows whose label LABEL_NOISE doubts: what is hard for networks leaves with what is wrong, "
    "so every network gains. Compare networks by it, never with a published number.",
    {"accuracy": "all pictures", "accuracy_confident": "label not doubted"},
    {"n_confident": "label not doubted, n"},
)


def _parts_tables(parts: Parts, results: pd.DataFrame, marks: Marks) -> Iterator[PaperTable]:
    """Accuracy on all test pictures and on parts of them, where there is such a part."""
    counts = list(parts.counts)
    rows = results[results[counts[0]].fillna(0) > 0].astype(dict.fromkeys(counts, float))
    if rows.empty:
        return
    words = [*_words_that_vary(rows), "tta"]
    keys = [*SHOWN_SETUP, "tta"]
    columns = [Column(_heading(w)) for w in words]
    columns += [Column(name, is_number=True) for name in (*parts.accuracies.values(), *parts.counts.values(), "n")]
    blocks = []
    for (test_on, kind), part in rows.groupby(["test_on", "rows"], sort=True):
        grouped = part.groupby(keys)
        means, deviations = grouped[[*parts.accuracies, *counts]].mean(), grouped[list(parts.accuracies)].std()
        table = means.join(deviations.add_suffix(" sd")).assign(n=grouped.size()).reset_index()
        table = by_validation(table.assign(rows=str(kind)), marks.validation, ["rows"], str(test_on))
        shown = tuple(_parts_row(parts, record, words) for record in table.to_dict("records"))
        blocks.append(Block(_tested_words(part, str(test_on), str(kind)), shown))
    caption = f"{parts.caption} {' '.join([_caption(rows), *_choice_words(marks)])}"
    yield PaperTable(parts.name, parts.title, caption, tuple(columns), tuple(blocks))


def _parts_row(parts: Parts, record: dict, words: list[str]) -> Row:
    cells = [text_cell(_named(record, word)) for word in words]
    cells += [number_cell(record[part], record[f"{part} sd"], factor=100) for part in parts.accuracies]
    cells += [number_cell(record[count], digits=0) for count in parts.counts]
    cells += [_count_cell([record["n"]])]
    return Row(tuple(cells), "oracle" if record["selection"] == ORACLE else "")


def _class_tables(results: pd.DataFrame, classes: pd.DataFrame, marks: Marks) -> Iterator[PaperTable]:
    """Per test set: F1 and recall of each class."""
    table = wide_classes(results, classes, marks.validation)
    if table.empty:
        return
    names = classes_named(classes["class"])
    support = classes.groupby(["test_on", "rows", "class"])["support"].max()
    scored_sets = (
        table.loc[table["section"] != "", ["test_on", "rows"]].drop_duplicates().sort_values(["test_on", "rows"])
    )
    for test_on, kind in scored_sets.itertuples(index=False, name=None):
        part, scored = _tested(table, test_on, kind), _tested(results, test_on, kind)
        words = [*_words_that_vary(results[results["section"] != ""]), "tta"]
        for score in ("f1", "recall"):
            said = {"f1": "F1", "recall": "recall"}
            columns = [Column(_heading(w)) for w in words] + [
                Column(f"{name} ({support[test_on, kind, name]:.0f})", is_number=True) for name in names
            ]
            columns.append(Column("n", is_number=True))
            blocks = [_class_block(part, section, words, score, names) for section in SECTIONS]
            baseline = [
                _class_row(record, words, score, names) for record in part[part["section"] == ""].to_dict("records")
            ]
            blocks.append(Block("Baseline", tuple(baseline)))
            yield PaperTable(
                name=f"per_class_{score}_{_file_name(test_on)}" + ("" if kind == "official" else f"_{kind.split()[0]}"),
                title=f"{said[score]} per class on {test_on}{ROWS_WORDS[kind]}",
                caption=" ".join(
                    [
                        "Percent; test pictures of each class in brackets; ±: standard deviation over n "
                        f"{spread_words(scored)}.",
                        *_choice_words(marks),
                        *warnings_of(scored),
                    ]
                ),
                columns=tuple(columns),
                blocks=tuple(block for block in blocks if block.rows),
            )


def _file_name(test_on: str) -> str:
    """A test set's name as part of a file name LaTeX can read; long unions are shortened."""
    safe = re.sub(r"[^A-Za-z0-9+.-]", "-", test_on)
    return safe if len(safe) <= 40 else f"{test_on.count('+') + 1}sets-{fingerprint(test_on, 4)}"


def _class_block(part: pd.DataFrame, section: str, words: list[str], score: str, names: tuple[str, ...]) -> Block:
    records = part[part["section"] == section].to_dict("records")
    return Block(SECTION_TITLES[section], tuple(_class_row(record, words, score, names) for record in records))


def _class_row(record: dict, words: list[str], score: str, names: tuple[str, ...]) -> Row:
    kind = "baseline" if record["section"] == "" else "oracle" if record["selection"] == ORACLE else ""
    if kind == "baseline":
        cells = [text_cell("majority class" if word == "model" else "") for word in words]
    else:
        cells = [text_cell(_named(record, word)) for word in words]
    cells += [number_cell(record[f"{name} {score}"], record[f"{name} {score} sd"], factor=100) for name in names]
    return Row((*cells, text_cell("") if kind == "baseline" else _count_cell([record["n"]])), kind)


def _cost_table(results: pd.DataFrame) -> PaperTable:
    table = cost_results(results)
    columns = [Column("trained on"), Column("variant"), Column("model")]
    columns += [Column(heading, is_number=True) for heading, *_ in COSTS.values()] + [Column("n", is_number=True)]
    signs = [0, 0, 0, *(sign for *_, sign in COSTS.values()), 0]
    networks = [_cost_row(r) for r in table.to_dict("records") if not str(r["model"]).startswith("ensemble_")]
    ensembles = [_cost_row(r) for r in table.to_dict("records") if str(r["model"]).startswith("ensemble_")]
    answer = Row((text_cell(""), text_cell(""), text_cell("majority class"), *[text_cell("")] * (len(COSTS) + 1)))
    blocks = [
        Block("Networks", mark_best(networks, signs)),
        Block("Ensembles: sums over their members", mark_best(ensembles, signs)),
        Block("Baseline: costs nothing", (Row(answer.cells, "baseline"),)),
    ]
    return PaperTable(
        name="cost",
        title="Cost of training and use",
        caption="FLOPs and latency per picture, one picture at a time; ±: standard deviation over n "
        f"{spread_words(results)}; with folds: of one fold on average. "
        "Best: least, and most images/s.",
        columns=tuple(columns),
        blocks=tuple(block for block in blocks if block.rows),
    )


def _cost_row(record: dict) -> Row:
    cells = [text_cell(record[word]) for word in ("train_on", "variant", "model")]
    for cost, (_, divisor, digits, _) in COSTS.items():
        cells.append(number_cell(record[cost], record[f"{cost} sd"], digits, 1 / divisor))
    return Row((*cells, _count_cell([record["n"]])))
