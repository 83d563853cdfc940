"""report.html: every result, figure and table of a study on one page, to be opened without a network.

A pure function of the output folder. The page links figures where they lie and holds no picture itself; what it needs
beside (style, sorting, enlarging) is copied to `report/`. It can be written while a study still runs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from fer.figures.manifest import is_figure_path
from fer.report.facts import (
    RunState,
    data_table,
    left_out,
    machines,
    protocol,
    run_states,
    state_counts,
    states_table,
    test_reads,
)
from fer.report.paper_tables import paper_tables
from fer.report.table_formats import (
    TEMPLATES,
    Block,
    Cell,
    Column,
    PaperTable,
    Row,
    environment,
    number_cell,
    text_cell,
)
from fer.results.ensembles import with_derived
from fer.results.not_learned import not_learned
from fer.results.study_files import StoredStudy, read_study
from fer.results.tables import CLASS_TEXTS, read_results, read_validation
from fer.runs.epoch_words import PROGRESS
from utils import InputError, log, read_csv, read_json, write_changed

FORMATS = (".png", ".svg", ".pdf")
# Chapters of figures in reading order: title, and how the names of their folders begin.
FIGURE_CHAPTERS = {
    "data": ("The data in figures", ("class_dist", "sample", "image_", "bright", "selection", "face", "eda", "data")),
    "training": ("Training", ("learning", "training", "curves")),
    "results-figures": ("Results in figures", ("confusion", "metric", "model_comp", "comparison", "per_class",
                                               "augment", "individual", "combined", "tta")),
    "cross": ("Cross-dataset figures", ("cross", "generali", "leave")),
    "ensembles": ("Ensembles in figures", ("ensemble",)),
    "errors": ("Errors", ("error", "mistake", "confident")),
    "statistics-figures": ("Uncertainty, calibration and groups in figures", ("stat", "calib", "reliab", "risk",
                                                                            "interval", "group", "optim", "copies")),
    "cost": ("Cost in figures", ("cost", "speed")),
}  # fmt: skip
FIGURE_LISTS = ("figures.json", "picture_figures.json", "live_figures.json")  # in cache/, see figures/engine.py
OPEN_FIGURES = 24  # a folder with more is shown closed: opening the page loads none of it
STATISTICS = {
    "intervals": "95 % intervals", "seeds": "Mean and spread over seeds and folds",
    "comparisons": "Paired comparisons", "optimism": "What choosing the epoch on the test set is worth",
    "calibration": "Calibration", "groups": "Results per group",
}  # fmt: skip
ROWS_SHOWN = 200
FILES = (
    "results.csv", "validation_results.csv", "comprehensive_results.csv", "per_class_results.csv",
    "selection_funnel.csv", "test_reads.csv", "study.json", "statistics/statements.md",
)  # fmt: skip
# Beside the page, from templates/ and templates/vendor/.
ASSETS = (
    "report.css", "report.js", "vendor/pico/pico.classless.min.css", "vendor/tablesort/tablesort.min.js",
    "vendor/tablesort/tablesort.number.min.js", "vendor/glightbox/glightbox.min.css",
    "vendor/glightbox/glightbox.min.js",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A figure of the page: address below the output folder, words for it, size in pixels (0: not known)."""

    address: str
    words: str
    width: int
    height: int
    is_picture: bool


def write_report(output: Path, tables: list[PaperTable] | None = None) -> Path:
    """Write `output`/report.html and what it needs in `output`/report/; returns the page.

    `tables`: what paper_tables.write_paper_tables returned, where it has just run; else made from results.csv.
    Tables, figures, statistics and audit are shown as far as they are there; what is missing is said to be missing.
    Raises InputError when study.json cannot be used.
    """
    study = read_study(output)
    page = environment().get_template("report.html.jinja").render(_contents(study, tables))
    for name in ASSETS:
        write_changed(output / "report" / Path(name).name, (TEMPLATES / name).read_text(encoding="utf-8"))
    write_changed(output / "report.html", page)
    return output / "report.html"


