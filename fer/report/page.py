"""report.html: what was found on the first screen, and everything behind it below, to be opened without a network.

A pure function of the output folder. The page links figures where they lie and holds no picture itself; what it needs
beside (style, sorting, enlarging) is copied to `report/`. It can be written while a study still runs.

    first_screen    findings, and one table
    sections        Data to Files: a sentence, a figure, the rest folded
    answers         those sentences
    run_sections    a section per run
    page_figures, page_tables    figures and tables as the page shows them
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from fer.findings.evidence import Evidence, read_evidence
from fer.findings.finding import metric_words
from fer.findings.findings import NOTHING_YET, read_findings, title
from fer.report.facts import RunState, left_out, run_states, state_counts
from fer.report.first_screen import chosen_table, page_findings
from fer.report.page_figures import Figure, first_screen, page_figures
from fer.report.paper_tables import paper_tables
from fer.report.run_sections import run_sections
from fer.report.sections import Material, sections
from fer.report.table_formats import TEMPLATES, PaperTable, environment
from fer.results.ensembles import with_derived
from fer.results.not_learned import not_learned, with_adjusted_loss
from fer.results.study_files import StoredStudy, read_study
from fer.results.tables import CLASS_TEXTS, read_results, read_validation
from fer.runs.epoch_words import PROGRESS
from utils import InputError, read_csv, read_json, write_changed

T = TypeVar("T")
NO_FINDINGS = "No findings are shown: they are made at the end of a grid, and by python main.py --report."
# Beside the page, from templates/ and templates/vendor/.
ASSETS = (
    "report.css", "report.js", "vendor/pico/pico.classless.min.css", "vendor/tablesort/tablesort.min.js",
    "vendor/tablesort/tablesort.number.min.js", "vendor/glightbox/glightbox.min.css",
    "vendor/glightbox/glightbox.min.js",
)  # fmt: skip


def write_report(output: Path, tables: list[PaperTable] | None = None) -> Path:
    """Write `output`/report.html and what it needs in `output`/report/; returns the page.

    `tables`: what paper_tables.write_paper_tables returned, where it has just run; else made from results.csv.
    Findings, tables, figures, statistics and audit are shown as far as they are there; what is missing is said to be
    missing. Raises InputError when study.json cannot be used.
    """
    page = environment().get_template("report.html.jinja").render(_contents(read_study(output), tables))
    for name in ASSETS:
        write_changed(output / "report" / Path(name).name, (TEMPLATES / name).read_text(encoding="utf-8"))
    write_changed(output / "report.html", page)
    return output / "report.html"


def _contents(study: StoredStudy, tables: list[PaperTable] | None) -> dict[str, Any]:
    """Everything the template shows."""
    output, states, figures = study.output, run_states(study), page_figures(study.output)
    problems = left_out(study)
    evidence = _or_problem(lambda: read_evidence(output), "The first table is not shown", problems)
    read = _or_problem(lambda: read_findings(output), "Findings are not shown", problems)
    findings = read or []
    if tables is None:
        tables = _or_problem(lambda: _paper_tables(output), "The tables are not shown", problems) or []
    material = Material(
        study, read_json(output / "study.json"), states, findings, tables, figures, _not_learned(output, study),
        _sample_words(study), problems,
    )  # fmt: skip
    running = {one.name for one in states if one.state == "running"}
    return {
        "heading": " + ".join(study.datasets),
        "title": title(study),
        "made": _as_of(study, states),
        "sample": material.sample,
        "limit": study.limit,
        "counts": state_counts(states),
        "planned": len(states),
        "stopped": [one for one in states if one.state == "failed" or (one.state == "done" and one.note)],
        "progress": _progress(output) if running else "",
        "live": [figure for figure in figures if figure.run in running],
        "findings": page_findings(findings),
        "nothing_yet": NO_FINDINGS if read is None else NOTHING_YET,
        "chosen": None if evidence is None else chosen_table(evidence),
        "figures": first_screen(figures),
        "sections": sections(material),
        "runs": _runs(study, states, evidence, figures),
    }


def _or_problem(make: Callable[[], T], what: str, problems: list[str]) -> T | None:
    """What `make` returns; None where a file it needs is missing or damaged, with a sentence added to `problems`."""
    try:
        return make()
    except (OSError, ValueError, KeyError, InputError) as error:
        problems.append(f"{what}: {error}")
        return None


def _paper_tables(output: Path) -> list[PaperTable]:
    classes = read_csv(output / "per_class_results.csv", CLASS_TEXTS)
    return paper_tables(output, read_results(output), classes)


def _runs(study: StoredStudy, states: list[RunState], evidence: Evidence | None, figures: list[Figure]) -> list[Any]:
    """The sections of all runs, with their validation scores on their own data."""
    scores = {}
    if evidence is not None and len(evidence.validation):
        rows = evidence.validation[evidence.validation["tta"] == "none"]
        is_own = [one in sets.split("+") for one, sets in zip(rows["test_on"], rows["train_on"], strict=True)]
        means = rows[is_own].groupby("run")[evidence.metric].mean()
        words = metric_words(evidence.metric)
        scores = {str(run): f"validation {words} {score:.3f}" for run, score in means.items()}
    return run_sections(with_derived(study), states, scores, figures)


def _progress(output: Path) -> str:
    """How far the grid is, as fer.study.grid_progress left it."""
    try:
        return str(read_json(output / PROGRESS)["text"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # no epoch is over yet


def _as_of(study: StoredStudy, states: list[RunState]) -> str:
    """When the last run was finished, so that a page with nothing new stays as it is; now, while runs are to come."""
    times = [(run.folder / "run.json").stat().st_mtime for run in study.runs]
    done = bool(times) and all(one.state == "done" for one in states)
    moment = datetime.fromtimestamp(max(times)) if done else datetime.now()
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}"


def _sample_words(study: StoredStudy) -> str:
    drawn = [name for name in study.datasets if study.is_sample(name)]
    if not drawn:
        return ""
    return "all datasets are drawn faces" if len(drawn) == len(study.datasets) else f"drawn faces: {', '.join(drawn)}"


def _not_learned(output: Path, study: StoredStudy) -> list[str]:
    """Networks at or below the majority class; what cannot be read is told among the tables."""
    try:
        return not_learned(read_results(output), read_validation(output), with_adjusted_loss(study))
    except InputError:
        return []
