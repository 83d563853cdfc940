"""Statistics of a study, from the files it left on disk: intervals, seeds, comparisons, calibration, groups.

No network is loaded. Everything lies in `statistics/` under the output folder. What a row of each table is, and its
columns: fer.columns, docs/columns.md. statements.md and statements.json say in words what comparisons.csv holds.

All of it is made anew when one of the files behind it changed, and left alone otherwise: `cache/statistics.json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.columns.columns import of_kind
from fer.columns.files import COMPARISONS, SETUP, STATISTICS
from fer.layouts.emotions import class_names
from fer.metrics.metrics import compared_by
from fer.results.ensembles import with_derived
from fer.results.study_files import StoredStudy, read_study
from fer.runs.run import ORACLE
from fer.statistics.answers import Answer, TestSet, datasets_of, paired_in_order, read_test_sets, resampled_of
from fer.statistics.best import best_rows
from fer.statistics.bootstrap import percentile_interval
from fer.statistics.calibration_tables import CalibrationRows, Validation
from fer.statistics.effects import Effects, validation_scores
from fer.statistics.families import (
    PRIMARY,
    Tested,
    comparisons,
    difference,
    families,
    judge_primary,
    over_datasets,
    rows_of,
)
from fer.statistics.groups import fact_files, groupings, missing_facts, results_by_group
from fer.statistics.significance import Resampled, compare, spread, wilson_interval
from fer.statistics.statements import statements
from fer.statistics.statements_page import as_page
from fer.study.variants import scored_variant
from utils import file_fingerprint, fingerprint, lock_in, log, progress, read_json, write_json, write_text

# Raise when the same files would give other statistics.
STATISTICS_VERSION = 8

LONG = ("reliability", "risk_coverage")  # curves to be drawn: six digits will do
FILES = (*(f"{name}.csv" for name in STATISTICS), "statements.json", "statements.md")


def write_statistics(output: Path) -> Path:
    """Write the statistics of the study under `output`; returns the folder `output/statistics`.

    Nothing is done where nothing changed. A predictions file that is damaged is left out with a warning naming it,
    and looked at again the next time. Raises InputError when study.json cannot be used.
    """
    study = with_derived(read_study(output))
    folder, cache = output / "statistics", output / "cache" / "statistics.json"
    cache.parent.mkdir(parents=True, exist_ok=True)
    with lock_in(output, "statistics"):
        made_from = _made_from(study)
        if _known(cache) == made_from and all((folder / name).is_file() for name in FILES):
            return folder
        cache.unlink(missing_ok=True)
        damaged = _write_all(study, folder)
        if not damaged:
            write_json(cache, {"made_from": made_from})
    return folder


def _made_from(study: StoredStudy) -> str:
    """Changes with any file the statistics are made from."""
    entries = [
        [entry.run.name, entry.test_on, entry.split, entry.test_variant, entry.tta, entry.how, entry.key]
        + (entry.stamp() if entry.how == "file" else [])
        for entry in study.predictions
    ]
    facts = [path for name in study.datasets for path in fact_files(study.output, name)]
    files = [[path.name, file_fingerprint(path) if path.is_file() else None] for path in facts]
    runs = [[run.name, run.run, run.counts] for run in study.runs]
    declared = [compared_by(study.primary_metric), study.primary_metric, study.primary_comparisons]
    limits = [study.limit, sorted(study.sample_data), study.left_out]
    return fingerprint([STATISTICS_VERSION, *declared, *limits, runs, entries, files], 32)


def _known(cache: Path) -> str | None:
    if not cache.is_file():
        return None
    try:
        return str(read_json(cache)["made_from"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s); the statistics are made again.", cache, error)
        return None


def _write_all(study: StoredStudy, folder: Path) -> list[str]:
    """Make and write every file; returns what was damaged, in words."""
    damaged: list[str] = []
    found = Collected(study, Validation(study, damaged))
    effects = Effects(validation_scores(study, study.primary_metric))
    names = {entry.test_on for entry in study.predictions if entry.split == "test"}
    for test_set in progress(read_test_sets(study, damaged), "statistics of test sets", len(names)):
        found.add(test_set)
        if test_set.name in study.datasets:  # the pictures of a union are those of its parts
            effects.add(test_set)
    judge_primary(found.primary)
    found.rows["effects"] = effects.rows()
    tables = {name: _table(study, found.rows[name], columns) for name, columns in STATISTICS.items()}
    nemenyi = _table(study, over_datasets(tables["seeds"]), COMPARISONS)
    if len(nemenyi):
        tables["comparisons"] = pd.concat([tables["comparisons"], nemenyi], ignore_index=True)
    said = statements(_records(tables["comparisons"]))
    for name, table in tables.items():
        digits = "%.6g" if name in LONG else None
        write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n", float_format=digits))
    notes = _notes(study, damaged)
    write_json(folder / "statements.json", {"statements": said, "notes": notes, "limit_per_split": study.limit})
    write_text(folder / "statements.md", as_page(study, tables["comparisons"], notes))
    return damaged


def _notes(study: StoredStudy, damaged: list[str]) -> list[str]:
    """What a reader must know beside the statements."""
    limit = [] if study.limit is None else [f"LIMIT_PER_SPLIT = {study.limit}: these are parts of the data sets."]
    sample = [f"SAMPLE DATA: {name} is drawn, not photographed." for name in sorted(study.sample_data)]
    missing = [note for name in study.datasets for note in missing_facts(study.output, name)]
    return [*sample, *limit, *study.left_out, *damaged, *missing]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _table(study: StoredStudy, rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a table with these columns; sample_data is True where a test or training set is drawn."""
    table = pd.DataFrame(rows, columns=list(columns))
    table = table.astype(dict.fromkeys(of_kind("count", columns), "Int64"))
    trained_on = {run.name: run.run["train_on"] for run in study.runs}
    table["sample_data"] = [_is_sample(study, row, trained_on) for row in rows]
    return table.astype({"sample_data": bool})


