"""A finding, and the words all findings share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro-F1",
    "cohen_kappa": "Cohen's kappa",
}
# How sure a finding is. A "count" needs no test; a "score" has an interval and no verdict.
SHOWN, NOT_SHOWN, SCORE, COUNT, LIMIT = "shown", "not shown", "score", "count", "limit"
# Sections of the page, as `Finding.see` names them.
RESULTS, STATISTICS, CROSS, CLASSES, AUDIT, STATE = "results", "statistics", "results", "errors", "audit", "protocol"
SETTINGS = "settings"
MANY = 3  # datasets named one by one; of more, the range and its ends


@dataclass(frozen=True)
class Finding:
    """One sentence, the same in a line for the terminal (`short`), and the numbers behind it.

    `estimate`, `low`, `high`: a score or a difference, 0 to 1, with its 95 % interval; None where there is none.
    `n`: test pictures; `seeds`: trainings of each network that differ in the seed alone; `dataset`: "" for all.
    `strength`: SHOWN, NOT_SHOWN, SCORE, COUNT or LIMIT. `see`: id of the page's section with the evidence.
    """

    rule: str
    sentence: str
    short: str
    strength: str
    see: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    seeds: int | None = None
    dataset: str = ""


def metric_words(metric: str) -> str:
    """The metric as a paper writes it."""
    return METRIC_WORDS.get(metric, metric.replace("_", " "))


def score_words(value: float, low: float | None = None, high: float | None = None) -> str:
    """A score with its interval: "0.614 (95 % interval 0.540 to 0.680)"."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return f"{value:.3f}"
    return f"{value:.3f} (95 % interval {low:.3f} to {high:.3f})"


def difference_words(value: float, low: float, high: float) -> str:
    """A difference with its interval: "+0.021 (interval −0.004 to +0.046)"."""
    return f"{signed(value)} (interval {signed(low)} to {signed(high)})"


def signed(value: float) -> str:
    """With its sign, a true minus, and as many digits as it takes not to read as zero."""
    digits = next((digits for digits in (3, 4, 5) if round(value, digits) != 0), 3)
    return f"{value:+.{digits}f}".replace("-", "−")


def seeds_words(seeds: int) -> str:
    """ "one seed", "3 seeds"."""
    return "one seed" if seeds == 1 else f"{seeds} seeds"


def counted(count: int, noun: str) -> str:
    """ "1 pair", "12 pairs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
