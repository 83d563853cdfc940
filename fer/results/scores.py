"""Metrics of every predictions file of a study, computed once and kept in `cache/tables.json`.

An entry of the cache is made again when its predictions file changed, or a samples table behind its copies did.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import METRICS, Predictions, accuracy, all_metrics, class_scores
from fer.data.folds import OFFICIAL, repeat_of
from fer.data.whole_sets import dataset_of, is_whole
from fer.layouts.emotions import EMOTIONS
from fer.results.confident_rows import ConfidentRows
from fer.results.leaks import Copies, TestCopies, parts_of
from fer.results.study_files import PredictionEntry, StoredRun, StoredStudy, read_class_counts, read_predictions
from utils import InputError, log, progress, read_json, write_json

# Raise when a metric would give another number for the same probabilities.
SCORES_VERSION = 7
MAJORITY = "majority_class"


@dataclass(frozen=True)
class Scores:
    """Metrics of one set of rows. `run` is None for the majority class; `classes`: [C] per score name.

    `rows`: which rows they are, see fer.results.pooling.
    """

    run: StoredRun | None
    test_on: str
    split: str
    test_variant: str
    tta: str
    metrics: dict[str, Any]
    classes: dict[str, list[Any]]
    rows: str = "official"

    @property
    def name(self) -> str:
        """Folder name of the run."""
        return MAJORITY if self.run is None else self.run.name


@dataclass
class ScoreStore:
    """Scores known from before, those in use now, which test rows are copies or doubted, what was left out and why."""

    study: StoredStudy
    path: Path
    copies: Copies
    confident: ConfidentRows
    known: dict[str, Any]
    tested: dict[str, list[PredictionEntry]] = field(default_factory=dict)
    fresh: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for entry in self.study.predictions:
            if entry.split == "test" and not entry.parts:
                self.tested.setdefault(entry.run.name, []).append(entry)

    def leave_out(self, reason: str) -> None:
        """Note, once, what the tables do without."""
        if reason not in self.left_out:
            log.warning("left out of the tables: %s", reason)
            self.left_out.append(reason)


def score_study(study: StoredStudy, cache: Path) -> tuple[list[Scores], list[str]]:
    """Scores of every usable predictions file of the plan, and of the majority class on the same sets.

    Also returns, in words, what was left out and why.
    """
    store = ScoreStore(study, cache, Copies(study.output), ConfidentRows(study.output), _read_cache(cache))
    scored = [one for entry in _with_progress(store) if (one := _score_entry(store, entry))]
    for name, split, rows in sorted({(one.test_on, one.split, one.rows) for one in scored} - _folds(scored)):
        try:
            scored.append(_score_majority(store, name, split, rows))
        except InputError as error:
            store.leave_out(f"the majority-class row of {name}: {error}")
    if store.fresh != store.known:
        write_json(cache, {"version": _cache_version(), "scores": store.fresh})
    return scored, store.left_out


def _cache_version() -> list[Any]:
    return [SCORES_VERSION, list(METRICS), list(EMOTIONS)]


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


def _with_progress(store: ScoreStore) -> Iterable[PredictionEntry]:
    entries = store.study.predictions
    new = any(store.known.get(_cache_name(entry), {}).get("stamp") != _stamp(store, entry) for entry in entries)
    return progress(entries, "metrics") if new else entries


def _cache_name(entry: PredictionEntry) -> str:
    return f"{entry.run.name}/{entry.path.name}"


def _stamp(store: ScoreStore, entry: PredictionEntry) -> list[Any]:
    if entry.split != "test":
        return entry.stamp()
    judged = [] if store.confident.key is None else [store.confident.key]
    return [*entry.stamp(), *_copies_stamp(store, entry), *judged]


def _copies_stamp(store: ScoreStore, entry: PredictionEntry) -> list[Any]:
    """Changes with the tables that tell the copies among the rows of an entry."""
    if entry.parts:
        return [stamp for part in entry.parts for stamp in _copies_stamp(store, part)]
    fold = [] if entry.run.run["split"] == OFFICIAL else [other.key for other in store.tested[entry.run.name]]
    return [*store.copies.stamp(_datasets(entry)), *fold]


def _datasets(entry: PredictionEntry) -> list[str]:
    return [*_seen_by(entry), dataset_of(entry.test_on)]


def _seen_by(entry: PredictionEntry) -> list[str]:
    """The datasets a run learnt from, before its own training too."""
    run = entry.run.run
    return list(dict.fromkeys([*run["train_on"], *run.get("pretrained_on", ())]))


def _score_entry(store: ScoreStore, entry: PredictionEntry) -> Scores | None:
    name, stamp = _cache_name(entry), _stamp(store, entry)
    if store.known.get(name, {}).get("stamp") == stamp:
        store.fresh[name] = store.known[name]
    else:
        try:
            found = read_predictions(entry)
        except InputError as error:
            store.leave_out(str(error))
            return None
        parts = {}
        if entry.split == "test":
            parts = _parts_of_the_test(store, entry, found) | _confident_part(store, found)
        store.fresh[name] = _compute(stamp, found.labels, found.probabilities, parts)
    numbers = _numbers(store.fresh[name])
    return Scores(entry.run, entry.test_on, entry.split, entry.test_variant, entry.tta, **numbers, rows=entry.rows)


def _parts_of_the_test(store: ScoreStore, entry: PredictionEntry, found: Predictions) -> dict[str, float]:
    """Accuracy and rows without and with an identical copy in training; empty where the copies are not known.

    `n_near_copies`: rows without an identical copy that have a near one; the rows without either are a third part.
    Neither is there where no audit tells.
    """
    try:
        copies = _copies_of(store, entry)
    except InputError as error:
        store.leave_out(f"accuracy without identical copies: {error}")
        return {}
    if copies is None:
        return {}
    copied = _are_among(found.sample_ids, copies.identical)
    scores: dict[str, float] = {}
    parts = {"without_copies": ~copied, "copies": copied}
    if copies.near is not None:
        near = _are_among(found.sample_ids, copies.near)
        scores["n_near_copies"] = int(near.sum())
        parts["without_near_copies"] = ~copied & ~near
    for part, rows in parts.items():
        right = accuracy(found.labels[rows], found.probabilities[rows]) if rows.any() else float("nan")
        scores |= {f"accuracy_{part}": right, f"n_{part}": int(rows.sum())}
    return scores


def _are_among(sample_ids: np.ndarray, names: Collection[str]) -> np.ndarray:
    """bool [N]: looked up, where np.isin would sort hundreds of thousands of long texts for every network."""
    return np.fromiter((name in names for name in sample_ids.tolist()), dtype=bool, count=len(sample_ids))


def _confident_part(store: ScoreStore, found: Predictions) -> dict[str, float]:
    """Accuracy on the rows whose label is not doubted, and how many; empty where these are not known."""
    try:
        rows = store.confident.find(found.sample_ids)
    except InputError as error:
        store.leave_out(f"accuracy on confident rows: {error}")
        return {}
    if rows is None:
        return {}
    right = accuracy(found.labels[rows], found.probabilities[rows]) if rows.any() else float("nan")
    return {"accuracy_confident": right, "n_confident": int(rows.sum())}


def _copies_of(store: ScoreStore, entry: PredictionEntry) -> TestCopies | None:
    """The copies among the rows of an entry; of a union, those of its parts. None where they are not known."""
    if entry.parts:
        found = [copies for part in entry.parts if (copies := _copies_of(store, part)) is not None]
        near = [copies.near for copies in found if copies.near is not None]
        if len(found) < len(entry.parts):
            return None
        identical = frozenset[str]().union(*(copies.identical for copies in found))
        return TestCopies(identical, frozenset[str]().union(*near) if len(near) == len(found) else None)
    if not store.copies.known(_datasets(entry)):
        return None
    held_out = None if entry.run.run["split"] == OFFICIAL else _held_out(store, entry)
    return store.copies.find(_seen_by(entry), entry.test_on, held_out)


def _held_out(store: ScoreStore, entry: PredictionEntry) -> list[str]:
    """`sample_id` of the test rows of a fold: those its run is scored on. Raises InputError where some are not told."""
    entries = {other.test_on: other for other in store.tested[entry.run.name] if not is_whole(other.test_on)}
    untold = {*entry.run.run["train_on"], dataset_of(entry.test_on)} - entries.keys()
    if untold:
        raise InputError(
            f"{entry.run.name} is not scored on {', '.join(sorted(untold))}: its fold's test rows are unknown."
        )
    return [name for other in entries.values() for name in read_predictions(other).sample_ids.tolist()]


def _folds(scored: list[Scores]) -> set[tuple[str, str, str]]:
    """Single folds have no baseline of their own: their repeat has."""
    return {(one.test_on, one.split, "fold") for one in scored}


def _score_majority(store: ScoreStore, name: str, split: str, rows: str) -> Scores:
    """The most frequent class of the training rows as the answer to all rows; in folds, each fold's own to its own.

    A set that is only tested on has no training rows: the most frequent class of its test rows.
    """
    folds = [_official_counts(store, name, split)] if rows == "official" else _fold_counts(store, name, split, rows)
    answers = [int(np.argmax(fold["train"] if any(fold["train"]) else fold["scored"])) for fold in folds]
    labels = [np.repeat(np.arange(len(fold["scored"])), fold["scored"]) for fold in folds]
    key, stamp = f"{MAJORITY}/{name}__{split}__{rows}", [answers, [list(map(int, fold["scored"])) for fold in folds]]
    if store.known.get(key, {}).get("stamp") == stamp:
        store.fresh[key] = store.known[key]
    else:
        answered = np.repeat(answers, [len(part) for part in labels])
        store.fresh[key] = _compute(stamp, np.concatenate(labels), np.eye(store.study.classes)[answered], {})
    scores = _numbers(store.fresh[key])
    sets = len(folds) if rows == "own split" else len({fold["repeat"] for fold in folds})
    scores["metrics"]["n_test"] = round(scores["metrics"]["n_test"] / sets)
    if rows == "official":
        scores["metrics"] |= {f"n_{part}": sum(folds[0][part]) for part in ("train", "val")}
    return Scores(None, name, split, "", "none", **scores, rows=rows)


def _official_counts(store: ScoreStore, name: str, split: str) -> dict[str, Any]:
    """Rows per class: trained on, for validation, and scored."""
    counts = _class_counts(store.study, name)
    if is_whole(name):
        counts |= {"test": np.sum(list(counts.values()), axis=0).tolist()}
    only_tested = store.study.only_tested.issuperset(parts_of(store.study.output, name))
    if not sum(counts[split]) or not (sum(counts["train"]) or only_tested):
        raise InputError(f"its samples table has no {split} or no training row now. Run main.py: it is scored again.")
    counts |= {"train": [0], "val": [0]} if only_tested else {}
    return {"train": counts["train"], "val": counts["val"], "scored": counts[split], "repeat": OFFICIAL}


def _fold_counts(store: ScoreStore, name: str, split: str, rows: str) -> list[dict[str, Any]]:
    """The same per fold that was scored, from the rows of its predictions: all that are no test rows are trained on."""
    wanted = "fold" if rows == "pooled" else rows
    folds: dict[str, PredictionEntry] = {}
    for entry in store.study.predictions:
        if (entry.test_on, entry.split, entry.rows) == (name, split, wanted):
            folds.setdefault(entry.run.run["split"], entry)
    whole = np.sum(list(_class_counts(store.study, name).values()), axis=0)
    found = []
    for fold, entry in folds.items():
        scored = np.bincount(read_predictions(entry).labels, minlength=store.study.classes)
        trained = whole - scored if split == "test" else entry.run.counts[name]["original"]
        found.append({"train": trained, "scored": scored, "repeat": repeat_of(fold)})
    return found


def _class_counts(study: StoredStudy, name: str) -> dict[str, list[int]]:
    """Rows per split and class of a dataset, or of a union "a+b"."""
    parts = [read_class_counts(study.output, part, study.classes) for part in parts_of(study.output, name)]
    return {split: np.sum([part[split] for part in parts], axis=0).tolist() for split in parts[0]}


def _compute(stamp: list[Any], labels: np.ndarray, probabilities: np.ndarray, more: dict[str, float]) -> dict[str, Any]:
    """Everything the tables say about one set of rows, as JSON (None for NaN)."""
    metrics = all_metrics(labels, probabilities) | {"n_test": len(labels)} | more
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
