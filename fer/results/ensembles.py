"""What a study has beside its networks: ensembles, unions of test sets, folds together. Made of files, never trained.

All look like runs and predictions, so that every table and figure covers them without knowing.

- An ensemble votes with all networks of the same training set, variant, seed and protocol: "soft" averages
  their probabilities, "hard" counts their answers, "weighted" averages with the macro-F1 of each network on the
  validation rows of its own datasets as weight. One votes only where all networks the plan names for it are
  finished: votes of fewer members for some seeds are no repeats of one ensemble. The others are listed as left out.
- A union puts the test sets of all datasets a combined run was trained on after one another.
- The folds of a repeat are pooled: see fer.results.pooling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fer.data.folds import OFFICIAL
from fer.results.pooling import with_folds_pooled
from fer.results.study_files import PredictionEntry, StoredRun, StoredStudy
from utils import fingerprint

VOTES = ("soft", "hard", "weighted")
# What the networks that vote together have in common.
SHARED = ("train_on", "variant", "seed", "split", "balance", "mixing", "selection")
# What running all members costs is the sum of what each costs.
SUMMED = ("parameters", "flops", "latency_ms", "train_seconds")
Scored = tuple[str, str, str, str]


def with_derived(study: StoredStudy) -> StoredStudy:
    """The study with ensembles and pooled folds among its runs, and their predictions and unions among its predictions.

    What cannot be made for want of a planned run is named in its `left_out`.
    """
    entries: dict[str, dict[Scored, PredictionEntry]] = {run.name: {} for run in study.runs}
    for entry in study.predictions:
        entries[entry.run.name][_scored(entry)] = entry
    runs, derived = list(study.runs), []
    teams, left_out = _teams(study)
    for members in teams:
        for vote in VOTES:
            run = _ensemble(study, members, vote)
            found = list(_votes(run, vote, [entries[member.name] for member in members]))
            if found:
                runs.append(run)
                derived += found
                entries[run.name] = {_scored(entry): entry for entry in found}
    unions = [entry for run in runs if len(run.run["train_on"]) > 1 for entry in _unions(run, entries[run.name])]
    predictions = (*study.predictions, *derived, *unions)
    whole = replace(study, runs=tuple(runs), predictions=predictions, left_out=(*study.left_out, *left_out))
    return with_folds_pooled(whole)


def _scored(entry: PredictionEntry) -> Scored:
    return entry.test_on, entry.split, entry.test_variant, entry.tta


def _teams(study: StoredStudy) -> tuple[list[list[StoredRun]], list[str]]:
    """Runs that differ in nothing but the model, two or more, all finished; in words, the teams that are not whole."""
    planned: dict[str, list[str]] = {}
    for name, run in study.planned.items():
        planned.setdefault(fingerprint([run[shared] for shared in SHARED]), []).append(name)
    finished = {run.name: run for run in study.runs}
    teams, left_out = [], []
    for names in planned.values():
        if len({study.planned[name]["model"] for name in names}) < 2:
            continue
        missing = [name for name in names if name not in finished]
        if not missing:
            teams.append([finished[name] for name in names])
        elif len(missing) < len(names):
            left_out.append(_incomplete(study.planned[names[0]], missing, len(names)))
    return teams, left_out


def _incomplete(run: dict[str, Any], missing: list[str], planned: int) -> str:
    split = "" if run["split"] == OFFICIAL else f", {run['split']}"
    return (
        f"The ensembles of {'+'.join(run['train_on'])}, {run['variant']}, seed {run['seed']}{split}: "
        f"{planned - len(missing)} of {planned} planned networks are finished; not there: {', '.join(missing)}."
    )


def _ensemble(study: StoredStudy, members: list[StoredRun], vote: str) -> StoredRun:
    """An ensemble, described like a run. Its facts are the sums over the members."""
    first = members[0]
    slug = first.name.split("__")
    model = f"ensemble_{vote}"
    name = "__".join([slug[0], slug[1], model, slug[3], fingerprint([vote, *sorted(m.name for m in members)])])
    facts: dict[str, Any] = {fact: sum(member.facts[fact] for member in members) for fact in SUMMED}
    run = {key: first.run[key] for key in SHARED} | {"model": model, "hyper": None}
    folder = study.output / "ensemble_results" / name
    return StoredRun(name, folder, run, first.counts, facts, tuple(member.name for member in members))


def _votes(run: StoredRun, vote: str, members: list[dict[Scored, PredictionEntry]]) -> Iterator[PredictionEntry]:
    """One entry per set of rows that every member has scored."""
    for scored in members[0]:
        parts = [entries[scored] for entries in members if scored in entries]
        if len(parts) < len(members):
            continue
        weighed_on: list[tuple[PredictionEntry, ...]] = []
        if vote == "weighted":
            weighed_on = [
                tuple(e for e in entries.values() if e.split == "val" and e.tta == scored[3]) for entries in members
            ]
        if vote != "weighted" or all(weighed_on):
            yield _derived(run, scored, vote, tuple(parts), tuple(weighed_on))


def _unions(run: StoredRun, entries: dict[Scored, PredictionEntry]) -> Iterator[PredictionEntry]:
    """The test sets of all datasets trained on as one, per test variant and TTA policy scored on all of them."""
    names = run.run["train_on"]
    for _, split, variant, tta in [scored for scored in entries if scored[0] == names[0] and scored[1] == "test"]:
        parts = [entries[key] for name in names if (key := (name, split, variant, tta)) in entries]
        if len(parts) == len(names):
            yield _derived(run, (run.train_on, split, variant, tta), "union", tuple(parts), ())


def _derived(
    run: StoredRun,
    scored: Scored,
    how: str,
    parts: tuple[PredictionEntry, ...],
    weighed_on: tuple[tuple[PredictionEntry, ...], ...],
) -> PredictionEntry:
    key = fingerprint([how, *[part.key for part in parts], *[one.key for panel in weighed_on for one in panel]], 32)
    path = run.folder / "predictions" / f"{'__'.join(scored)}.npz"
    return PredictionEntry(path, key, *scored, run=run, how=how, parts=parts, weighed_on=weighed_on)
