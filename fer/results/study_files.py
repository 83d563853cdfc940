"""What a study left on disk, read back: study.json, run.json, predictions, histories, class counts.

Tables, figures and reports see a study only through here, so they need neither config.py, nor the
datasets, nor torch, and cover exactly the runs and predictions of the present plan. What is damaged is
left out: readers raise InputError naming the file, callers log it and go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from evaluation import Predictions, hard_vote, load_predictions, macro_f1, problem_of_predictions, soft_vote
from fer.data.samples import refuse_changed
from fer.data.splits import SPLITS
from fer.data.whole_sets import dataset_of
from fer.layouts.emotions import EMOTIONS, class_names
from fer.metrics.metrics import counted
from fer.runs.record import is_count, is_name
from fer.runs.run import read_run_json
from fer.settings.settings import Comparison, Settings
from fer.study.predictions import PredictionFile
from utils import InputError, read_csv, read_sealed

HISTORY_COLUMNS = (
    "epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "train_macro_f1", "val_macro_f1",
    "learning_rate",
)  # fmt: skip


# Names in what study.json says of a planned run.
ENTRY = ("file", "test_on", "test_variant", "tta")  # names in what it says of a predictions file
PLANNED = ("variant", "model", "split", "balance", "mixing", "selection")


@dataclass(frozen=True)
class StoredRun:
    """A finished run. `run` describes it (see runs.Run), `counts` its rows per dataset, `facts` its cost.

    An ensemble is described like a run; `members` names the runs that vote, and is empty for a network. So are the
    folds of a repeat together (fer.results.pooling); `folds` names them, and is empty for a training.
    """

    name: str
    folder: Path
    run: dict[str, Any]
    counts: dict[str, dict[str, Any]]
    facts: dict[str, Any]
    members: tuple[str, ...] = ()
    folds: tuple[str, ...] = ()

    @property
    def train_on(self) -> str:
        """Names of the datasets trained on, joined by "+"."""
        return "+".join(self.run["train_on"])

    def rows(self, which: str) -> int:
        """`n_train` or `n_val`: rows before balancing, over all datasets trained on."""
        return sum(counts[which] for counts in self.counts.values())


@dataclass(frozen=True)
class PredictionEntry(PredictionFile):
    """One predictions file the present plan asks for, and the run whose it is.

    Where `how` is not "file", nothing lies at `path`: the probabilities are those of `parts`, put after one
    another ("union"; "folds": then sorted by sample_id), or voting ("soft", "hard", "weighted"). `weighed_on` holds,
    per voter, the validation entries whose macro-F1 is its weight. `rows`: see fer.results.pooling.
    """

    run: StoredRun
    how: str = "file"
    parts: tuple[PredictionEntry, ...] = ()
    weighed_on: tuple[tuple[PredictionEntry, ...], ...] = ()
    rows: str = "official"

    def stamp(self) -> list[Any]:
        """Changes when the file should be read again: its key, and its size (a cut file is noticed)."""
        if self.how != "file":
            weighed_on = [one.stamp() for panel in self.weighed_on for one in panel]
            return [self.how, *[part.stamp() for part in self.parts], *weighed_on]
        return [self.key, self.path.stat().st_size if self.path.is_file() else None]


@dataclass(frozen=True)
class StoredStudy:
    """The present plan as far as it is done: `planned` describes all runs by name, `runs` are the finished ones.

    `primary_metric` and `primary_comparisons`: what the study asks, as config.py declared. `left_out`: in words, what
    is not made of them since a part of it is not there (fer.results.ensembles, fer.results.pooling). `only_tested`: the
    datasets that are never trained on ("role": "test"). `classes`: 7, or 8 with contempt, of every run.
    """

    output: Path
    planned: dict[str, dict[str, Any]]
    runs: tuple[StoredRun, ...]
    predictions: tuple[PredictionEntry, ...]
    datasets: tuple[str, ...]
    sample_data: frozenset[str]
    limit: int | None
    rejects_no_face: bool
    primary_metric: str = Settings.model_fields["primary_metric"].default
    primary_comparisons: tuple[str, ...] = Settings.model_fields["primary_comparisons"].default
    left_out: tuple[str, ...] = ()
    only_tested: frozenset[str] = frozenset()
    classes: int = len(EMOTIONS)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The datasets a training may take."""
        return tuple(name for name in self.datasets if name not in self.only_tested)

    def is_sample(self, *names: str) -> bool:
        """True when one of the datasets is drawn sample data."""
        return not self.sample_data.isdisjoint(map(dataset_of, names))


