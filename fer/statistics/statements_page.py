"""statements.md: what the comparisons of a study say, on one page, however many there are.

Primary differences first, then exploratory ones, labelled; ties as counts; TTA as one table. The complete record is
comparisons.csv, and statements.json in words.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from fer.columns.files import SETUP
from fer.results.study_files import StoredStudy
from fer.statistics.families import EXPLORATORY, FIRST, PRIMARY, TIE
from fer.statistics.significance import ALPHA
from fer.statistics.statements import METRIC_WORDS, p_words, signed

# Differences listed of each role; more are counted.
LISTED = 10
PAIR = ["test_on", "family", "test_variant", "tta", *SETUP, "first", "second"]


def as_page(study: StoredStudy, comparisons: pd.DataFrame, notes: list[str]) -> str:
    """The page as Markdown, of comparisons.csv and the notes a reader needs beside it."""
    policies = comparisons[comparisons["family"] == "TTA"]
    others = comparisons[comparisons["family"] != "TTA"]
    sample = ["SAMPLE DATA, drawn faces: see the notes.", ""] if comparisons["sample_data"].any() else []
    lines = ["# What the comparisons say", "", *sample, _declared(study, comparisons)]
    for role in (PRIMARY, EXPLORATORY):
        lines += ["", *_differences(others[others["role"] == role], role)]
    lines += ["", "## Ties", "", *_counts(comparisons)] if len(comparisons) else []
    lines += ["", "## TTA", "", *_policies(policies)] if len(policies) else []
    lines += ["", "## Notes", "", *(f"- {note}" for note in [*_about_seeds(comparisons), *notes])]
    return "\n".join(lines) + "\n"


def _declared(study: StoredStudy, comparisons: pd.DataFrame) -> str:
    primary = comparisons[comparisons["role"] == PRIMARY]
    asked = "ensembles and networks" if "ensembles" in study.primary_comparisons else "single networks"
    return (
        f"Declared before the run: {', '.join(study.primary_comparisons)}, compared by "
        f"{METRIC_WORDS[study.primary_metric]} ({_pairs(len(primary))} in {_families(primary)} families, tested "
        f"together): {asked} on each dataset they were trained on, on pictures of their own variant. "
        "All else is exploratory. Intervals and p are adjusted as the verdicts are. Complete: comparisons.csv."
    )


def _families(rows: pd.DataFrame) -> int:
    return int(rows.groupby([*PAIR[:-2], "metric"], dropna=False).ngroups)


def _pairs(count: int) -> str:
    return f"{count:,} {'pair' if count == 1 else 'pairs'}"


def _false_ones(rows: pd.DataFrame, role: str) -> str:
    """How many false differences to expect."""
    if role == PRIMARY:
        shown = _families(rows[rows["verdict"] != TIE])
        return f"Of the families that show one ({shown}), expect at most {ALPHA * shown:.1f} with a false one."
    tests = _families(rows)
    return (
        f"Each of {tests} families and metrics is corrected for itself alone: where nothing differs, expect up to "
        f"{ALPHA * tests:.0f} that show a false difference."
    )


# ---------------------------------------------------------------- differences


def _differences(rows: pd.DataFrame, role: str) -> Iterator[str]:
    """The largest differences of a role, the surest first, as a table; a pair stands once for all its metrics."""
    shown = rows[rows["verdict"] != TIE].sort_values(["p_adjusted", "test_on"], kind="stable")
    pairs = [part for _, part in shown.groupby([*PAIR, "verdict"], sort=False, dropna=False)]
    yield f"## {role.capitalize()} differences: {len(pairs)}"
    yield ""
    yield _false_ones(rows, role)
    if pairs:
        yield ""
        yield "| tested on | better | than | by | where |"
        yield "|---|---|---|---|---|"
        yield from (_difference_line(part) for part in pairs[:LISTED])
    if len(pairs) > LISTED:
        yield ""
        yield f"And {len(pairs) - LISTED} more, less sure than these, in comparisons.csv."


def _difference_line(part: pd.DataFrame) -> str:
    """One pair: the surest of its metrics with its numbers, the others by name."""
    best = part.iloc[0]
    first = best["verdict"] == FIRST
    better, worse = (best["first"], best["second"]) if first else (best["second"], best["first"])
    value, low, high = (best[name] for name in ("difference", "low_adjusted", "high_adjusted"))
    if not first:
        value, low, high = -value, -high, -low
    interval = "" if pd.isna(low) else f" [{signed(low)}, {signed(high)}]"
    also = [METRIC_WORDS[name] for name in part["metric"].iloc[1:]]
    by = f"{METRIC_WORDS[best['metric']]} {value:+.3f}{interval}, p {p_words(best['p_adjusted'])}"
    by += f"; also {', '.join(also)}" if also else ""
    return f"| {best['test_on']} | {better} | {worse} | {by} | {_where(best)} |"


def _where(row: pd.Series) -> str:
    words = [str(row[name]) for name in ("train_on", "variant", "model") if not pd.isna(row[name]) and row[name]]
    return ", ".join([str(row["family"]), *words, *([f"on {row['test_variant']}"] if row["test_variant"] else [])])


# ---------------------------------------------------------------- counts


def _counts(comparisons: pd.DataFrame) -> Iterator[str]:
    """Pairs, differences and ties of each kind of comparison and role."""
    yield "| role | comparison | metric | pairs | differ | no difference shown |"
    yield "|---|---|---|---|---|---|"
    for (role, family, metric), part in comparisons.groupby(["role", "family", "metric"], sort=False):
        ties = int((part["verdict"] == TIE).sum())
        yield f"| {role} | {family} | {METRIC_WORDS[str(metric)]} | {len(part)} | {len(part) - ties} | {ties} |"


def _policies(rows: pd.DataFrame) -> Iterator[str]:
    """Each policy against none: the mean difference over networks and test sets, and how many are told apart."""
    yield "| policy | metric | role | networks × test sets | mean difference | raises | lowers | no difference shown |"
    yield "|---|---|---|---|---|---|---|---|"
    for (policy, metric, role), part in rows.groupby(["first", "metric", "role"], sort=False):
        told = part["verdict"] != TIE
        raises, lowers = int((told & (part["difference"] > 0)).sum()), int((told & (part["difference"] < 0)).sum())
        counts = f"{raises} | {lowers} | {len(part) - raises - lowers}"
        mean = part["difference"].mean()
        yield f"| {policy} | {METRIC_WORDS[str(metric)]} | {role} | {len(part)} | {mean:+.3f} | {counts} |"


def _about_seeds(comparisons: pd.DataFrame) -> Iterator[str]:
    """Of what the comparisons speak: these trained networks, or how they were made."""
    alone = int(comparisons["weights_only"].sum())
    if alone:
        yield (
            f"These weights only, in {alone:,} of {len(comparisons):,} rows: fewer than three seeds a side, so nothing "
            "is said about what another seed would do."
        )
    seeds = comparisons.loc[~comparisons["weights_only"].astype(bool), ["seeds_first", "seeds_second"]].min().min()
    if not pd.isna(seeds):
        yield f"The others are means over {int(seeds)} or more seeds a side; their intervals hold that of seeds."
    if comparisons["n_folds"].fillna(0).gt(0).any():
        yield "Folds share most of their training pictures and, within a seed, its luck: they count as that seed."
