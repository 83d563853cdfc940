"""The end of a command, in the terminal and in the log: what was found, and where to look. 25 lines of 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from fer.console.terminal import console as new_console
from fer.findings.finding import Finding
from fer.findings.findings import NOTHING_YET, title
from fer.results.ensembles import with_derived
from fer.results.study_files import StoredRun, StoredStudy, read_study
from utils import duration, log_to_file

LINES, COLUMNS = 25, 100
LEFT_OUT = 2  # reasons told in full; the page has all


def print_summary(output: Path, findings: Sequence[Finding], page: Path) -> None:
    """Print what was found to standard output, and to the log file after a line per training."""
    study = with_derived(read_study(output))
    lines = summary_lines(study, findings, page)
    console = new_console(soft_wrap=True)
    for line in lines:
        console.print(line)
    log_to_file([*training_lines(study), *lines])


def summary_lines(study: StoredStudy, findings: Sequence[Finding], page: Path) -> list[str]:
    """At most LINES lines of COLUMNS characters; a longer word than that (a path) is left whole."""
    head = _wrapped(title(study))
    tail = [*_left_out(study), *_wrapped(_trained(study)), f"report: {page}", f"        {page.parent / 'findings.md'}"]
    room = LINES - len(head) - len(tail) - 2  # an empty line on both sides
    return [*head, "", *_fitting(findings, room), "", *tail]


def _fitting(findings: Sequence[Finding], room: int) -> list[str]:
    """The findings in their short form, as many as fit, the last always among them: it says what is not known."""
    if not findings:
        return [NOTHING_YET]
    blocks = [_wrapped(f"- {one.short}", "  ") for one in findings]
    hidden = 0
    while sum(map(len, blocks)) + bool(hidden) > room and len(blocks) > 2:
        del blocks[-2]
        hidden += 1
    more = [f"  {hidden} more in findings.md"] if hidden else []
    return [line for block in blocks[:-1] for line in block] + more + blocks[-1]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )  # fmt: skip


def _left_out(study: StoredStudy) -> list[str]:
    told = [line for reason in study.left_out[:LEFT_OUT] for line in _wrapped(f"left out: {reason}", "  ")]
    more = len(study.left_out) - LEFT_OUT
    return told + ([f"{more} more left out: see the report"] if more > 0 else [])


def _trained(study: StoredStudy) -> str:
    """How long the trainings took together."""
    seconds = [float(run.facts["train_seconds"]) for run in _trainings(study)]
    if not seconds:
        return ""
    runs = "1 run" if len(seconds) == 1 else f"{len(seconds)} runs"
    return f"training: {duration(sum(seconds))} for {runs}, the longest {duration(max(seconds))}"


def _trainings(study: StoredStudy) -> list[StoredRun]:
    return [run for run in study.runs if not run.members and not run.folds]


def training_lines(study: StoredStudy) -> Iterator[str]:
    """A line per training, for the log: its epochs and seconds."""
    for run in _trainings(study):
        facts = run.facts
        epochs = f"kept epoch {facts['best_epoch']} of {facts['epochs']}"
        yield f"{run.name}: {epochs}, trained in {duration(float(facts['train_seconds']))}"