def read_study(output: Path) -> StoredStudy:
    """Read study.json and the run.json of every finished run under `output`.

    Raises InputError when study.json is not there, damaged, or of another version.
    """
    path = output / "study.json"
    try:
        stored = _checked(read_sealed(path))
        runs = {name: found for name in stored["runs"] if (found := _read_run(output, name)) is not None}
        return StoredStudy(
            output=output,
            planned={name: runs[name].run if name in runs else stored["plan"][name] for name in stored["runs"]},
            runs=tuple(runs.values()),
            predictions=tuple(_entries(runs, stored["predictions"])),
            datasets=tuple(stored["counts"]),
            sample_data=frozenset(stored["sample_data"]),
            limit=stored["config"]["LIMIT_PER_SPLIT"],
            rejects_no_face=stored["config"]["NO_FACE"] == "reject",
            only_tested=_only_tested(stored["config"]),
            classes=_same_classes(stored["config"], runs.values()),
            **_declared(stored["config"]),
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{output} holds no study: there is no {path}. A whole run makes one: python main.py "
            "(with --demo on drawn sample faces). Of another folder: --report PATH."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be used ({type(error).__name__}: {error}). "
            "Run main.py with the study's config: it is written again, and nothing finished is repeated."
        ) from error


@dataclass(frozen=True)
class StoredPoint:
    """A point of GRID: the value of each axis, its runs by name, and whether the study's tables are about it."""

    values: dict[str, Any]
    runs: frozenset[str]
    is_own: bool


@dataclass(frozen=True)
class StoredGrid:
    """The points of the present plan's GRID, and `study`: all their runs, with their predictions on validation rows."""

    points: tuple[StoredPoint, ...]
    study: StoredStudy


def read_grid(output: Path) -> StoredGrid | None:
    """The GRID of the present plan as far as it is done; None where it has none.

    Raises InputError when study.json is not there or damaged.
    """
    own, path = read_study(output), output / "study.json"
    stored = read_sealed(path).get("grid")
    if stored is None:
        return None
    try:
        points = tuple(
            StoredPoint(dict(point["values"]), frozenset(point["runs"]), bool(point["is_own"]))
            for point in stored["points"]
        )
        names = list(stored["plan"])
        listed = {name: [item for item in stored["predictions"][name] if item["split"] == "val"] for name in names}
        _refuse_strange([*names, *(item[part] for items in listed.values() for item in items for part in ENTRY)])
        runs = {name: found for name in names if (found := _read_run(output, name)) is not None}
        plan = {name: runs[name].run if name in runs else stored["plan"][name] for name in names}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"The grid in {path} cannot be used ({type(error).__name__}: {error}). Run main.py: it is written again."
        ) from error
    study = replace(own, planned=plan, runs=tuple(runs.values()), predictions=tuple(_entries(runs, listed)))
    return StoredGrid(points, study)


def _checked(stored: dict[str, Any]) -> dict[str, Any]:
    """What study.json holds. Raises ValueError for a name that is none: names become parts of paths."""
    names = [*stored["runs"], *stored["counts"], *stored["sample_data"]]
    for listed in stored["predictions"].values():
        names += [item[part] for item in listed for part in ENTRY]
    _refuse_strange(names)
    strange = [item["split"] for listed in stored["predictions"].values() for item in listed
                if item["split"] not in SPLITS]  # fmt: skip
    for run in stored.get("plan", {}).values():
        strange += [part for part in (*run["train_on"], *(run[name] for name in PLANNED)) if not is_name(part)]
        strange += [] if is_count(run["seed"]) else [run["seed"]]
    if strange:
        raise ValueError(f"{strange[0]!r} stands where a name should be")
    limit = stored["config"]["LIMIT_PER_SPLIT"]
    rows = [n for counts in stored["counts"].values() for n in counts.values()]
    if not (limit is None or is_count(limit)) or not all(map(is_count, rows)):
        raise ValueError("a count of rows is no whole number")
    return stored


def _refuse_strange(names: Iterable[Any]) -> None:
    strange = [name for name in names if not is_name(name)]
    if strange:
        raise ValueError(f"{strange[0]!r} stands where a name should be")


def _only_tested(config: dict[str, Any]) -> frozenset[str]:
    """Datasets of the role "test"; none in a study made before there were roles."""
    return frozenset(name for name, row in config.get("DATASETS", {}).items() if row.get("role") == "test")


def _classes_of(run: Mapping[str, Any]) -> int:
    """How many classes a run answers with; 7 in one made before there were eight."""
    return run["hyper"].get("classes", len(EMOTIONS))


def _same_classes(config: dict[str, Any], runs: Iterable[StoredRun]) -> int:
    """CLASSES of the study. Raises ValueError for a run of other classes: their scores are of other questions."""
    classes = config.get("CLASSES", len(EMOTIONS))
    other = next((run for run in runs if _classes_of(run.run) != classes), None)
    if other is not None:
        raise ValueError(f"{other.name} answers with {_classes_of(other.run)} classes in a study of {classes}")
    return len(class_names(classes))


def _declared(config: dict[str, Any]) -> dict[str, Any]:
    """The primary metric and comparisons; empty for a study made before they could be declared."""
    if "PRIMARY_METRIC" not in config:
        return {}
    metric, comparisons = config["PRIMARY_METRIC"], tuple(config["PRIMARY_COMPARISONS"])
    if metric not in counted() or not set(comparisons) <= set(get_args(Comparison)):
        raise ValueError(f"{metric!r} or {comparisons!r} is no metric or comparison")
    return {"primary_metric": metric, "primary_comparisons": comparisons}


