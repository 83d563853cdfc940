"""The folds of a repeat as one set of predictions, the one source of every table, figure and statement about folds.

A mean over folds would weigh small folds and rare classes wrongly, and its deviation would be called one over
trainings; so the k folds of one repeat, and persons left out in turn, are put together before anything is scored.
They then look like one run whose `split` is the repeat. `PredictionEntry.rows` says what an entry's rows are:

| rows | which test rows | in tables |
|---|---|---|
| official | those of the samples table, the same for every run | as they are; folds of a repeat as their mean |
| pooled | the folds of a repeat together: every row once | as they are |
| fold | one fold of several, to be pooled | in results.csv alone |
| own split | of one of several random splits, or validation rows of a fold | as they are, or the mean of the folds |

("own split" is also a union only one part of which is split into folds.)

A repeat is pooled where every planned fold of it has been scored; the others are listed as left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fer.data.folds import OFFICIAL, in_fold_order, repeat_of
from fer.data.whole_sets import is_whole
from fer.results.study_files import PredictionEntry, StoredRun, StoredStudy, read_predictions
from utils import InputError, fingerprint, read_csv

ROWS = ("official", "pooled", "fold", "own split")
# What the folds of a repeat have in common, beside their seed and repeat.
SAME = ("train_on", "variant", "seed", "balance", "mixing", "selection")
Scored = tuple[str, str, str]


def with_folds_pooled(study: StoredStudy) -> StoredStudy:
    """The study with the pooled folds of every whole repeat among its runs and predictions; rows named in all."""
    if all(run["split"] == OFFICIAL for run in study.planned.values()):
        return study
    planned = _planned_folds(study)
    pooling = _Pooling(study)
    repeats: dict[str, list[StoredRun]] = {}
    for run in study.runs:
        if run.run["split"] != OFFICIAL:
            repeats.setdefault(fingerprint([_same(run.run), run.run["model"]]), []).append(run)
    for runs in repeats.values():
        pooling.add(sorted(runs, key=_by_fold), planned[fingerprint(_same(runs[0].run))])
    predictions = [
        replace(entry, rows=pooling.rows_of(entry, len(planned[fingerprint(_same(entry.run.run))])))
        for entry in study.predictions
    ]
    return replace(
        study,
        runs=(*study.runs, *pooling.runs),
        predictions=(*predictions, *pooling.entries),
        left_out=(*study.left_out, *pooling.left_out),
    )


def _same(run: dict[str, Any]) -> list[Any]:
    return [*(run[name] for name in SAME), repeat_of(run["split"])]


def _by_fold(run: StoredRun) -> list[Any]:
    return in_fold_order(run.run["split"])


def _planned_folds(study: StoredStudy) -> dict[str, set[str]]:
    """The folds planned for each repeat; those of an ensemble are its members'."""
    folds: dict[str, set[str]] = {}
    for run in study.planned.values():
        folds.setdefault(fingerprint(_same(run)), set()).add(run["split"])
    return folds


