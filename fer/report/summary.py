"""The best rows of a study in the terminal: one table per test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fer.console.terminal import console as new_console
from fer.results.not_learned import not_learned
from fer.results.scores import MAJORITY
from fer.results.trainings import ROWS_WORDS, per_training, spread_words
from fer.runs.run import ORACLE
from fer.settings.settings import EMOTIONS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SUMMARY_METRICS = {"accuracy": "accuracy %", "balanced_accuracy": "balanced %", "macro_f1": "macro-F1 %"}
SUMMARY_ROWS = 20
WIDE = 110  # characters; below, the words of a row share one column
GROUP = ["train_on", "variant", "test_variant", "model", "balance", "mixing", "selection", "tta"]


def print_summary(
    results: pd.DataFrame,
    validation: pd.DataFrame,
    console: Console | None = None,
    left_out: Sequence[str] = (),
) -> None:
    """Print one table per test set: the best rows by macro-F1, and the majority class; below, what is `left_out`.

    Seeds are shown as mean ± standard deviation, folds pooled. Without test rows, validation is shown and named so.
    Rows whose epoch was chosen on the test set are named ORACLE and are never the best.
    """
    console = _terminal() if console is None else console
    if results.empty and validation.empty:
        console.print("No run is scored yet: no results to show.")
        return
    is_test = not results.empty
    table = results if is_test else validation.rename(columns={"n_rows": "n_test"})
    if not is_test:
        console.print("No test set was scored (EVALUATE_TEST = False): these are VALIDATION results.")
    table = per_training(table)
    majority = table["run"] == MAJORITY
    for (test_on, kind), part in table[~majority].groupby(["test_on", "rows"], sort=True):
        baseline = table[majority & (table["test_on"] == test_on) & (table["rows"] == kind)]
        name = f"{test_on}{ROWS_WORDS[str(kind)]}"
        console.print(_summary_table(name, part, baseline, is_test, console))
    used = "by test score: to report, not to choose by" if is_test else "by validation score"
    spread = f"±: standard deviation over {spread_words(table[~majority])}."
    console.print(f"* best of its column, {used}. {spread}", style="dim")
    for reason in left_out:
        console.print(f"left out: {reason}", style="dim")
    if (table["selection"] == ORACLE).any():
        console.print("ORACLE: the epoch was chosen on the test set, to show what that is worth; never the best.")
    for sentence in not_learned(results, validation):
        console.print(sentence, style="bold")


def _terminal() -> Console:
    """Standard output; where that is no terminal, wide enough for whole names."""
    console = new_console()
    return console if console.is_terminal else new_console(width=140)


def _summary_table(name: str, part: pd.DataFrame, baseline: pd.DataFrame, is_test: bool, console: Console) -> Table:
    from rich import box
    from rich.table import Table

    groups = part.groupby(GROUP, sort=True)[list(SUMMARY_METRICS)].agg(["mean", "std", "count"])
    groups = groups.sort_values(("macro_f1", "mean"), ascending=False, kind="stable")
    hidden = len(groups) - SUMMARY_ROWS
    more = f"… {hidden} more in {'results' if is_test else 'validation_results'}.csv" if hidden > 0 else None
    table = Table(
        title=_summary_title(name, part, is_test),
        caption=more,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD if console.is_terminal else box.ASCII2,
    )
    narrow = console.width < WIDE
    for heading in ("trained on, variant, model, TTA",) if narrow else ("trained on", "variant", "model", "TTA"):
        table.add_column(heading, overflow="fold")
    for heading in (*SUMMARY_METRICS.values(), spread_words(part)):
        table.add_column(heading, justify="right", no_wrap=True)
    several = part.groupby("variant")["test_variant"].nunique().max() > 1
    for words, numbers in [*_summary_rows(groups, several), *_majority_rows(baseline)]:
        table.add_row(*([", ".join(filter(None, words))] if narrow else words), *numbers)
    return table


def _summary_rows(groups: pd.DataFrame, several: bool) -> Iterator[tuple[list[str], list[str]]]:
    """Words and numbers of each row shown; with `several`, one variant was tested on several others."""
    by_validation = groups[groups.index.get_level_values("selection") != ORACLE]
    best = {metric: by_validation[metric, "mean"].max() for metric in SUMMARY_METRICS}
    for key, row in groups.head(SUMMARY_ROWS).iterrows():
        named = dict(zip(GROUP, key, strict=True))  # type: ignore[call-overload]
        numbers = []
        for metric in SUMMARY_METRICS:
            mark = "*" if row[metric, "mean"] == best[metric] and named["selection"] != ORACLE else " "
            numbers.append(_spread(row[metric, "mean"], row[metric, "std"]) + mark)
        seeds = int(row["accuracy", "count"])
        variant = f"{named['variant']} on {named['test_variant']}" if several else named["variant"]
        oracle = " (ORACLE)" if named["selection"] == ORACLE else ""
        words = [named["train_on"], variant, named["model"] + oracle, named["tta"]]
        yield words, [*numbers, f"n = {seeds}" if seeds > 1 else "one seed"]


def _majority_rows(baseline: pd.DataFrame) -> Iterator[tuple[list[str], list[str]]]:
    for row in baseline.to_dict("records"):
        numbers = [f"{100 * row[metric]:.1f} " for metric in SUMMARY_METRICS]
        yield [row["train_on"], "", "majority class", ""], [*numbers, ""]


def _spread(mean: float, std: float) -> str:
    return f"{100 * mean:.1f}" if np.isnan(std) else f"{100 * mean:.1f} ± {100 * std:.1f}"


def _summary_title(name: str, part: pd.DataFrame, is_test: bool) -> str:
    """Test set, n, and what a reader must know before believing the numbers."""
    counts = " or ".join(f"{n:,}" for n in sorted(part["n_test"].unique()))
    notes = [f"{name}, {'test' if is_test else 'VALIDATION'} rows n = {counts}"]
    classes = part["n_classes"].min()
    if classes < len(EMOTIONS):
        notes.append(f"only {classes} of {len(EMOTIONS)} classes present")
    if part["limit_per_split"].notna().any():
        notes.append(f"LIMIT_PER_SPLIT = {part['limit_per_split'].iloc[0]}")
    if part["sample_data"].any():
        notes.append("SAMPLE DATA" if part["sample_data"].all() else "partly SAMPLE DATA")
    return " · ".join(notes)
