"""What a study has beside its networks: ensembles of them, and unions of test sets. Made of files, never trained.

Both look like runs and predictions, so that every table and figure covers them without knowing.

- An ensemble votes with all networks of the same training set, variant, seed and protocol: "soft" averages
  their probabilities, "hard" counts their answers, "weighted" averages with the macro-F1 of each network on the
  validation rows of its own datasets as weight.
- A union puts the test sets of all datasets a combined run was trained on after one another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fer.study_files import PredictionEntry, StoredRun, StoredStudy
from utils import fingerprint

VOTES = ("soft", "hard", "weighted")
# What the networks that vote together have in common.
SHARED = ("train_on", "variant", "seed", "split", "balance", "mixing", "selection")
# What running all members costs is the sum of what each costs.
SUMMED = ("parameters", "flops", "latency_ms", "train_seconds")
Scored = tuple[str, str, str, str]


def with_derived(study: StoredStudy) -> StoredStudy:
    """The study with ensembles among its runs, and the predictions of ensembles and unions among its predictions."""
    entries: dict[str, dict[Scored, PredictionEntry]] = {run.name: {} for run in study.runs}
    for entry in study.predictions:
        entries[entry.run.name][_scored(entry)] = entry
    runs, derived = list(study.runs), []
    for members in _teams(study.runs):
        for vote in VOTES:
            run = _ensemble(study, members, vote)
            found = list(_votes(run, vote, [entries[member.name] for member in members]))
            if found:
                runs.append(run)
                derived += found
                entries[run.name] = {_scored(entry): entry for entry in found}
    unions = [entry for run in runs if len(run.run["train_on"]) > 1 for entry in _unions(run, entries[run.name])]
    return replace(study, runs=tuple(runs), predictions=(*study.predictions, *derived, *unions))


def _scored(entry: PredictionEntry) -> Scored:
    return entry.test_on, entry.split, entry.test_variant, entry.tta


def _teams(runs: tuple[StoredRun, ...]) -> Iterator[list[StoredRun]]:
    """Runs that differ in nothing but the model, two or more."""
    teams: dict[str, list[StoredRun]] = {}
    for run in runs:
        teams.setdefault(fingerprint([run.run[name] for name in SHARED]), []).append(run)
    for team in teams.values():
        if len({run.run["model"] for run in team}) > 1:
            yield team


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
        judges: list[tuple[PredictionEntry, ...]] = []
        if vote == "weighted":
            judges = [
                tuple(e for e in entries.values() if e.split == "val" and e.tta == scored[3]) for entries in members
            ]
        if vote != "weighted" or all(judges):
            yield _derived(run, scored, vote, tuple(parts), tuple(judges))


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
    judges: tuple[tuple[PredictionEntry, ...], ...],
) -> PredictionEntry:
    key = fingerprint([how, *[part.key for part in parts], *[j.key for panel in judges for j in panel]], 32)
    path = run.folder / "predictions" / f"{'__'.join(scored)}.npz"
    return PredictionEntry(run, path, key, *scored, how=how, parts=parts, judges=judges)