def _contents(study: StoredStudy, tables: list[PaperTable] | None) -> dict[str, Any]:
    """Everything the template shows."""
    output, stored = study.output, read_json(study.output / "study.json")
    states = run_states(study)
    problems = left_out(study)
    tables = _result_tables(output, problems) if tables is None else tables
    statements, statistics = _statements(output, problems), _statistics(output, problems)
    return {
        "title": " + ".join(study.datasets),
        "made": _as_of(study, states),
        "sample": _sample_words(study),
        "limit": study.limit,
        "counts": state_counts(states),
        "progress": _progress(output, states),
        "planned": len(states),
        "not_learned": _not_learned(output),
        "states": states_table(states),
        "other_states": [one for one in states if one.state != "done" or one.note],
        "data": data_table(study, stored["counts"]),
        "protocol": protocol(study, stored["config"]),
        "reads": test_reads(output),
        "machines": machines(study),
        "config": stored["config"],
        "audit": _audit(study, problems),
        "sheets": _figures(output, sorted((output / "audit").glob("*.png"))),
        "chapters": list(_chapters(output)),
        "results": [table for table in tables if table.name.startswith(("comprehensive", "copies"))],
        "classes": [table for table in tables if table.name.startswith("per_class")],
        "costs": [table for table in tables if table.name == "cost"],
        "statements": statements,
        "statistics": statistics,
        "problems": problems,
        "files": [(name, quote(name)) for name in _files(output)],
        "runs_done": len(study.runs),
        "ensembles": sum(bool(run.members) and not run.folds for run in with_derived(study).runs),
    }