@dataclass
class _Pooling:
    """What pooling finds: runs and entries to add, what is left out, and the rows of each (test set, fold) read."""

    study: StoredStudy
    runs: list[StoredRun] = field(default_factory=list)
    entries: list[PredictionEntry] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    ids: dict[tuple[str, str, str], frozenset[str] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.of_run: dict[str, list[PredictionEntry]] = {}
        for entry in self.study.predictions:
            self.of_run.setdefault(entry.run.name, []).append(entry)

    def add(self, folds: list[StoredRun], planned: set[str]) -> None:
        """Pool what `folds`, the finished ones of a repeat in order, answered to rows of their own."""
        if len(planned) < 2:
            return
        run = pooled_run(folds, self.study.output)
        found = list(self._pooled(run, folds, planned))
        if found:
            self.runs.append(run)
            self.entries += found

    def _pooled(self, run: StoredRun, folds: list[StoredRun], planned: set[str]) -> Iterator[PredictionEntry]:
        scored: dict[Scored, list[PredictionEntry]] = {}
        for fold in folds:
            for entry in self.of_run.get(fold.name, []):
                if self.rows_of(entry, len(planned)) == "fold":
                    scored.setdefault((entry.test_on, entry.test_variant, entry.tta), []).append(entry)
        for (test_on, variant, tta), entries in scored.items():
            missing = planned - {entry.run.run["split"] for entry in entries}
            unread = {entry.run.run["split"] for entry in entries if self.ids_of(entry) is None}
            if missing or unread:
                self._leave_out(run, test_on, missing | unread, len(planned))
                continue
            parts = tuple(self._once(entries))
            key = fingerprint(["folds", *(part.key for part in parts)], 32)
            path = run.folder / "predictions" / f"{test_on}__test__{variant}__{tta}.npz"
            yield PredictionEntry(path, key, test_on, "test", variant, tta, run, "folds", parts, (), "pooled")

    def _once(self, entries: list[PredictionEntry]) -> Iterator[PredictionEntry]:
        """Those whose rows none before has answered (persons are counted round where datasets have unlike numbers)."""
        taken: set[str] = set()
        for entry in entries:
            ids = self.ids_of(entry) or frozenset()
            if taken.isdisjoint(ids):
                taken |= ids
                yield entry

    def _leave_out(self, run: StoredRun, test_on: str, missing: set[str], planned: int) -> None:
        names = ", ".join(sorted(missing, key=in_fold_order))
        reason = (
            f"{run.run['model']} on {run.train_on}, {run.run['variant']}, seed {run.run['seed']}, "
            f"{run.run['split']}, tested on {test_on}: {planned - len(missing)} of {planned} planned folds are scored; "
            f"not there: {names}. The repeat stands in no mean."
        )
        if reason not in self.left_out:
            self.left_out.append(reason)

    def rows_of(self, entry: PredictionEntry, planned: int) -> str:
        """One of ROWS for an entry of one training; `planned`: folds of its repeat."""
        if entry.run.run["split"] == OFFICIAL or is_whole(entry.test_on):
            return "official"
        if entry.split != "test":
            return "own split"
        parts = entry.parts if entry.how == "union" else (entry,)
        official = [self.ids_of(part) == _test_ids(self.study.output, part.test_on) for part in parts]
        if all(official):
            return "official"
        return "fold" if planned > 1 and not any(official) else "own split"

    def ids_of(self, entry: PredictionEntry) -> frozenset[str] | None:
        """The rows a fold tests on, the same for every network; None where no file of them can be read."""
        key = (entry.test_on, entry.split, entry.run.run["split"])
        if self.ids.get(key) is None:
            self.ids[key] = _ids(entry)
        return self.ids[key]


def _ids(entry: PredictionEntry) -> frozenset[str] | None:
    try:
        return frozenset(read_predictions(entry).sample_ids.tolist())
    except InputError:
        return None  # who scores the file says what is wrong with it; the repeat is listed as left out


def _test_ids(output: Path, name: str) -> frozenset[str]:
    path = output / "samples" / f"{name}_samples.csv"
    return _read_test_ids(path, path.stat().st_mtime_ns) if path.is_file() else frozenset()


@lru_cache(maxsize=32)
def _read_test_ids(path: Path, changed: int) -> frozenset[str]:
    try:
        table = read_csv(path, ("sample_id", "split"), usecols=["sample_id", "split"])
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}). Run main.py: it is written again.") from error
    return frozenset(table.loc[table["split"] == "test", "sample_id"])


def pooled_run(folds: list[StoredRun], output: Path) -> StoredRun:
    """The folds of a repeat described like a run; counts and facts are means over them, None where that is no fact."""
    first = folds[0]
    split = first.run["split"]
    slug = first.name.split("__")
    repeat = repeat_of(split)
    slug[3] = slug[3].replace(f"-{split}", f"-{repeat}")
    name = "__".join([*slug[:4], fingerprint(["folds", *(fold.name for fold in folds)])])
    counts = {data: _mean_counts([fold.counts[data] for fold in folds]) for data in first.counts}
    facts = {fact: _mean_fact([fold.facts.get(fact) for fold in folds]) for fact in first.facts}
    members = tuple(member for fold in folds for member in fold.members)
    run = first.run | {"split": repeat}
    return StoredRun(name, output / "pooled_folds" / name, run, counts, facts, members, tuple(f.name for f in folds))


def _mean_counts(counts: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows of a fold on average, rounded."""
    return {name: np.mean([one[name] for one in counts], axis=0).round().astype(int).tolist() for name in counts[0]}


def _mean_fact(values: Iterable[Any]) -> Any:
    found = list(values)
    if all(value == found[0] for value in found):
        return found[0]
    is_measured = all(isinstance(value, float) for value in found)
    return float(np.mean(found)) if is_measured else None
