"""What the comparisons of a study say, in words: which differences hold, which are ties, and of what they speak."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from fer.columns.files import SCORED, SETUP
from fer.metrics.metrics import METRICS
from fer.statistics.families import FIRST, OWN, TIE
from fer.statistics.significance import ALPHA

METRIC_WORDS = {name: metric.words for name, metric in METRICS.items()}
CONTEXT_WORDS = {"train_on": "trained on {}", "variant": "{}", "model": "{}"}
FAMILY = ("role", "family", *SCORED, *SETUP)
# More names than this are counted, not listed.
LISTED = 6
Pair = dict[str, Any]


def statements(comparisons: list[Pair]) -> list[dict[str, Any]]:
    """One statement per family and score of `comparisons` (files.COMPARISONS and sample_data), in their order.

    role, test_on, family, context (words), metric, n, n_groups, pairs, differences (pairs that differ), weights_only
    ("all", "some", "none" of the pairs), sample_data, text, and scope: what the text is corrected for and about.
    """
    grouped: dict[tuple[str, ...], list[Pair]] = {}
    for pair in comparisons:
        grouped.setdefault((*(str(pair[name]) for name in FAMILY), pair["metric"]), []).append(pair)
    return [_statement(pairs) for pairs in grouped.values()]


def _statement(pairs: list[Pair]) -> dict[str, Any]:
    first = pairs[0]
    alone = [bool(pair["weights_only"]) for pair in pairs]
    sentences = _policy_sentences(pairs) if first["family"] == "TTA" else _ranking_sentences(pairs)
    return {
        "role": first["role"],
        "test_on": first["test_on"],
        "family": first["family"],
        "context": _context(first),
        "metric": first["metric"],
        "n": int(first["n"]),
        "n_groups": None if pd.isna(first["n_groups"]) else int(first["n_groups"]),
        "pairs": len(pairs),
        "differences": len(_differing(pairs)),
        "weights_only": "all" if all(alone) else "some" if any(alone) else "none",
        "sample_data": bool(first["sample_data"]),
        "text": " ".join([*(["SAMPLE DATA."] if first["sample_data"] else []), *sentences]),
        "scope": " ".join(_scope(pairs)),
    }


def _differing(pairs: list[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair["verdict"] != TIE]


def _context(pair: Pair) -> str:
    """What the compared have in common: "trained on wild, preprocessed, tested on raw pictures, no TTA"."""
    words = [text.format(pair[name]) for name, text in CONTEXT_WORDS.items() if pair[name] and not pd.isna(pair[name])]
    own = pair["test_variant"] == OWN
    words.append("each tested on pictures of its own variant" if own else f"tested on {pair['test_variant']} pictures")
    return ", ".join([*words, *(["no TTA"] if pair["tta"] == "none" else [])])


def _scope(pairs: list[Pair]) -> Iterator[str]:
    """Whether the sentences are about trained networks or about how they were made, and what p is corrected for."""
    alone = [pair for pair in pairs if pair["weights_only"]]
    if pairs[0]["family"] == "models over data sets":
        yield "p by Nemenyi, over data sets; a data set is one observation."
    elif len(pairs) > 1:
        yield f"p and intervals hold for all {len(pairs)} comparisons together."
    folds = [int(pair["n_folds"]) for pair in pairs if not pd.isna(pair["n_folds"])]
    if any(folds):
        yield (
            f"{max(folds)} folds: their trainings share most of their pictures and, within a seed, its luck; they "
            "count as that seed, not as trainings of their own."
        )
    if len(alone) == len(pairs):
        yield "These weights only: fewer than three seeds a side, so nothing is said about what another seed would do."
    elif alone:
        named = [f"{pair['first']} and {pair['second']}" for pair in alone[:LISTED]]
        more = [f"{len(alone) - LISTED} more"] if len(alone) > LISTED else []
        yield f"These weights only, for want of three seeds a side: {'; '.join([*named, *more])}."
    elif not pd.isna(pairs[0]["n_first"]):
        least = min(min(int(pair["seeds_first"]), int(pair["seeds_second"])) for pair in pairs)
        yield f"Means over {least} or more seeds a side; the spread over seeds and over pictures is taken into account."


def _policy_sentences(pairs: list[Pair]) -> Iterator[str]:
    metric = METRIC_WORDS[pairs[0]["metric"]]
    for pair in pairs:
        if pair["verdict"] == TIE:
            yield f"TTA {pair['first']}: no difference in {metric} shown against none ({_numbers(pair)})."
        else:
            verb = "raises" if pair["difference"] > 0 else "lowers"
            ends = f"from {pair['second_value']:.3f} to {pair['first_value']:.3f}"
            yield f"TTA {pair['first']} {verb} {metric} {ends} ({_numbers(pair)})."


def _ranking_sentences(pairs: list[Pair]) -> Iterator[str]:
    """The leader, whom it is better than, whom it is not shown to be better than; then how the others compare."""
    values = {pair["second"]: pair["second_value"] for pair in pairs}
    values |= {pair["first"]: pair["first_value"] for pair in pairs}
    leader = max(values, key=lambda name: values[name])
    if len(pairs) > 1 and not _differing(pairs):
        metric = METRIC_WORDS[pairs[0]["metric"]]
        yield f"No difference in {metric} is shown between any two of {_listed(dict.fromkeys(values, ''), values)}."
        return
    yield f"{leader} has the highest {METRIC_WORDS[pairs[0]['metric']]}, {values[leader]:.3f}."
    of_leader = [pair for pair in pairs if leader in (pair["first"], pair["second"])]
    better_than = {_other(pair, leader): f" ({_numbers(pair, leader)})" for pair in _differing(of_leader)}
    ties = {_other(pair, leader): "" for pair in of_leader if pair["verdict"] == TIE}
    if better_than:
        yield f"It is better than {_listed(better_than, values)}."
    if ties:
        yield f"No difference is shown between it and {_listed(ties, values)}."
    others = [pair for pair in pairs if pair not in of_leader]
    if others:
        differing = _differing(others)
        of = f"{len(differing)} of {len(others)} {'pair' if len(others) == 1 else 'pairs'}"
        yield f"Among the others, a difference is shown in {of}{_over(differing)}."


def _other(pair: Pair, name: str) -> str:
    return str(pair["first"] if pair["second"] == name else pair["second"])


def _listed(remarks: dict[str, str], values: dict[str, float]) -> str:
    """Names with their values and remarks, the best first."""
    names = sorted(remarks, key=lambda name: -values[name])
    more = [f"{len(names) - LISTED} more"] if len(names) > LISTED else []
    return ", ".join([*(f"{name} {values[name]:.3f}{remarks[name]}" for name in names[:LISTED]), *more])


def _numbers(pair: Pair, minuend: str | None = None) -> str:
    """Difference, its interval and p, all corrected for the family; as `minuend` minus the other."""
    value, low, high = (float(pair[name]) for name in ("difference", "low_adjusted", "high_adjusted"))
    if minuend == pair["second"]:
        value, low, high = -value, -high, -low
    interval = "" if pd.isna(low) else f" [{signed(low)}, {signed(high)}]"
    return f"{value:+.3f}{interval}, p {p_words(pair['p_adjusted'])}"


def signed(end: float) -> str:
    """An end of an interval, with as many digits as it takes to see on which side of 0 it lies."""
    digits = next((digits for digits in range(3, 9) if round(end, digits) != 0), 3)
    return f"{end:+.{digits}f}"


def p_words(p: float) -> str:
    """A p-value as "= 0.012", with as many digits as it takes to see on which side of 0.05 it lies."""
    if p < 0.001:
        return "< 0.001"
    digits = next((digits for digits in range(3, 9) if (float(f"{p:.{digits}f}") < round(ALPHA, 9)) == (p < ALPHA)), 9)
    return f"= {p:.{digits}f}"


def _over(differing: list[Pair]) -> str:
    if not 0 < len(differing) <= LISTED:
        return ""
    names = [(pair["first"], pair["second"]) for pair in differing]
    ordered = [name if pair["verdict"] == FIRST else name[::-1] for pair, name in zip(differing, names, strict=True)]
    return f" ({', '.join(f'{better} over {worse}' for better, worse in ordered)})"
