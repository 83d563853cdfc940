"""What the audit of the data warns of, added up over the datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fer.findings.evidence import Evidence
from fer.findings.finding import AUDIT, COUNT, Finding, counted, listed

Found = dict[str, Any]


def _doubtful(found: Found) -> int:
    return sum(count for flag, count in found["quality"].items() if flag != "rows")


# What is counted in each dataset: the words, and the count.
COUNTS: dict[str, Callable[[Found], int]] = {
    "test picture{s} that also stand{v} in the training data as delivered": (
        lambda found: found["exact"]["across"].get("test in train", 0)
    ),
    "test picture{s} with a near copy in training": lambda found: found["near"]["across"].get("test in train", 0),
    "group{s} of identical pictures with different labels": lambda found: found["exact"]["conflicting_groups"],
    "pair{s} of near copies with different labels": lambda found: found["near"]["conflicting_pairs"],
    "blank, small, dark or blurred picture{s}": _doubtful,
    "class count{s} unlike those the dataset is known for": lambda found: len(found["unexpected_counts"]),
}


def audit_warnings(evidence: Evidence) -> Iterator[Finding]:
    """One sentence: what was counted, and where there is most of it."""
    if evidence.audit is None:
        return
    datasets = evidence.audit["datasets"]
    parts = [words for name, count in COUNTS.items() if (words := _counted(name, count, datasets))]
    between = sum(evidence.audit["exact_across_datasets"].values())
    parts += [_between(between, len(datasets))] if between else []
    rows = sum(found["quality"]["rows"] for found in datasets.values())
    if parts:
        sentence = f"The audit of {rows:,} pictures warns of {listed(parts)}."
    else:
        nothing = "no copies across splits, no conflicting labels and no poor pictures"
        sentence = f"The audit of {rows:,} pictures found {nothing}."
    yield Finding("audit", sentence, f"audit: {'; '.join(parts) or 'nothing to warn of'}", COUNT, AUDIT, n=rows)


def _between(count: int, datasets: int) -> str:
    """Of three datasets and more, a row with copies in two others is counted for each of them."""
    if datasets == 2:
        return f"{counted(count, 'row')} with an identical picture in the other dataset"
    return f"{counted(count, 'identical picture')} found in another dataset, a row counted once for each"


def _counted(words: str, count: Callable[[Found], int], datasets: dict[str, Found]) -> str:
    counts = {name: count(found) for name, found in datasets.items()}
    total = sum(counts.values())
    if not total:
        return ""
    most = max(counts, key=lambda name: counts[name])
    where = f" ({most})" if counts[most] == total else f" (most in {most}: {counts[most]:,})"
    plural, verb = ("", "s") if total == 1 else ("s", "")
    return f"{total:,} {words.format(s=plural, v=verb)}{where if len(datasets) > 1 else ''}"