def _is_sample(study: StoredStudy, row: dict[str, Any], trained_on: dict[str, list[str]]) -> bool:
    names = [*datasets_of(study, row["test_on"]), *str(row.get("train_on") or "").split("+")]
    names += trained_on.get(row.get("run", ""), [])
    if row.get("family") in ("training sets", "models over data sets"):
        names += [*str(row["first"]).split("+"), *str(row["second"]).split("+")]
    return study.is_sample(*names)


# ---------------------------------------------------------------- rows


@dataclass
class Collected:
    """Rows of every table, by its name, as test sets come."""

    study: StoredStudy
    validation: Validation
    primary: list[Tested] = field(default_factory=list)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = {name: [] for name in STATISTICS}

    def add(self, test_set: TestSet) -> None:
        """Add what one test set holds."""
        single = {id(answer): answer for answer in (*test_set.single, *test_set.pooled)}
        for answer in single.values():
            self.rows["intervals"] += interval_rows(test_set, answer)
        self.rows["seeds"] += seed_rows(test_set)
        for family in families(test_set):
            declared = self.study.primary_metric if family.kind in self.study.primary_comparisons else ""
            tested = comparisons(test_set, family, declared)
            self.rows["comparisons"] += rows_of(tested)
            self.primary += [one for one in tested if one.role == PRIMARY]
        self.rows["best"] += best_rows(self.validation.study, test_set)
        self.rows["optimism"] += optimism_rows(test_set)
        self.rows["groups"] += group_rows(test_set)
        calibration = CalibrationRows()
        calibration.add(test_set, self.validation)
        self.rows["calibration"] += calibration.calibration
        self.rows["reliability"] += calibration.bins
        self.rows["risk_coverage"] += calibration.risk


def _keys(test_on: str, answer: Answer) -> dict[str, Any]:
    keys = {"run": answer.run, "test_on": test_on, "test_variant": answer.test_variant, "tta": answer.tta}
    return keys | asdict(answer.setup) | {"seed": answer.seed, "split": " | ".join(answer.folds)}


def interval_rows(test_set: TestSet, answer: Answer) -> Iterator[dict[str, Any]]:
    """95 % intervals of one answer: Wilson for accuracy and recalls, groups resampled for all scores.

    Wilson takes rows as independent; where n_groups is well below n, the bootstrap's accuracy is the one to quote.
    """
    rows, classes = answer.rows, answer.probabilities.shape[1]
    keys = _keys(test_set.name, answer)
    correct = rows.labels == answer.predicted
    names = ["accuracy", *(f"recall_{emotion}" for emotion in class_names(classes))]
    masks = [np.full(len(rows), True), *(rows.labels == label for label in range(classes))]
    hits, counts = [correct[mask].sum() for mask in masks], [mask.sum() for mask in masks]
    for name, mask, hit, n, low, high in zip(names, masks, hits, counts, *wilson_interval(hits, counts), strict=True):
        if n:
            found = {"metric": name, "value": hit / n, "low": low, "high": high, "method": "wilson", "n": n}
            yield keys | found | {"n_groups": len(np.unique(rows.groups[mask]))}
    for name in test_set.scores:
        low, high = percentile_interval(answer.resampled[name])
        found = {"metric": name, "value": answer.scores[name], "low": low, "high": high}
        yield keys | found | {"method": "bootstrap over groups", "n": len(rows), "n_groups": rows.draws.n_groups}


def seed_rows(test_set: TestSet) -> Iterator[dict[str, Any]]:
    """Spread of each score over the seeds and repeats of each setup; folds are pooled before, or else averaged."""
    grouped: dict[tuple[Any, ...], list[Answer]] = {}
    for answer in test_set.pooled:
        grouped.setdefault((answer.setup, answer.test_variant, answer.tta), []).append(answer)
    for (setup, test_variant, tta), answers in grouped.items():
        keys = asdict(setup) | {"is_oracle": setup.is_oracle, "test_on": test_set.name}
        keys |= {"test_variant": test_variant, "tta": tta}
        keys["seeds"] = " ".join(sorted({str(answer.seed) for answer in answers}, key=int))
        keys["folds"] = " ".join(dict.fromkeys(fold for answer in answers for fold in answer.folds))
        units: dict[tuple[int, str], list[Answer]] = {}
        for answer in answers:
            units.setdefault((answer.seed, answer.repeat), []).append(answer)
        keys |= {"n_seeds": len({seed for seed, _ in units}), "n_repeats": len({repeat for _, repeat in units})}
        for score in test_set.scores:
            means = [float(np.mean([answer.scores[score] for answer in unit])) for unit in units.values()]
            yield keys | {"metric": score} | spread(means) | _interval_of_mean(answers, score)


