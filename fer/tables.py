"""Tables of a study, from the files it left on disk: results, per class, selection funnel, summary.

No network is loaded. Metrics are computed once per predictions file and kept in `cache/tables.json`;
everything else is put together anew each time, and a file is written only when its text changed.

`results.csv` has a row per (run, test_on, test_variant, tta), `validation_results.csv` the same for
validation rows, with `n_rows` (rows scored) in place of `n_test`. Their columns:

| columns | meaning |
|---|---|
| run, test_on, test_variant, tta | folder of the run; dataset, variant of its pictures, TTA policy |
| train_on, variant, model, seed, split, balance, mixing, selection | the run; datasets joined by "+" |
| n_train, n_val, n_test, n_classes | rows before balancing, for validation, scored; classes among these |
| accuracy … | every metric of evaluation.METRICS, 0 to 1 (kappa from -1), unrounded |
| epochs, best_epoch, train_seconds, images_per_second, peak_memory_mb | the training |
| parameters, flops, latency_ms | the network: count, per picture, one picture at a time |
| limit_per_split, sample_data | LIMIT_PER_SPLIT (empty: none); True when drawn faces are part of the row |

Each scored set has one more row, run and model `majority_class`: the most frequent class of its own
training rows as the answer to everything. What does not apply to it is empty.

`per_class_results.csv` has, for each row of results.csv and each class: precision, recall, f1, auc, support.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from filelock import FileLock

from evaluation import METRICS, all_metrics, class_scores
from fer.ensembles import with_derived
from fer.samples import read_samples
from fer.settings import EMOTIONS
from fer.study_files import (
    PredictionEntry,
    StoredRun,
    StoredStudy,
    read_class_counts,
    read_predictions,
    read_study,
)
from utils import InputError, log, progress, read_json, write_json, write_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Raise when a metric would give another number for the same probabilities.
TABLES_VERSION = 1
MAJORITY = "majority_class"

KEY_COLUMNS = ("run", "test_on", "test_variant", "tta")
RUN_COLUMNS = ("train_on", "variant", "model", "seed", "split", "balance", "mixing", "selection")
COUNT_COLUMNS = ("n_train", "n_val", "n_test", "n_classes")
FACT_COLUMNS = (
    "epochs", "best_epoch", "train_seconds", "images_per_second", "peak_memory_mb", "parameters", "flops",
    "latency_ms",
)  # fmt: skip
WHOLE_NUMBERS = ("seed", *COUNT_COLUMNS, "epochs", "best_epoch", "parameters", "flops", "limit_per_split")
COLUMNS = (
    *KEY_COLUMNS, *RUN_COLUMNS, *COUNT_COLUMNS, *METRICS, *FACT_COLUMNS, "limit_per_split", "sample_data",
)  # fmt: skip
CLASS_COLUMNS = (*KEY_COLUMNS, "class", "precision", "recall", "f1", "auc", "support")
ROW_ORDER = ["train_on", "variant", "model", "seed", "run", "test_on", "test_variant", "tta"]


def write_tables(output: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write results.csv, validation_results.csv and per_class_results.csv; returns the first two.

    A predictions file that is damaged or of other classes is left out, with a warning naming it.
    Raises InputError when study.json cannot be used.
    """
    study = read_study(output)
    cache = output / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "tables.lock"):
        scored = _score_study(with_derived(study), cache / "tables.json")
        results = _results_table(study, [one for one in scored if one.split == "test"])
        validation = _results_table(study, [one for one in scored if one.split == "val"])
        validation = validation.rename(columns={"n_test": "n_rows"})
        _write_changed(output / "results.csv", results)
        _write_changed(output / "validation_results.csv", validation)
        _write_changed(output / "per_class_results.csv", _class_table(scored, results))
    return results, validation


def write_funnel(output: Path, names: Iterable[str]) -> pd.DataFrame:
    """Write selection_funnel.csv: dataset, step, removed, kept, sample_data; steps in the order applied."""
    study = read_study(output)
    parts = [_funnel_of(study, name).assign(dataset=name, sample_data=study.is_sample(name)) for name in names]
    funnel = pd.concat(parts, ignore_index=True)[["dataset", "step", "removed", "kept", "sample_data"]]
    _write_changed(output / "selection_funnel.csv", funnel)
    return funnel


def _funnel_of(study: StoredStudy, name: str) -> pd.DataFrame:
    """The steps of one dataset; NO_FACE = "reject" adds the training rows without a face, then what is used."""
    folder = study.output / "samples"
    funnel = read_samples(folder / f"{name}_funnel.csv")
    no_face, removed = folder / f"{name}_no_face.csv", 0
    if study.rejects_no_face and no_face.is_file():
        rows = read_samples(no_face)
        removed = int((~rows["found"] & (rows["split"] == "train")).sum())
    left = int(funnel["kept"].iloc[-1]) - removed
    last = [{"step": "face found", "removed": removed, "kept": left}, {"step": "used", "removed": 0, "kept": left}]
    return pd.concat([funnel, pd.DataFrame(last)], ignore_index=True)


