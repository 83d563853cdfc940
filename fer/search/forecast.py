"""What a search will do, in words: for --check and --plan, and when it begins."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

from fer.metrics.metrics import METRICS
from fer.search.storage import place_of
from fer.search.worker import at_point
from fer.settings.messages import quote
from fer.settings.search import Range, size_of, tried_points
from fer.settings.settings import Settings
from fer.study.plan import Study, planned_runs
from fer.study.plan_estimate import Estimate, estimate_plan
from fer.study.speed import SpeedBook, speed_book
from utils import duration, log

MOST_TIMED = 8  # points whose cost is estimated


def search_lines(settings: Settings) -> Iterator[str]:
    """How many trials over what, chosen how, noted where."""
    trials = settings.search_trials
    points = size_of(settings.search)
    of = f" (of {points:,.0f} points)" if isfinite(points) else ""
    over = "; ".join(f"{name}: {_axis_words(axis)}" for name, axis in settings.search.items())
    yield f"search: at most {trials:,} trials{of} over {over}"
    yield (
        f"  chosen by validation {METRICS[settings.primary_metric].words}; trials are noted in {place_of(settings)}. "
        "The same command, started again or several times, works on the same search"
    )
    if settings.evaluate_test:
        yield "  EVALUATE_TEST = True is ignored while searching: no test set is read, no test prediction is made"


def _axis_words(axis: Any) -> str:
    if not isinstance(axis, Range):
        return ", ".join(axis) if isinstance(axis, dict) else ", ".join(map(quote, axis))
    how = " by size" if axis.log else f" in steps of {axis.step}" if axis.step else ""
    return f"{axis.low} to {axis.high}{how}"


def time_line(study: Study, book: SpeedBook) -> str:
    """At most how long the search takes here: its costliest trial, by the speeds of this machine, times SEARCH_TRIALS.

    Of some of the ends and choices; trials that are done count too.
    """
    points = tried_points(study.settings.search)
    points = points[:: max(len(points) // MOST_TIMED, 1)]
    found = [_trial_estimate(study, point, book) for point in points]
    seconds = max(sum(one.seconds.values()) for one in found)
    untimed = sorted({name for one in found for name in one.untimed})
    trials = study.settings.search_trials
    if untimed:
        return f"  no time known for {', '.join(untimed)}: --plan times what was never done here"
    return (
        f"  estimate: up to {duration(seconds)} a trial, {duration(seconds * trials)} for {trials:,} on one worker; "
        "the median and early stopping may end many sooner"
    )


def _trial_estimate(study: Study, point: dict[str, Any], book: SpeedBook) -> Estimate:
    there = at_point(study, point)
    return estimate_plan(there, planned_runs(there), book)


def log_search_plan(study: Study) -> None:
    """Say what a search will do, and at most how long it takes; trains nothing."""
    for line in (*search_lines(study.settings), time_line(study, speed_book(study.settings, measure=True))):
        log.info("%s", line)
