"""What a run.json must hold before anything of it is used: the keys, their kinds, and names that are names.

A study may come from elsewhere: names in it become parts of paths, so a name is letters, digits and . _ + - @ only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, get_args

from fer.layouts.emotions import ALL_EMOTIONS, EMOTIONS
from fer.settings.settings import Variant

VARIANTS: tuple[str, ...] = get_args(Variant)
NAMES = ("model", "split", "balance", "mixing", "selection")
COUNTS = ("n_train", "n_val")
PER_CLASS = ("original", "balanced")
# Numbers of `facts` that tables, figures and estimates read.
FACTS = ("epochs", "best_epoch", "train_seconds", "images_per_second", "parameters", "micro_batch")


def is_name(value: Any) -> bool:
    """True for a text that can be part of a file name anywhere and leads out of no folder."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,254}", value) is not None


def is_count(value: Any) -> bool:
    """True for a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def problem_of(stored: Any) -> str:
    """What a run.json lacks, in words; "" when it is whole."""
    if not isinstance(stored, dict):
        return "it holds no JSON object"
    for part in ("run", "inputs", "counts", "facts"):
        if not isinstance(stored.get(part), dict):
            return f"it has no {part}"
    return next(_problems(stored), "")


def _problems(stored: dict[str, Any]) -> Iterator[str]:
    run, facts, inputs = stored["run"], stored["facts"], stored["inputs"]
    if not isinstance(stored.get("weights_sha256"), str):
        yield "it has no weights_sha256"
    if not isinstance(run.get("train_on"), list) or not run["train_on"] or not all(map(is_name, run["train_on"])):
        yield f"its train_on is {run.get('train_on')!r}, not a list of names"
    if run.get("variant") not in VARIANTS:
        yield f"its variant is {run.get('variant')!r}, not one of {', '.join(VARIANTS)}"
    yield from (f"its {name} is {run.get(name)!r}, not a name" for name in NAMES if not is_name(run.get(name)))
    if not is_count(run.get("seed")):
        yield f"its seed is {run.get('seed')!r}, not a whole number"
    for where in (run, inputs):
        hyper = where.get("hyper")
        if not isinstance(hyper, dict) or not is_count(hyper.get("input_size")):
            yield "it has no hyper with an input_size"
    yield from (f"its {name} is {facts.get(name)!r}, not a number" for name in FACTS if not _is_number(facts.get(name)))
    yield from _problems_of_counts(stored["counts"])


def _problems_of_counts(counts: dict[str, Any]) -> Iterator[str]:
    for name, found in counts.items():
        known = isinstance(found, dict) and all(is_count(found.get(count)) for count in COUNTS)
        if not is_name(name) or not known or not all(_is_per_class(found.get(part)) for part in PER_CLASS):
            yield f"its counts of {name!r} are damaged"


def _is_per_class(value: Any) -> bool:
    return isinstance(value, list) and len(value) in (len(EMOTIONS), len(ALL_EMOTIONS)) and all(map(is_count, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