def _progress(output: Path, states: list[RunState]) -> str:
    """How far the grid is, as fer.study.grid_progress left it; empty where nothing runs."""
    try:
        text = str(read_json(output / PROGRESS)["text"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # no epoch is over yet, or the file is of a process that is gone
    return text if any(one.state == "running" for one in states) else ""


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


def _not_learned(output: Path) -> list[str]:
    """Networks at or below the majority class; what cannot be read is told among the tables."""
    try:
        return not_learned(read_results(output), read_validation(output))
    except InputError:
        return []


def _result_tables(output: Path, problems: list[str]) -> list[PaperTable]:
    try:
        classes = read_csv(output / "per_class_results.csv", CLASS_TEXTS)
        return paper_tables(output, read_results(output), classes)
    except (OSError, ValueError, KeyError, InputError) as error:
        problems.append(f"The tables are not shown: {error}")
        return []


def _files(output: Path) -> list[str]:
    found = [name for name in FILES if (output / name).is_file()]
    for folder in ("tables", "statistics", "audit"):
        found += [
            f"{folder}/{path.name}" for path in sorted((output / folder).glob("*")) if path.suffix in (".csv", ".tex")
        ]
    return found


# ---------------------------------------------------------------- what others leave


def _audit(study: StoredStudy, problems: list[str]) -> list[str] | None:
    """The audit in sentences; None when there is none."""
    folder = study.output / "audit"
    if not (folder / "audit.json").is_file():
        return None
    from fer.audit.audit import read_audit, summary

    try:
        findings = read_audit(folder, list(study.datasets))
        if findings is not None:
            return summary(findings)
    except (KeyError, TypeError, ValueError) as error:
        log.warning("%s is not shown: %s", folder / "audit.json", error)
    problems.append("audit/audit.json cannot be read: the audit is not shown. Run main.py --audit: it is made again.")
    return None


def _statements(output: Path, problems: list[str]) -> list[dict[str, Any]] | None:
    """statements.json grouped by test set; None when there is none."""
    path = output / "statistics" / "statements.json"
    try:
        stored = read_json(path)
        problems += [str(note) for note in stored["notes"] if str(note) not in problems]
        frame = pd.DataFrame(stored["statements"])
        if frame.empty:
            return []
        return [
            {"test_on": name, "rows": part.to_dict("records")} for name, part in frame.groupby("test_on", sort=False)
        ]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"statistics/statements.json cannot be read ({error}): its sentences are not shown.")
        return None


def _statistics(output: Path, problems: list[str]) -> list[PaperTable]:
    """The tables of statistics/, each up to ROWS_SHOWN rows."""
    tables = []
    for name, title in STATISTICS.items():
        path = output / "statistics" / f"{name}.csv"
        if not path.is_file():
            continue
        try:
            frame = read_csv(path)
        except (OSError, ValueError) as error:
            problems.append(f"statistics/{name}.csv cannot be read ({error}): it is not shown.")
            continue
        if len(frame):
            tables.append(table_of(name, title, frame))
    return tables


def table_of(name: str, title: str, frame: pd.DataFrame) -> PaperTable:
    """A CSV as a table of the page: columns with one value go to the caption, long ones are cut at ROWS_SHOWN."""
    same = [column for column in frame.columns if len(frame) > 1 and frame[column].nunique(dropna=False) == 1]
    shown = frame.drop(columns=same).head(ROWS_SHOWN)
    facts = [f"{column}: {frame[column].iloc[0]}" for column in same if pd.notna(frame[column].iloc[0])]
    cut = f"The first {ROWS_SHOWN} of {len(frame):,} rows; all are in {name}.csv." if len(frame) > ROWS_SHOWN else ""
    numbers = {column: pd.api.types.is_numeric_dtype(shown[column]) and shown[column].dtype != bool for column in shown}
    columns = tuple(Column(str(column), is_number=numbers[column]) for column in shown)
    rows = tuple(
        Row(tuple(_value_cell(value) for value in record))
        for record in shown.astype(object).itertuples(index=False, name=None)
    )
    return PaperTable(name, title, " ".join(filter(None, [cut, "; ".join(facts)])), columns, (Block("", rows),))


def _value_cell(value: Any) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_cell(float(value), digits=0 if float(value).is_integer() and abs(value) > 1 else 3)
    return text_cell(None if pd.isna(value) else value)


# ---------------------------------------------------------------- figures


def _chapters(output: Path) -> Iterator[dict[str, Any]]:
    """Chapters of figures that have any, each with its folders; folders nobody knows stand in the last."""
    folders: dict[str, list[Path]] = {}
    for path in _figure_files(output):
        folders.setdefault(path.parent.relative_to(output).as_posix(), []).append(path)
    chapters: dict[str, list[str]] = {name: [] for name in [*FIGURE_CHAPTERS, "more"]}
    for folder in folders:
        starts = ((name, start) for name, (_, starts) in FIGURE_CHAPTERS.items() for start in starts)
        chapters[next((name for name, start in starts if folder.lower().startswith(start)), "more")].append(folder)
    for name, members in chapters.items():
        if members:
            yield {
                "name": name,
                "title": FIGURE_CHAPTERS[name][0] if name in FIGURE_CHAPTERS else "More figures",
                "folders": [
                    {
                        "words": folder.replace("_", " ").replace("/", ": "),
                        "figures": _figures(output, folders[folder]),
                        "open": len(folders[folder]) <= OPEN_FIGURES,
                    }
                    for folder in members
                ],
            }


def _figure_files(output: Path) -> list[Path]:
    """The study's figures: those in the figures' own lists, else what lies in folders with figures' names."""
    lists = [path for name in FIGURE_LISTS if (path := output / "cache" / name).is_file()]
    try:
        listed = [output / name for path in lists for name in read_json(path) if is_figure_path(name)]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        lists = []
    if not lists:
        starts = tuple(start for _, starts in FIGURE_CHAPTERS.values() for start in starts)
        folders = [path for path in output.iterdir() if path.is_dir() and path.name.lower().startswith(starts)]
        listed = [path for folder in folders if folder.name != "datasets" for path in folder.rglob("*")]
    return sorted(path for path in listed if path.suffix in FORMATS and path.is_file())


def _figures(output: Path, paths: list[Path]) -> list[Figure]:
    return [_figure(output, path) for path in paths]


def _figure(output: Path, path: Path) -> Figure:
    width, height = _png_size(path) if path.suffix == ".png" else (0, 0)
    words = path.stem.replace("__", ", ").replace("_", " ")
    return Figure(quote(path.relative_to(output).as_posix()), words, width, height, path.suffix != ".pdf")


def _png_size(path: Path) -> tuple[int, int]:
    """Width and height from the first 24 bytes (PNG specification, IHDR); 0, 0 when it is no PNG."""
    with path.open("rb") as stream:
        head = stream.read(24)
    return struct.unpack(">II", head[16:24]) if head[12:16] == b"IHDR" else (0, 0)
