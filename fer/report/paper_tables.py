"""The tables of a paper: all results side by side, per class, and what each network costs.

Made from results.csv and per_class_results.csv. Each is written to `tables/` as Markdown and LaTeX, and with plain
numbers as CSV: `comprehensive_results.csv` (all sections), `tables/per_class.csv`, `tables/cost.csv`.

A row is everything that is equal but the seed (and the repeat of the folds): means ± sample standard deviations, n of
them in a column of its own. The folds of a repeat are pooled before (fer.results.pooling, fer.results.trainings).
Percent; costs not. Rows whose epoch was chosen on the test set are named (oracle); they and the majority class are
never the best.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

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
from fer.results.leaks import parts_of
from fer.results.scores import MAJORITY
from fer.results.tables import CLASS_TEXTS, KEY_COLUMNS, SECTIONS
from fer.results.trainings import ROWS_WORDS, per_training, spread_words
from fer.results.trainings import SETUP as TRAINING
from fer.runs.run import ORACLE
from fer.settings.settings import EMOTIONS
from utils import fingerprint, read_csv, write_changed

HEADLINE = {"accuracy": "acc.", "balanced_accuracy": "bal. acc.", "macro_f1": "macro-F1"}
SETUP = ("train_on", "variant", "test_variant", "model", "balance", "mixing", "selection")
WORDS = ("train_on", "variant", "test_variant", "model", "balance", "mixing")
COSTS = {
    # column of results.csv: (heading, divided by, decimals, what is best)
    "parameters": ("parameters (M)", 1e6, 2, -1),
    "flops": ("FLOPs (M)", 1e6, 1, -1),
    "train_seconds": ("training (min)", 60, 1, -1),
    "images_per_second": ("training (images/s)", 1, 0, 1),
    "peak_gpu_mb": ("peak GPU memory (MB)", 1, 0, -1),
    "peak_ram_mb": ("peak RAM (MB)", 1, 0, -1),
    "latency_ms": ("latency (ms/face)", 1, 2, -1),
}
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
    _write_csv(output / "comprehensive_results.csv", wide_results(results))
    _write_csv(folder / "per_class.csv", wide_classes(results, classes))
    _write_csv(folder / "cost.csv", cost_results(results))
    return tables


def paper_tables(output: Path, results: pd.DataFrame, classes: pd.DataFrame) -> list[PaperTable]:
    """All tables, in reading order; a kind of experiment the study has not is left out."""
    results = per_training(results)
    found = [_section_table(output, results, section) for section in SECTIONS if (results["section"] == section).any()]
    found += [*_copies_tables(results), *_class_tables(results, classes)]
    return found + ([_cost_table(results)] if (results["section"] != "").any() else [])


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_changed(path, table.to_csv(index=False, lineterminator="\n"))


# ---------------------------------------------------------------- plain values


def wide_results(results: pd.DataFrame) -> pd.DataFrame:
    """One row per section and setup; per test set, TTA policy and headline metric its mean, sd and n.

    Columns: section, rows (fer.results.pooling), train_on … selection, then "<test_on> <tta> <metric>", "… sd", and
    "<test_on> <tta> n". A setup has a line for each kind of rows it was tested on.
    """
    results = per_training(results)
    rows = results[results["run"] != MAJORITY]
    keys = ["section", "rows", *SETUP]
    table = rows[keys].drop_duplicates()
    for (test_on, tta), part in rows.groupby(["test_on", "tta"], sort=True):
        grouped = part.groupby(keys)[list(HEADLINE)]
        means, deviations = grouped.mean(), grouped.std()
        found = {f"{test_on} {tta} n": grouped.size()}
        for metric in HEADLINE:
            found |= {f"{test_on} {tta} {metric}": means[metric], f"{test_on} {tta} {metric} sd": deviations[metric]}
        table = table.merge(pd.DataFrame(found).reset_index(), on=keys, how="left")
    whole = {name: "Int64" for name in table.columns if name.endswith(" n")}
    order = {section: number for number, section in enumerate(SECTIONS)}
    table = table.astype(whole).sort_values(keys, key=lambda c: c.map(order) if c.name == "section" else c)
    return pd.concat([table, _majority_columns(results)], ignore_index=True)


def _majority_columns(results: pd.DataFrame) -> pd.DataFrame:
    """The majority class as a row of the wide table per kind of rows: the same answer under every TTA policy."""
    policies = sorted(set(results.loc[results["run"] != MAJORITY, "tta"]))
    lines = []
    for kind, rows in results[results["run"] == MAJORITY].groupby("rows", sort=True):
        values: dict[str, float | str] = {"rows": str(kind), "model": MAJORITY}
        for row in rows.to_dict("records"):
            values |= {f"{row['test_on']} {tta} {metric}": row[metric] for tta in policies for metric in HEADLINE}
        lines.append(values)
    return pd.DataFrame(lines)


def wide_classes(results: pd.DataFrame, classes: pd.DataFrame) -> pd.DataFrame:
    """One row per section, setup, test set and TTA policy; recall and F1 of each class, mean, sd, and n trainings."""
    keys = ["section", *SETUP, "test_on", "tta", "rows"]
    described = ("section", "seed", "split", *(c for c in SETUP if c != "test_variant"))
    shown = results[[*KEY_COLUMNS, *described]]
    rows = classes.fillna({"test_variant": ""}).merge(shown, on=list(KEY_COLUMNS), how="inner")
    rows = per_training(rows, "class", "section")
    grouped = rows.groupby([*keys, "class"], sort=False)[["recall", "f1"]].agg(["mean", "std", "size"])
    table = grouped.unstack("class")
    found = {"n": table["recall"]["size"].max(axis=1).astype("Int64")} if len(table) else {}
    for score in ("recall", "f1"):
        for name in EMOTIONS if len(table) else ():
            found[f"{name} {score}"] = table[score, "mean", name]
            found[f"{name} {score} sd"] = table[score, "std", name]
    return pd.DataFrame(found).reset_index() if found else pd.DataFrame(columns=keys)


def cost_results(results: pd.DataFrame) -> pd.DataFrame:
    """One row per training set, variant and model: mean and sd of each cost over trainings, and n of them.

    A training counts once, whatever it was tested on; an oracle is another epoch of a training counted already.
    """
    keys = ["train_on", "variant", "model"]
    results = per_training(results)
    runs = results[(results["section"] != "") & (results["selection"] != ORACLE)]
    runs = runs.drop_duplicates([*TRAINING, "seed", "split"]).astype(dict.fromkeys(COSTS, float))
    grouped = runs.groupby(keys)[list(COSTS)].agg(["mean", "std"])
    found = {"n": runs.groupby(keys).size()}
    for cost in COSTS:
        found |= {cost: grouped[cost, "mean"], f"{cost} sd": grouped[cost, "std"]}
    return pd.DataFrame(found).reset_index()


# ---------------------------------------------------------------- the printed tables


def _section_table(output: Path, results: pd.DataFrame, section: str) -> PaperTable:
    """A block per test set: side by side, all test sets of a study would be too wide to read."""
    rows = results[results["section"] == section]
    tests = sorted(
        set(zip(rows["test_on"], rows["rows"], strict=True)), key=lambda test: (len(parts_of(output, test[0])), *test)
    )
    policies = sorted(set(rows["tta"]), key=lambda tta: (tta != "none", tta))
    words, wide = _words_that_vary(rows), wide_results(rows)
    columns = [Column(_heading(word), ("",)) for word in words]
    columns += [Column(name, (_tta_words(tta),), is_number=True) for tta in policies for name in HEADLINE.values()]
    columns.append(Column("n", ("",), is_number=True))
    return PaperTable(
        name=f"comprehensive_{section}",
        title=SECTION_TITLES[section],
        caption=_caption(rows),
        columns=tuple(columns),
        blocks=tuple(_test_block(results, rows, wide, test, words, policies) for test in tests),
    )


def _test_block(
    results: pd.DataFrame,
    rows: pd.DataFrame,
    wide: pd.DataFrame,
    test: tuple[str, str],
    words: list[str],
    policies: list[str],
) -> Block:
    """What the rows of a section (`wide`: side by side) say of one test set and kind of rows; the majority class."""
    test_on, kind = test
    counted = [f"{test_on} {tta} n" for tta in policies if f"{test_on} {tta} n" in wide]
    records = wide[wide[counted].notna().any(axis=1) & (wide["rows"] == kind)].to_dict("records")
    shown = [_section_row(record, words, test_on, policies) for record in records]
    marked = mark_best(shown, [0] * len(words) + [1] * len(policies) * len(HEADLINE) + [0])
    tested = _tested(results, test_on, kind)
    baseline = tested[tested["run"] == MAJORITY].to_dict("records")
    title = _tested_words(rows, test_on, kind)
    return Block(title, (*marked, *(_baseline_row(record, words, policies) for record in baseline)))


def _tested(rows: pd.DataFrame, test_on: str, kind: str) -> pd.DataFrame:
    return rows[(rows["test_on"] == test_on) & (rows["rows"] == kind)]


def _tested_words(rows: pd.DataFrame, test_on: str, kind: str) -> str:
    counts = " or ".join(f"{n:,}" for n in sorted(set(_tested(rows, test_on, kind)["n_test"])))
    return f"Tested on {test_on}, {counts} pictures{ROWS_WORDS[kind]}"


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


def _section_row(record: dict, words: list[str], test_on: str, policies: list[str]) -> Row:
    oracle = record["selection"] == ORACLE
    cells = [text_cell(f"{record[w]} (oracle)" if oracle and w == "model" else record[w]) for w in words]
    for tta in policies:
        for metric in HEADLINE:
            mean, sd = (record.get(f"{test_on} {tta} {metric}{end}", math.nan) for end in ("", " sd"))
            cells.append(number_cell(mean, sd, factor=100))
    counts = _count_cell(record.get(f"{test_on} {tta} n") for tta in policies)
    return Row((*cells, counts), "oracle" if oracle else "")


def _count_cell(counts: Iterable[float | None]) -> Cell:
    """How many trainings: one number, or the range where some sets are not scored by all."""
    known = sorted({int(n) for n in counts if n is not None and not pd.isna(n)})
    if not known:
        return Cell("–")
    return Cell(str(known[0]) if len(known) == 1 else f"{known[0]}–{known[-1]}", known[-1])


def _baseline_row(record: dict, words: list[str], policies: list[str]) -> Row:
    """The majority class; its answer is the same under every TTA policy."""
    cells = [text_cell("majority class" if word == "model" else "") for word in words]
    cells += [number_cell(record[metric], factor=100) for _ in policies for metric in HEADLINE]
    return Row((*cells, text_cell("")), "baseline")


def _caption(rows: pd.DataFrame) -> str:
    """What the numbers are, and what a reader must know before believing them."""
    notes = [f"Percent; ±: standard deviation over n {spread_words(rows)}, none where n = 1."]
    if (rows["selection"] == ORACLE).any():
        notes.append("Oracle: epoch chosen on the test set, to show what that is worth; never bold.")
    return " ".join([*notes, *warnings_of(rows)])


def warnings_of(rows: pd.DataFrame) -> list[str]:
    """Sentences on LIMIT_PER_SPLIT and drawn faces, where they touch these rows."""
    notes = []
    if rows["limit_per_split"].notna().any():
        notes.append(f"LIMIT_PER_SPLIT = {rows['limit_per_split'].iloc[0]}.")
    if rows["sample_data"].any():
        notes.append("SAMPLE DATA." if rows["sample_data"].all() else "Partly SAMPLE DATA.")
    return notes


# ---------------------------------------------------------------- copies, per class, and cost

WITH_AND_WITHOUT = {
    "accuracy": "all pictures",
    "accuracy_without_copies": "without an identical copy",
    "accuracy_copies": "identical copies",
}
COPY_COUNTS = {"n_copies": "identical copies, n", "n_near_copies": "near copies among the rest, n"}


def _copies_tables(results: pd.DataFrame) -> Iterator[PaperTable]:
    """Accuracy on all test pictures, on those without an identical copy in training, and on the copies, if any."""
    rows = results[results["n_copies"].fillna(0) > 0].astype(dict.fromkeys(COPY_COUNTS, float))
    if rows.empty:
        return
    words = [*_words_that_vary(rows), "tta"]
    keys = [*SETUP, "tta"]
    columns = [Column(_heading(w)) for w in words]
    columns += [Column(name, is_number=True) for name in (*WITH_AND_WITHOUT.values(), *COPY_COUNTS.values(), "n")]
    blocks = []
    for (test_on, kind), part in rows.groupby(["test_on", "rows"], sort=True):
        grouped = part.groupby(keys)
        means, deviations = grouped[[*WITH_AND_WITHOUT, *COPY_COUNTS]].mean(), grouped[list(WITH_AND_WITHOUT)].std()
        table = means.join(deviations.add_suffix(" sd")).assign(n=grouped.size()).reset_index()
        shown = [_copies_row(record, words) for record in table.to_dict("records")]
        best = [0] * len(words) + [1] * len(WITH_AND_WITHOUT) + [0] * (len(COPY_COUNTS) + 1)
        blocks.append(Block(_tested_words(part, str(test_on), str(kind)), mark_best(shown, best)))
    caption = (
        "Accuracy. Identical copies: test pictures with identical pixels in training or validation as delivered. "
        "Of those without one, some have a near copy there (mirrored, resized, re-encoded), counted by the audit. "
        f"{_caption(rows)}"
    )
    yield PaperTable("copies", "What copies in training are worth", caption, tuple(columns), tuple(blocks))


def _copies_row(record: dict, words: list[str]) -> Row:
    oracle = record["selection"] == ORACLE
    cells = [text_cell(f"{record[w]} (oracle)" if oracle and w == "model" else record[w]) for w in words]
    cells += [number_cell(record[part], record[f"{part} sd"], factor=100) for part in WITH_AND_WITHOUT]
    cells += [number_cell(record[count], digits=0) for count in COPY_COUNTS]
    cells += [_count_cell([record["n"]])]
    return Row(tuple(cells), "oracle" if oracle else "")


def _class_tables(results: pd.DataFrame, classes: pd.DataFrame) -> Iterator[PaperTable]:
    """Per test set: F1 and recall of each class."""
    table = wide_classes(results, classes)
    if table.empty:
        return
    support = classes.groupby(["test_on", "rows", "class"])["support"].max()
    scored_sets = (
        table.loc[table["section"] != "", ["test_on", "rows"]].drop_duplicates().sort_values(["test_on", "rows"])
    )
    for test_on, kind in scored_sets.itertuples(index=False, name=None):
        part, scored = _tested(table, test_on, kind), _tested(results, test_on, kind)
        words = [*_words_that_vary(results[results["section"] != ""]), "tta"]
        for score in ("f1", "recall"):
            names = {"f1": "F1", "recall": "recall"}
            columns = [Column(_heading(w)) for w in words] + [
                Column(f"{name} ({support[test_on, kind, name]:.0f})", is_number=True) for name in EMOTIONS
            ]
            columns.append(Column("n", is_number=True))
            blocks = [_class_block(part, section, words, score) for section in SECTIONS]
            baseline = [_class_row(record, words, score) for record in part[part["section"] == ""].to_dict("records")]
            blocks.append(Block("Baseline", tuple(baseline)))
            yield PaperTable(
                name=f"per_class_{score}_{_file_name(test_on)}" + ("" if kind == "official" else f"_{kind.split()[0]}"),
                title=f"{names[score]} per class on {test_on}{ROWS_WORDS[kind]}",
                caption=" ".join(
                    [
                        "Percent; test pictures of each class in brackets; ±: standard deviation over n "
                        f"{spread_words(scored)}.",
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


def _class_block(part: pd.DataFrame, section: str, words: list[str], score: str) -> Block:
    rows = [_class_row(record, words, score) for record in part[part["section"] == section].to_dict("records")]
    return Block(SECTION_TITLES[section], mark_best(rows, [0] * len(words) + [1] * len(EMOTIONS) + [0]))


def _class_row(record: dict, words: list[str], score: str) -> Row:
    kind = "baseline" if record["section"] == "" else "oracle" if record["selection"] == ORACLE else ""
    if kind == "baseline":
        cells = [text_cell("majority class" if word == "model" else "") for word in words]
    else:
        cells = [text_cell(f"{record[w]} (oracle)" if kind and w == "model" else record[w]) for w in words]
    cells += [number_cell(record[f"{name} {score}"], record[f"{name} {score} sd"], factor=100) for name in EMOTIONS]
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