def _interval_of_mean(answers: list[Answer], score: str) -> dict[str, float]:
    """95 % interval of the mean of one setup, where all its trainings answered the same rows.

    Under three seeds other pictures are drawn, and it is about these weights only; from three on other seeds as well
    (significance.compare against nothing).
    """
    rows = answers[0].rows
    if any(answer.rows is not rows for answer in answers):
        return {}
    if len(answers) == 1:
        low, high = percentile_interval(answers[0].resampled[score])
        return {"low": low, "high": high}
    of_seeds = resampled_of(answers, score)
    nothing = Resampled(np.zeros(1), np.zeros((1, of_seeds.draws.shape[1])))
    low, high = compare(of_seeds, nothing, rows.sizes[score], paired=True).interval()
    return {"low": max(low, min(0.0, float(of_seeds.values.min()))), "high": high}


def optimism_rows(test_set: TestSet) -> Iterator[dict[str, Any]]:
    """Oracle minus counterpart, the epoch of the same training chosen on validation: per training, and their mean.

    Only on test sets the oracle saw, all of whose datasets it was trained on: elsewhere it chose nothing.
    """
    grouped: dict[tuple[Any, ...], dict[str, list[Answer]]] = {}
    for answer in test_set.pooled:
        setup = answer.setup
        if not set(test_set.name.split("+")) <= set(answer.entry.run.run["train_on"]):
            continue
        same = (*(getattr(setup, name) for name in SETUP[:-1]), answer.test_variant, answer.tta)
        grouped.setdefault(same, {}).setdefault(setup.selection, []).append(answer)
    for by_selection in grouped.values():
        oracles = by_selection.pop(ORACLE, [])
        for counterparts in by_selection.values():
            yield from _optimism(test_set, *paired_in_order(oracles, counterparts))


def _optimism(test_set: TestSet, oracles: list[Answer], counterparts: list[Answer]) -> Iterator[dict[str, Any]]:
    pairs = [([oracle], [other]) for oracle, other in zip(oracles, counterparts, strict=True)]
    same_rows = len({id(answer.rows) for answer in oracles}) == 1
    never_below_0 = _is_chosen_on(test_set.name, oracles)
    for first, second in [*pairs, *([(oracles, counterparts)] if len(pairs) > 1 and same_rows else [])]:
        one = second[0]
        alone = len(first) == 1
        seeds = {"seed": one.seed if alone else None, "n_seeds": len({answer.seed for answer in first})}
        keys = _keys(test_set.name, one) | seeds
        for score in test_set.scores:
            found = difference(first, second, score, paired=True)
            values = [sum(answer.scores[score] for answer in side) / len(side) for side in (first, second)]
            low, high = found.interval()
            if never_below_0 and score == "accuracy":
                low, high = max(low, 0.0), max(high, 0.0)
            yield keys | {
                "metric": score, "oracle": values[0], "counterpart": values[1], "optimism": found.value, "low": low,
                "high": high, "weights_only": found.weights_only, "method": found.method,
                "n": len(one.rows), "n_groups": one.rows.draws.n_groups,
            }  # fmt: skip


def _is_chosen_on(test_on: str, oracles: list[Answer]) -> bool:
    """True where the epoch was chosen by accuracy on these very answers: then the optimism cannot be negative.

    So there is nothing to test, and the interval ends at 0. (A union is another number than the mean chosen by.)
    """
    return all(
        oracle.setup.train_on == test_on
        and "+" not in test_on
        and oracle.tta == "none"
        and oracle.test_variant == scored_variant(oracle.setup.variant)
        for oracle in oracles
    )


def group_rows(test_set: TestSet) -> Iterator[dict[str, Any]]:
    """Results per group of every answer without TTA to the test set of one dataset."""
    if len({name.split("/")[0] for name in test_set.facts["group"]}) > 1:
        return  # quantiles of a union would compare datasets
    known: dict[int, list[tuple[str, pd.Series]]] = {}
    for answer in test_set.pooled:
        if answer.tta != "none":
            continue
        rows, keys = answer.rows, _keys(test_set.name, answer)
        if id(rows) not in known:
            known[id(rows)] = list(groupings(test_set.facts.reindex(rows.sample_ids)))
        together = len(known[id(rows)])
        for attribute, groups in known[id(rows)]:
            found = results_by_group(attribute, groups, rows.labels, answer.predicted, together)
            yield from (keys | row for row in found)
