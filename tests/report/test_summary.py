"""The end of a command: findings and where to look, never more than a screen, and all of it in the log as well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_study import FakeStudy

from fer.findings.finding import LIMIT, SCORE, Finding
from fer.report.summary import COLUMNS, LINES, print_summary, summary_lines
from fer.results.ensembles import with_derived
from fer.results.study_files import StoredStudy, read_study
from utils import log, start_logging

LAST = Finding("limits", "…", "beware: one seed", LIMIT, "state")


def stored(output: Path, **more: object) -> StoredStudy:
    return with_derived(read_study(FakeStudy(output, **more).output))  # type: ignore[arg-type]


def finding(words: str) -> Finding:
    return Finding("rule", "…", words, SCORE, "results")


def test_every_finding_is_there_and_where_to_look(tmp_path: Path) -> None:
    found = [finding(f"question {number}: answered") for number in range(11)]
    lines = summary_lines(stored(tmp_path, sample_data=("studio",)), [*found, LAST], tmp_path / "report.html")
    assert lines[0] == "studio and wild · 3 runs · one seed · macro-F1 · SAMPLE DATA: drawn faces"
    assert [line for line in lines if line.startswith("- ")] == [f"- {one.short}" for one in [*found, LAST]]
    assert "training: 38 s for 3 runs, the longest 12 s" in lines
    assert lines[-2].endswith("report.html") and lines[-1].endswith("findings.md")


def test_a_screen_is_enough_and_the_last_finding_never_left_out(tmp_path: Path) -> None:
    long = " ".join(["ensembles_of_many_networks"] * 12)
    lines = summary_lines(stored(tmp_path), [finding(long) for _ in range(11)] + [LAST], Path("report.html"))
    assert len(lines) <= LINES and max(map(len, lines)) <= COLUMNS
    assert "- beware: one seed" in lines
    assert any("more in findings.md" in line for line in lines)


def test_no_word_is_cut(tmp_path: Path) -> None:
    words = "studio+wild " * 20
    lines = summary_lines(stored(tmp_path), [finding(words), LAST], Path("report.html"))
    assert " ".join(lines).count("studio+wild") == 20


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    study = replace(stored(tmp_path), left_out=("one is missing.", "two is.", "three is."))
    lines = summary_lines(study, [], Path("report.html"))
    assert "left out: one is missing." in lines and "1 more left out: see the report" in lines
    assert "No run is scored yet: nothing is found." in lines


def test_the_log_ends_with_it_after_a_line_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = FakeStudy(tmp_path / "out")
    start_logging(tmp_path / "log.txt")
    print_summary(study.output, [LAST], Path("report.html"))
    for handler in log.handlers:
        handler.close()
    start_logging()
    logged = [line.split(" INFO ", 1)[1] for line in (tmp_path / "log.txt").read_text().splitlines()]
    shown = capsys.readouterr()
    assert logged[-len(shown.out.splitlines()) :] == shown.out.splitlines()
    assert "beware" not in shown.err, "once on the terminal"
    names = [planned.name for planned in study.plan()]
    assert [line.split(":")[0] for line in logged[:3]] == names and "trained in 12 s" in logged[0]
