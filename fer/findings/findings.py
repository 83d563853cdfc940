"""The findings of a study: rules over its tables, each making sentences, twelve at most.

`write_findings` leaves two files in the output folder: findings.md, to read, and findings.csv, a row per finding with
the columns of `Finding`. `read_findings` gives them back, for the page and the terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from fer.findings.choice import best_numbers, chosen_networks
from fer.findings.classes import failing_classes
from fer.findings.evidence import Evidence, read_evidence
from fer.findings.finding import NOT_SHOWN, Finding, counted, listed, metric_words, seeds_words
from fer.findings.grid import grid_choice
from fer.findings.help import across_datasets, what_helps
from fer.findings.limits import limits
from fer.findings.warnings import audit_warnings
from fer.results.study_files import StoredStudy
from utils import InputError, read_csv, write_changed

MOST = 12
# In the order they are read. Together they make MOST at most: a rule of many datasets sums up.
RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    chosen_networks, best_numbers, grid_choice, what_helps, across_datasets, failing_classes, audit_warnings, limits,
)  # fmt: skip
NOTHING_YET = "No run is scored yet: nothing is found."
NOTE = (
    "Intervals are 95 %, those of the differences for all questions together. Test pictures and, from three trainings "
    "on, trainings are drawn anew (fer/statistics/effects.py). Validation chooses; test only scores."
)
TEXTS = ("rule", "sentence", "short", "strength", "see", "dataset")


def find(evidence: Evidence) -> list[Finding]:
    """The findings, in the order they are read; of more than MOST, those that show no difference leave, last first."""
    found = [finding for rule in RULES for finding in rule(evidence)]
    unshown = [finding for finding in found if finding.strength == NOT_SHOWN]
    surplus = unshown[-(len(found) - MOST) :] if len(found) > MOST else []
    return [finding for finding in found if finding not in surplus]


def write_findings(output: Path) -> list[Finding]:
    """Write findings.md and findings.csv; returns the findings. None are made before a run is scored.

    Made from the tables and statistics under `output`: raises InputError where these are not there.
    """
    evidence = read_evidence(output)
    scored = len(evidence.test) or len(evidence.validation)
    found = find(evidence) if scored else []
    names = [field.name for field in fields(Finding)]
    table = pd.DataFrame([asdict(one) for one in found], columns=names).astype({"n": "Int64", "seeds": "Int64"})
    write_changed(output / "findings.csv", table.to_csv(index=False, lineterminator="\n"))
    write_changed(output / "findings.md", as_markdown(evidence.study, found))
    return found


def read_findings(output: Path) -> list[Finding]:
    """What `write_findings` wrote. Raises InputError where it is not there or damaged."""
    path = output / "findings.csv"
    try:
        table = read_csv(path, TEXTS).astype({"n": "Int64", "seeds": "Int64"})
        rows = table.fillna(dict.fromkeys(TEXTS, "")).astype(object)
        records = rows.where(rows.notna(), None).to_dict("records")
        return [Finding(**{str(name): value for name, value in record.items()}) for record in records]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is made again.") from error


def title(study: StoredStudy) -> str:
    """The study in a line: datasets, runs, seeds, and whether its faces are drawn."""
    seeds = len({run["seed"] for run in study.planned.values()})
    drawn = " · SAMPLE DATA: drawn faces" if study.sample_data else ""
    done = sum(run.name in study.planned for run in study.runs)
    runs = counted(done, "run") if done == len(study.planned) else f"{done} of {len(study.planned)} runs"
    return f"{listed(study.datasets)} · {runs} · {seeds_words(seeds)} · {metric_words(study.primary_metric)}{drawn}"


def as_markdown(study: StoredStudy, found: list[Finding]) -> str:
    """findings.md."""
    lines = ["# Findings", "", title(study), ""]
    lines += [f"{number}. {one.sentence}" for number, one in enumerate(found, 1)] or [NOTHING_YET]
    return "\n".join([*lines, "", NOTE, ""])