def _write_changed(path: Path, table: pd.DataFrame) -> None:
    text = table.to_csv(index=False, lineterminator="\n")
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


# ---------------------------------------------------------------- scores


@dataclass(frozen=True)
class Scores:
    """Metrics of one set of rows. `run` is None for the majority class; `classes`: [C] per score name."""

    run: StoredRun | None
    test_on: str
    split: str
    test_variant: str
    tta: str
    metrics: dict[str, Any]
    classes: dict[str, list[Any]]

    @property
    def name(self) -> str:
        """Folder name of the run."""
        return MAJORITY if self.run is None else self.run.name


def _score_study(study: StoredStudy, cache: Path) -> list[Scores]:
    """Scores of every usable predictions file of the plan, and of the majority class on the same sets."""
    known = _read_cache(cache)
    fresh: dict[str, Any] = {}
    scored = [one for entry in _with_progress(study, known) if (one := _score_entry(entry, known, fresh))]
    for name, split in sorted({(one.test_on, one.split) for one in scored}):
        try:
            scored.append(_score_majority(study, name, split, known, fresh))
        except InputError as error:
            log.warning("no majority-class row for %s: %s", name, error)
    if fresh != known:
        write_json(cache, {"version": _cache_version(), "scores": fresh})
    return scored


def _cache_version() -> list[Any]:
    return [TABLES_VERSION, list(METRICS), list(EMOTIONS)]


def _read_cache(path: Path) -> dict[str, Any]:
    """Known scores {name: {stamp, metrics, classes}}; empty when the cache is absent, damaged or older."""
    if not path.is_file():
        return {}
    try:
        stored = read_json(path)
        return stored["scores"] if stored["version"] == _cache_version() else {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s); the metrics are computed again.", path, error)
        return {}


def _with_progress(study: StoredStudy, known: dict[str, Any]) -> Iterable[PredictionEntry]:
    new = sum(known.get(_cache_name(entry), {}).get("stamp") != entry.stamp() for entry in study.predictions)
    return progress(study.predictions, "metrics") if new else study.predictions


def _cache_name(entry: PredictionEntry) -> str:
    return f"{entry.run.name}/{entry.path.name}"


def _score_entry(entry: PredictionEntry, known: dict[str, Any], fresh: dict[str, Any]) -> Scores | None:
    name, stamp = _cache_name(entry), entry.stamp()
    if known.get(name, {}).get("stamp") == stamp:
        fresh[name] = known[name]
    else:
        try:
            found = read_predictions(entry)
        except InputError as error:
            log.warning("left out of the tables: %s", error)
            return None
        fresh[name] = _compute(stamp, found.labels, found.probabilities)
    return Scores(entry.run, entry.test_on, entry.split, entry.test_variant, entry.tta, **_numbers(fresh[name]))


def _score_majority(study: StoredStudy, name: str, split: str, known: dict[str, Any], fresh: dict[str, Any]) -> Scores:
    counts = _class_counts(study, name)
    answer = int(np.argmax(counts["train"]))
    key, stamp = f"{MAJORITY}/{name}__{split}", [answer, *counts[split]]
    if known.get(key, {}).get("stamp") == stamp:
        fresh[key] = known[key]
    else:
        labels = np.repeat(np.arange(len(EMOTIONS)), counts[split])
        fresh[key] = _compute(stamp, labels, np.eye(len(EMOTIONS))[np.full(len(labels), answer)])
    scores = _numbers(fresh[key])
    scores["metrics"] |= {"n_train": sum(counts["train"]), "n_val": sum(counts["val"])}
    return Scores(None, name, split, "", "none", **scores)


def _class_counts(study: StoredStudy, name: str) -> dict[str, list[int]]:
    """Rows per split and class of a dataset, or of a union "a+b"."""
    parts = [read_class_counts(study.output, part) for part in name.split("+")]
    return {split: np.sum([part[split] for part in parts], axis=0).tolist() for split in parts[0]}