def _read_run(output: Path, name: str) -> StoredRun | None:
    folder = output / "saved_models" / name
    stored = read_run_json(folder)
    return None if stored is None else StoredRun(name, folder, stored["run"], stored["counts"], stored["facts"])


def _entries(runs: dict[str, StoredRun], listed: dict[str, list[dict[str, str]]]) -> Iterator[PredictionEntry]:
    for name, run in runs.items():
        for item in listed.get(name, []):
            path = run.folder / "predictions" / item["file"]
            test_on, split = item["test_on"], item["split"]
            yield PredictionEntry(path, item["key"], test_on, split, item["test_variant"], item["tta"], run)


def read_predictions(entry: PredictionEntry) -> Predictions:
    """The probabilities of an entry: from its file, or put together from those of its parts.

    Raises InputError when a file is damaged, holds other classes, or was made from other weights or rows.
    """
    if entry.how != "file":
        return _put_together(entry)
    found = _load_once(entry.path, entry.path.stat().st_mtime_ns if entry.path.is_file() else 0)
    problem = problem_of_predictions(found, class_names(_classes_of(entry.run.run)), entry.key)
    if problem:
        raise InputError(f"{entry.path} cannot be used: {problem}. Run main.py: it is made again.")
    return found


# Predictions in memory: how many, and how many bytes, ids of rows aside (sixty networks on 250,000 rows).
MOST_KEPT, KEPT_BYTES = 128, 512 << 20
_kept: dict[tuple[Path, int], Predictions] = {}  # the oldest first


def _load_once(path: Path, changed: int) -> Predictions:
    """Votes and unions read the same files again and again; the time of change makes a written file a new one.

    The ids of the same rows are held once: they take ten times the room of their probabilities.
    """
    key = (path, changed)
    if key not in _kept:
        found = load_predictions(path)
        same = (one.sample_ids for one in _kept.values() if np.array_equal(one.sample_ids, found.sample_ids))
        _kept[key] = replace(found, sample_ids=next(same, found.sample_ids))
        _forget(key)
    return _kept[key]


def _forget(newest: tuple[Path, int]) -> None:
    """Let the oldest go until the others fit; never the newest."""
    sizes = {key: one.probabilities.nbytes + one.labels.nbytes for key, one in _kept.items()}
    while len(sizes) > 1 and (len(sizes) > MOST_KEPT or sum(sizes.values()) > KEPT_BYTES):
        oldest = next(key for key in sizes if key != newest)
        del sizes[oldest], _kept[oldest]


def _put_together(entry: PredictionEntry) -> Predictions:
    parts = [read_predictions(part) for part in entry.parts]
    first = parts[0]
    ids, labels = first.sample_ids, first.labels
    if entry.how in ("union", "folds"):
        fields = ("sample_ids", "labels", "probabilities")
        ids, labels, probabilities = (np.concatenate([getattr(part, name) for part in parts]) for name in fields)
        if entry.how == "folds":  # all repeats and networks in one order, however their folds were drawn
            order = np.argsort(ids, kind="stable")
            ids, labels, probabilities = ids[order], labels[order], probabilities[order]
    elif all(np.array_equal(part.sample_ids, ids) and np.array_equal(part.labels, labels) for part in parts):
        probabilities = _vote(entry, np.stack([part.probabilities for part in parts]))
    else:
        raise InputError(f"{entry.run.name} cannot vote on {entry.test_on}: its members scored different rows.")
    names = (entry.run.name, entry.test_on, entry.split, entry.test_variant, entry.tta)
    return Predictions(*names, first.classes, ids, labels, probabilities, entry.key)


def _vote(entry: PredictionEntry, probabilities: np.ndarray) -> np.ndarray:
    if entry.how == "hard":
        return hard_vote(probabilities)
    if entry.how == "soft":
        return soft_vote(probabilities)
    weighing = [[read_predictions(one) for one in panel] for panel in entry.weighed_on]
    weights = np.array([np.mean([macro_f1(p.labels, p.probabilities) for p in panel]) for panel in weighing])
    return soft_vote(probabilities, weights if weights.any() else None)


def read_history(run: StoredRun) -> pd.DataFrame:
    """history.csv of a run, one row an epoch. Raises InputError when it is damaged."""
    path = run.folder / "history.csv"
    try:
        history = read_csv(path)
        numbers = history[list(HISTORY_COLUMNS)].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}); its learning curves are left out.") from error
    if numbers.empty:
        raise InputError(f"{path} holds no epoch; its learning curves are left out.")
    return history


def read_class_counts(output: Path, dataset: str, classes: int = len(EMOTIONS)) -> dict[str, list[int]]:
    """Rows in use per class (index = label), for each split of a dataset.

    Raises InputError when the dataset's samples table is damaged.
    """
    path = output / "samples" / f"{dataset}_samples.csv"
    refuse_changed(path)
    try:
        rows = read_csv(path, ["split"], usecols=["label", "split"]).astype({"label": int})
        labels = {split: rows["label"].to_numpy()[(rows["split"] == split).to_numpy()] for split in SPLITS}
        return {split: np.bincount(found, minlength=classes).tolist() for split, found in labels.items()}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}). Run main.py: it is written again.") from error
