"""The sections of the page in reading order: each a sentence, its most telling figure open, the rest folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from fer.audit.label_noise import read_label_noise
from fer.findings.finding import Finding
from fer.report import answers
from fer.report.facts import RunState, data_table, machines, protocol, state_counts, test_reads, without_folders
from fer.report.page_figures import Figure
from fer.report.page_tables import ROWS_SHOWN, PageTable, page_table, table_of
from fer.report.search_section import search_answer, search_sentences, search_tables
from fer.report.settings_compared import across_settings
from fer.report.table_formats import PaperTable
from fer.results.study_files import StoredStudy
from fer.search.files import read_search
from utils import InputError, log, read_csv, read_json

CLASS_ROWS = 12  # of each block of a table per class: best by validation first
FILES = (
    "findings.md", "results.csv", "validation_results.csv", "comprehensive_results.csv", "per_class_results.csv",
    "selection_funnel.csv", "test_reads.csv", "study.json", "statistics/statements.md",
)  # fmt: skip
PAIRS = ["family", "test_on", "first", "second", "train_on", "variant", "model", "test_variant", "metric", "difference",
         "low_adjusted", "high_adjusted", "p_adjusted", "verdict", "n", "seeds_first", "seeds_second"]  # fmt: skip
EFFECTS = ["question", "metric", "test_on", "difference", "low_adjusted", "high_adjusted", "p_adjusted", "verdict",
           "pairs", "n_seeds", "n"]  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A section: `name` is its id, `answer` its sentence, `lead` the figure shown open; all else is folded."""

    name: str
    title: str
    answer: str
    tables: Sequence[PageTable] = ()
    sentences: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    lead: Figure | None = None
    facts: Sequence[tuple[str, str]] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """What sections are made of; `problems` collects, in words, what cannot be shown."""

    study: StoredStudy
    stored: dict[str, Any]
    states: list[RunState]
    findings: list[Finding]
    tables: list[PaperTable]
    figures: list[Figure]
    not_learned: list[str]
    sample: str
    problems: list[str]

    @property
    def output(self) -> Path:
        """The output folder of the study."""
        return self.study.output

    def paper(self, *starts: str, most: int = ROWS_SHOWN) -> list[PageTable]:
        """The paper tables whose names start so, at most `most` rows of each block."""
        return [page_table(table, most=most) for table in self.tables if table.name.startswith(starts)]

    def statistics(self, name: str) -> pd.DataFrame | None:
        """A table of statistics/; None where it is not there, and a problem where it cannot be read."""
        path = self.output / "statistics" / f"{name}.csv"
        try:
            return read_csv(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.problems.append(f"statistics/{name}.csv cannot be read ({error}): it is not shown.")
            return None


def sections(material: Material) -> list[Section]:
    """All sections; figures of a run stand in the run's own, except those that tell most."""
    found = [*_data_to_cost(material), *_audit_to_statistics(material)]
    names = {one.name for one in found}
    planned = set(material.study.planned)
    shown = [
        figure
        for figure in material.figures
        if figure.run not in planned or (figure.is_lead and figure.section in names)
    ]
    return [_with_figures(one, [f for f in shown if _place(f, names) == one.name]) for one in found]


def _place(figure: Figure, names: set[str]) -> str:
    return figure.section if figure.section in names else "results"


def _with_figures(section: Section, figures: list[Figure]) -> Section:
    lead = next((figure for figure in figures if figure.is_lead and figure.is_picture), None)
    rest = [figure for figure in figures if figure is not lead]
    return Section(**{**vars(section), "lead": lead, "figures": rest})


def _data_to_cost(one: Material) -> Iterable[Section]:
    study, counts, config = one.study, one.stored["counts"], one.stored["config"]
    reads = test_reads(one.output)
    unknown = "How often each test set was scored is not known: test_reads.csv is missing or damaged."
    runs = [run for run in study.runs if not run.members]
    results = one.paper("comprehensive", "copies", "confident")
    yield Section("data", "Data", answers.data(counts, one.sample), [page_table(data_table(study, counts))])
    yield Section(
        "protocol", "Protocol", answers.protocol(study, config), [page_table(reads)] if reads else [],
        [*protocol(study, config), *([] if reads else [unknown])],
    )  # fmt: skip
    results_and_classes = [*results, *one.paper("per_class", most=CLASS_ROWS)]
    yield Section("results", "Results", answers.results(one.findings, results), results_and_classes)
    yield from _across_settings(one)
    yield from _search(one)
    yield Section("errors", "Errors", answers.finding(one.findings, "failing classes") or answers.NOT_MADE)
    yield Section(
        "training", "Training", answers.training(runs, len(study.planned)), sentences=one.not_learned
    )  # fmt: skip
    yield Section("cost", "Cost", answers.cost(runs), one.paper("cost"))


def _across_settings(one: Material) -> Iterable[Section]:
    """Only where the plan has a GRID, or runs of other plans lie beside it."""
    try:
        tables = across_settings(one.output)
    except InputError as error:
        one.problems.append(f"Runs are not compared across settings: {error}")
        return
    if tables:
        answer = answers.finding(one.findings, "grid") or answers.OTHER_RUNS
        yield Section("settings", "Across settings", answer, [page_table(table, most=ROWS_SHOWN) for table in tables])


def _search(one: Material) -> Iterable[Section]:
    """Only where a search chose runs of the plan."""
    try:
        found = read_search(one.output, set(one.study.planned))
    except InputError as error:
        one.problems.append(str(error))
        return
    if found is not None:
        tables = [page_table(table, most=ROWS_SHOWN) for table in search_tables(found)]
        yield Section("search", "Search", search_answer(found), tables, search_sentences(found))


def _audit_to_statistics(one: Material) -> Iterable[Section]:
    audit = _audit(one)
    noise = read_label_noise(one.output)
    yield Section("audit", "Audit", answers.audit(one.findings, audit), sentences=[*(audit or []), *noise])
    for name, title, answer in (
        ("calibration", "Calibration", answers.calibration),
        ("groups", "Groups", answers.groups),
    ):
        table = one.statistics(name)
        shown = [table_of(name, title, table)] if table is not None and len(table) else []
        yield Section(name, title, answer(table), shown)
    comparisons = one.statistics("comparisons")
    yield Section("statistics", "Statistics", answers.statistics(comparisons), _tests(one, comparisons))
    yield Section("runs", "Runs", answers.runs(state_counts(one.states)))
    facts, config = machines(one.study), one.stored["config"]
    yield Section(
        "versions", "Versions and config", answers.versions(facts, config), facts=facts, extra={"config": config}
    )  # fmt: skip
    names = [name for name in FILES if (one.output / name).is_file()]
    for folder in ("tables", "statistics", "audit", "search"):
        names += sorted(f"{folder}/{path.name}" for path in (one.output / folder).glob("*")
                        if path.suffix in (".csv", ".tex"))  # fmt: skip
    problems = list(dict.fromkeys(without_folders(problem, one.output) for problem in one.problems))
    yield Section(
        "files", "Files", answers.files(names, problems), sentences=problems, extra={"names": names}
    )  # fmt: skip


def _audit(one: Material) -> list[str] | None:
    """The audit in sentences; None when there is none."""
    folder = one.output / "audit"
    if not (folder / "audit.json").is_file():
        return None
    from fer.audit.audit import read_audit, summary

    try:
        found = read_audit(folder, list(one.study.datasets))
        if found is not None:
            return summary(found)
    except (KeyError, TypeError, ValueError, InputError) as error:
        log.warning("%s is not shown: %s", folder / "audit.json", error)
    one.problems.append(
        "audit/audit.json cannot be read: the audit is not shown. Run main.py --audit: it is made again."
    )
    return None


def _tests(one: Material, comparisons: pd.DataFrame | None) -> list[PageTable]:
    """What helps, the comparisons declared before the run, all statements, and spreads and intervals."""
    effects, seeds, optimism = one.statistics("effects"), one.statistics("seeds"), one.statistics("optimism")
    intervals = one.statistics("intervals")
    primary = None if comparisons is None or "role" not in comparisons else comparisons.query("role == 'primary'")
    metric = one.study.primary_metric
    helps = None if effects is None or "metric" not in effects else effects[effects["metric"] == metric]
    shown = (
        ("effects", "What helps, one estimate a question", _columns(helps, EFFECTS)),
        ("comparisons", "Comparisons declared before the run", _columns(primary, PAIRS)),
        ("statements", "Statements, those declared before the run first", _statements(one)),
        ("seeds", "Mean and spread over seeds", seeds),
        ("intervals", "95 % intervals", intervals),
        ("optimism", "What choosing the epoch on the test set is worth", optimism),
    )
    return [table_of(name, title, table) for name, title, table in shown if table is not None and len(table)]


def _columns(table: pd.DataFrame | None, names: list[str]) -> pd.DataFrame | None:
    return None if table is None else table[[name for name in names if name in table]]


def _statements(one: Material) -> pd.DataFrame | None:
    """What the comparisons say in words, primary ones first; None where that is not made."""
    try:
        stored = read_json(one.output / "statistics" / "statements.json")
        one.problems.extend(str(note) for note in stored["notes"])
        found = pd.DataFrame(stored["statements"])
        names = ["family", "role", "test_on", "metric", "context", "text", "scope"]
        return found[names].sort_values("role", ascending=False, kind="stable") if len(found) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        one.problems.append(f"statistics/statements.json cannot be read ({error}): its sentences are not shown.")
        return None