def _compute(stamp: list[Any], labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Everything the tables say about one set of rows, as JSON (None for NaN)."""
    metrics = all_metrics(labels, probabilities) | {"n_test": len(labels)}
    classes = {name: values.tolist() for name, values in class_scores(labels, probabilities).items()}
    return {
        "stamp": stamp,
        "metrics": {name: _json_number(value) for name, value in metrics.items()},
        "classes": {name: [_json_number(value) for value in values] for name, values in classes.items()},
    }


def _json_number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _numbers(stored: dict[str, Any]) -> dict[str, Any]:
    """The metrics and class scores of a cache entry, None read as NaN."""
    missing = {None: float("nan")}
    return {
        "metrics": {name: missing.get(value, value) for name, value in stored["metrics"].items()},
        "classes": {
            name: [missing.get(value, value) for value in values] for name, values in stored["classes"].items()
        },
    }


# ---------------------------------------------------------------- tables


def _results_table(study: StoredStudy, scored: list[Scores]) -> pd.DataFrame:
    """Rows in the columns of the module's table, in an order that depends on the rows alone."""
    table = pd.DataFrame([_result_row(study, one) for one in scored], columns=list(COLUMNS))
    table = table.astype(dict.fromkeys(WHOLE_NUMBERS, "Int64") | {"sample_data": bool})
    return table.sort_values(ROW_ORDER, ignore_index=True)


def _result_row(study: StoredStudy, one: Scores) -> dict[str, Any]:
    row = {"run": one.name, "test_on": one.test_on, "test_variant": one.test_variant, "tta": one.tta}
    row |= {"limit_per_split": study.limit} | one.metrics
    if one.run is None:
        empty = dict.fromkeys(("variant", "split", "balance", "mixing", "selection"), "")
        alone = {"train_on": one.test_on, "model": MAJORITY, "sample_data": study.is_sample(*one.test_on.split("+"))}
        return row | empty | alone
    facts = {name: one.run.facts.get(name) for name in FACT_COLUMNS}
    described = {name: one.run.run[name] for name in RUN_COLUMNS} | {"train_on": one.run.train_on}
    rows = {"n_train": one.run.rows("n_train"), "n_val": one.run.rows("n_val")}
    sample = study.is_sample(*one.test_on.split("+"), *one.run.run["train_on"])
    return row | described | rows | facts | {"sample_data": sample}


def _class_table(scored: list[Scores], results: pd.DataFrame) -> pd.DataFrame:
    """One row per row of `results`, in its order, and class."""
    by_key = {(one.name, one.test_on, one.test_variant, one.tta): one for one in scored if one.split == "test"}
    parts = []
    for key in results[list(KEY_COLUMNS)].itertuples(index=False, name=None):
        part = pd.DataFrame(by_key[key].classes).assign(**{"class": EMOTIONS})
        parts.append(part.assign(**dict(zip(KEY_COLUMNS, key, strict=True))))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(CLASS_COLUMNS))
    return table[list(CLASS_COLUMNS)]


# ---------------------------------------------------------------- the summary in the terminal

SUMMARY_METRICS = {"accuracy": "accuracy %", "balanced_accuracy": "balanced %", "macro_f1": "macro-F1 %"}
SUMMARY_ROWS = 20
WIDE = 110  # characters; below, the words of a row share one column
GROUP = ["train_on", "variant", "test_variant", "model", "split", "balance", "mixing", "selection", "tta"]


def print_summary(results: pd.DataFrame, validation: pd.DataFrame, console: Console | None = None) -> None:
    """Print one table per test set: the best rows by macro-F1, and the majority class.

    Seeds are shown as mean ± standard deviation. Without test rows, validation is shown and named so.
    """
    console = _terminal() if console is None else console
    if results.empty and validation.empty:
        console.print("No run is scored yet: no results to show.")
        return
    is_test = not results.empty
    table = results if is_test else validation.rename(columns={"n_rows": "n_test"})
    if not is_test:
        console.print("No test set was scored (EVALUATE_TEST = False): these are VALIDATION results.")
    majority = table["run"] == MAJORITY
    for test_on, part in table[~majority].groupby("test_on", sort=True):
        baseline = table[majority & (table["test_on"] == test_on)]
        console.print(_summary_table(str(test_on), part, baseline, is_test, console))
    used = "by test score: to report, not to choose by" if is_test else "by validation score"
    console.print(f"* best of its column, {used}. ±: standard deviation over seeds.", style="dim")


def _terminal() -> Console:
    """Standard output; where that is no terminal, wide enough for whole names."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


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
    for heading in (*SUMMARY_METRICS.values(), "seeds"):
        table.add_column(heading, justify="right", no_wrap=True)
    several = part.groupby("variant")["test_variant"].nunique().max() > 1
    for words, numbers in [*_summary_rows(groups, several), *_majority_rows(baseline)]:
        table.add_row(*([", ".join(filter(None, words))] if narrow else words), *numbers)
    return table


def _summary_rows(groups: pd.DataFrame, several: bool) -> Iterator[tuple[list[str], list[str]]]:
    """Words and numbers of each row shown; with `several`, one variant was tested on several others."""
    best = {metric: groups[metric, "mean"].max() for metric in SUMMARY_METRICS}
    for key, row in groups.head(SUMMARY_ROWS).iterrows():
        named = dict(zip(GROUP, key, strict=True))  # type: ignore[call-overload]
        numbers = []
        for metric in SUMMARY_METRICS:
            mark = "*" if row[metric, "mean"] == best[metric] else " "
            numbers.append(_spread(row[metric, "mean"], row[metric, "std"]) + mark)
        seeds = int(row["accuracy", "count"])
        variant = f"{named['variant']} on {named['test_variant']}" if several else named["variant"]
        words = [named["train_on"], variant, named["model"], named["tta"]]
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
