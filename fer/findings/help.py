"""Does it help? One sentence a question, from statistics/effects.csv: all matched pairs of the study at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fer.findings.evidence import Evidence
from fer.findings.finding import (
    CROSS,
    NOT_SHOWN,
    SHOWN,
    STATISTICS,
    Finding,
    counted,
    difference_words,
    metric_words,
    seeds_words,
    signed,
)
from fer.statistics import effects

# question: what is done, and to what it is compared.
ACTIONS = {
    "preprocessing": ("Preprocessing", "the raw pictures"),
    "augmentation": ("Augmentation", "preprocessing alone"),
    "preprocessing and augmentation": ("Preprocessing and augmentation", "the raw pictures"),
    "combining sets": ("Training on several datasets", "training on the tested one alone"),
    "TTA": ("Test-time augmentation", "one view"),
    "ensembling": ("A soft vote of all networks", "the one network validation chooses"),
}
Row = dict[str, Any]


def what_helps(evidence: Evidence) -> Iterator[Finding]:
    """One sentence per question that the study can answer, but for other datasets."""
    for question, (action, reference) in ACTIONS.items():
        if row := _row(evidence, question):
            yield _finding(evidence, row, question, f"{action} {_verdict(row)}", reference)


def across_datasets(evidence: Evidence) -> Iterator[Finding]:
    """What is lost on a dataset not trained on, against the same network trained on it, and where most."""
    row = _row(evidence, "other dataset")
    if row is None:
        return
    metric = metric_words(evidence.metric)
    lost = {effects.LOWER: "scores lower", effects.HIGHER: "scores higher"}.get(row["verdict"])
    verdict = f"A network {lost}" if lost else "No difference is shown for a network"
    most = f"; most from {row['smallest_where']} ({signed(row['smallest'])})"
    sentence = (
        f"{verdict} on a dataset it was not trained on, compared with the same network trained on it: "
        f"{metric} {_numbers(row)}{most if row['smallest_where'] != row['largest_where'] else ''}; {_basis(row)}."
    )
    yield _as_finding("other dataset", sentence, row, CROSS)


def _row(evidence: Evidence, question: str) -> Row | None:
    table = evidence.effects
    found = table[(table["question"] == question) & (table["metric"] == evidence.metric)]
    return None if found.empty else {str(name): value for name, value in found.to_dict("records")[0].items()}


def _verdict(row: Row) -> str:
    return {effects.HIGHER: "helps", effects.LOWER: "harms"}.get(row["verdict"], "is not shown to help or to harm")


def _finding(evidence: Evidence, row: Row, question: str, claim: str, reference: str) -> Finding:
    where = ""
    if row["smallest_where"] != row["largest_where"]:
        where = (
            f", from {signed(row['smallest'])} ({row['smallest_where']}) to {signed(row['largest'])} "
            f"({row['largest_where']})"
        )
    sentence = f"{claim}: {metric_words(evidence.metric)} {_numbers(row)} against {reference}{where}; {_basis(row)}."
    return _as_finding(question, sentence, row, STATISTICS)


def _numbers(row: Row) -> str:
    return difference_words(row["difference"], row["low_adjusted"], row["high_adjusted"])


def _basis(row: Row) -> str:
    """Over how much the mean was taken, and of what it speaks."""
    basis = f"mean of {counted(int(row['pairs']), 'matched pair')}, {seeds_words(int(row['n_seeds']))}"
    return f"{basis}, these weights only" if row["weights_only"] else basis


def _short(rule: str, row: Row, metric: str) -> str:
    """ "augmentation: no difference shown, macro-F1 +0.041 (interval −0.097 to +0.178), 8 pairs"."""
    pairs = counted(int(row["pairs"]), "pair")
    return f"{rule}: {row['verdict']}, {metric_words(metric)} {_numbers(row)}, {pairs}"


def _as_finding(rule: str, sentence: str, row: Row, see: str) -> Finding:
    strength = NOT_SHOWN if row["verdict"] == effects.NOT_SHOWN else SHOWN
    difference, low, high = (float(row[name]) for name in ("difference", "low_adjusted", "high_adjusted"))
    return Finding(
        rule,
        sentence,
        _short(rule, row, str(row["metric"])),
        strength,
        see,
        difference,
        low,
        high,
        n=int(row["n"]),
        seeds=int(row["n_seeds"]),
    )
