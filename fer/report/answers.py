"""The one sentence each section of the page begins with, made from the tables of a study. "" where nothing is known."""

from __future__ import annotations

from typing import Any

import pandas as pd

from fer.findings.finding import Finding, counted, listed, metric_words
from fer.report.page_tables import PageTable
from fer.results.study_files import StoredRun, StoredStudy
from fer.statistics.families import TIE
from utils import duration

NOT_MADE = "Not made yet."
OTHER_RUNS = "Runs of earlier plans lie here too: by validation, beside those of this plan (python main.py --compare)."
CALIBRATED = {
    "temperature": "with a temperature",
    "prior corrected": "with corrected priors",
    "prior corrected, temperature": "with both",
}
PACKAGES = {"python": "Python", "torch": "torch", "timm": "timm"}


def data(counts: dict[str, dict[str, int]], sample: str) -> str:
    """`counts`: rows by split and dataset."""
    total = sum(sum(splits.values()) for splits in counts.values())
    each = [f"{name} {sum(splits.values()):,} ({splits.get('test', 0):,} to test)" for name, splits in counts.items()]
    return f"{total:,} pictures are in use: {listed(each)}{f'; {sample}' if sample else ''}."


def protocol(study: StoredStudy, config: dict[str, Any]) -> str:
    """How choices were made, in a sentence."""
    tested = {
        True: "test sets are scored by finished runs only",
        False: "no test set is scored: all numbers are of validation rows",
    }.get(config.get("EVALUATE_TEST"), "whether test sets were scored is not recorded")  # type: ignore[arg-type]
    return (
        f"Validation chooses, by {metric_words(study.primary_metric)}; {tested}; declared before the run to be "
        f"compared: {listed(study.primary_comparisons)}."
    )


def finding(findings: list[Finding], *rules: str) -> str:
    """The findings of `rules` in their short form, as a sentence."""
    found = "; ".join(one.short for one in findings if one.rule in rules)
    return f"{found[:1].upper()}{found[1:]}." if found else ""


def training(runs: list[StoredRun], planned: int) -> str:
    """`runs`: the finished trainings."""
    if not runs:
        return "No run is finished yet."
    kept = sum(int(run.facts["best_epoch"]) == int(run.facts["epochs"]) for run in runs)
    seconds = [float(run.facts["train_seconds"]) for run in runs]
    last = (
        f"; {kept} of them kept their last epoch and might gain from more (EPOCHS)"
        if kept
        else "; none kept its last epoch, so more epochs promise little"
    )
    return (
        f"{len(runs)} of {counted(planned, 'run')} are trained, in {duration(sum(seconds))} together, the longest in "
        f"{duration(max(seconds))}{last}."
    )


def cost(runs: list[StoredRun]) -> str:
    """The smallest and the largest network, and how long one face takes."""
    sizes = {run.run["model"]: float(run.facts["parameters"]) / 1e6 for run in runs if run.facts.get("parameters")}
    times = [float(run.facts["latency_ms"]) for run in runs if run.facts.get("latency_ms")]
    if not sizes:
        return "Nothing is measured yet."
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    ends = f"{small} has {sizes[small]:.3g} M parameters"
    ends += f", {large} {sizes[large]:.3g} M" if small != large else ""
    faces = f"; one face takes {min(times):.2g} to {max(times):.2g} ms" if times else ""
    return f"{ends}{faces}."


def calibration(table: pd.DataFrame | None) -> str:
    """How far confidences are from the share of right answers, before and after a temperature."""
    if table is None or not {"is_within", "probabilities", "ece"} <= set(table.columns) or table["ece"].isna().all():
        return NOT_MADE
    errors = table[table["is_within"].astype(bool)].groupby("probabilities", sort=False)["ece"].median()
    each = [f"{100 * error:.1f} points {CALIBRATED.get(str(words), words)}" for words, error in errors.items()]
    return (
        "Confidence and share of right answers differ, in the median over networks on their own data, by "
        f"{listed(each)}." if each else NOT_MADE
    )  # fmt: skip


def groups(table: pd.DataFrame | None) -> str:
    """How many groups of test pictures are shown to be worse than the best of their attribute."""
    needed = {"gap", "gap_low", "attribute", "group", "test_on"}
    if table is None or not needed <= set(table.columns) or table["gap_low"].isna().all():
        return "No two groups of test pictures are large enough to be compared." if table is not None else NOT_MADE
    known = table[table["gap_low"].notna()]
    shown = known[known["gap_low"] > 0]
    if shown.empty:
        return f"None of {counted(len(known), 'group')} is shown to be worse than the best of its attribute."
    worst = shown.iloc[int(shown["gap"].to_numpy().argmax())]
    return (
        f"{len(shown)} of {counted(len(known), 'group')} are shown to be worse than the best of their attribute, most "
        f"{worst['attribute']} {worst['group']} on {worst['test_on']} ({100 * worst['gap']:.0f} points of accuracy)."
    )


def statistics(comparisons: pd.DataFrame | None) -> str:
    """How many of the comparisons declared before the run show a difference, and of the others."""
    if comparisons is None or not {"role", "verdict"} <= set(comparisons.columns):
        return NOT_MADE
    if comparisons.empty:
        return "No two trainings answered the same test pictures: nothing to compare."
    said = []
    for role, words in (("primary", "comparisons declared before the run"), ("exploratory", "exploratory ones")):
        part = comparisons[comparisons["role"] == role]
        if len(part):
            said.append(f"{int((part['verdict'] != TIE).sum()):,} of {len(part):,} {words}")
    return f"A difference is shown by {listed(said)}; what is not shown may still be there."


def versions(machines: list[tuple[str, str]], config: dict[str, Any]) -> str:
    """What it ran on."""
    known = dict(machines)
    names = [f"{words} {known[name]}" for name, words in PACKAGES.items() if name in known]
    names += [known[name] for name in ("gpu", "cpu") if known.get(name) not in (None, "None", "")][:1]
    ran = f"Trained with {listed(names)}; " if names else "No run is finished yet, so versions are not known; "
    return f"{ran}{len(config)} values of the config."


def audit(findings: list[Finding], sentences: list[str] | None) -> str:
    """What the audit warns of."""
    if sentences is None:
        return "Not made: there is no usable audit/audit.json."
    return finding(findings, "audit") or (
        f"{counted(len(sentences), 'sentence')} on copies, labels and quality; none is a warning."
    )


def files(names: list[str], problems: list[str]) -> str:
    """What lies beside the page."""
    left = counted(len(problems), "note") + " on what is left out below" if problems else "every file could be used"
    return f"{counted(len(names), 'table')} and other files lie beside this page; {left}."


def runs(states: dict[str, int]) -> str:
    """`states`: how many runs are in each state."""
    return f"{', '.join(f'{count} {state}' for state, count in states.items() if count)}."


def results(findings: list[Finding], tables: list[PageTable]) -> str:
    """What validation chooses."""
    return finding(findings, "chosen network") or (
        "Every score is in the tables below."
        if tables
        else "No run is scored on a test set yet, or its tables are left out."
    )
