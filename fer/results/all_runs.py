"""Every finished run under an output folder, whatever plan asked for it, and the settings in which they differ.

`write_all_runs` makes tables/all_runs.csv, a row per run, by validation score among runs of the same rows; its columns
are in docs/columns.md.

A test score stands beside the runs of the present plan alone, whose tables show it anyway. Other runs may have been
tested by an earlier plan; shown side by side their test scores would only serve to choose a setting by them. Runs whose
epoch was chosen on the test set ("oracle") are not listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fer.columns.files import ALL_RUNS
from fer.data.folds import OFFICIAL
from fer.results.tables import read_results
from fer.runs.run import ADDED_LATER, ORACLE, read_run_json
from fer.study.variants import scored_variant
from utils import InputError, fingerprint, read_sealed, write_changed

FACTS = ("epochs", "best_epoch", "train_seconds", "finished")
# What makes runs comparable setting by setting; seeds and folds repeat one of these.
SAME = ["train_on", "variant", "model", "rows_hash"]
Settings = dict[str, Any]


def all_runs(output: Path, metric: str) -> pd.DataFrame:
    """The table above, sorted by the validation score in `metric`; empty where no run is finished."""
    planned, tested = _planned(output), _test_scores(output, metric)
    rows, settings = [], []
    for name, stored in _finished(output):
        rows.append(_row(name, stored) | {"in_plan": name in planned, "test_score": tested.get(name)})
        settings.append(_settings(stored["inputs"]))
    table = pd.DataFrame(rows, columns=list(ALL_RUNS))
    for name in _differing(table, settings):
        table[name] = [one.get(name) for one in settings]
    by = ["train_on", "rows_hash", score_column(table, metric)]
    return table.sort_values(by, ascending=[True, True, False], kind="stable", ignore_index=True)


def write_all_runs(output: Path, metric: str) -> pd.DataFrame:
    """Write tables/all_runs.csv; returns it."""
    table = all_runs(output, metric)
    shown = table.assign(**{name: table[name].map(_text) for name in setting_columns(table)})
    write_changed(output / "tables" / "all_runs.csv", shown.to_csv(index=False, lineterminator="\n"))
    return table


def setting_columns(table: pd.DataFrame) -> list[str]:
    """The settings in which runs differ: the columns after those every such table has."""
    return [str(name) for name in table][len(ALL_RUNS) :]


def score_column(table: pd.DataFrame, metric: str) -> str:
    """The validation score runs are sorted by: that of `metric`, or macro-F1 where trainings do not record it."""
    name = f"val_{metric}"
    return name if name in table and table[name].notna().any() else "val_macro_f1"


def by_setup(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row per setup: mean and standard deviation over its seeds, after folds are averaged; best first.

    Columns: those of SAME, the settings, `score`, `sd`, `seeds`, `test_score` (its mean), `in_plan`.
    """
    score, settings = score_column(table, metric), setting_columns(table)
    shown = table.assign(**{name: table[name].map(_text) for name in settings})
    keys = [*SAME, *settings]
    sums = {"score": (score, "mean"), "test_score": ("test_score", "mean"), "in_plan": ("in_plan", "max")}
    seeds = shown.groupby([*keys, "seed"], sort=False, as_index=False, dropna=False).agg(**sums)
    found = seeds.groupby(keys, sort=False, as_index=False, dropna=False).agg(
        sd=("score", "std"), score=("score", "mean"), seeds=("seed", "nunique"), test_score=("test_score", "mean"),
        in_plan=("in_plan", "max"),
    )  # fmt: skip
    return found.sort_values(["train_on", "rows_hash", "score"], ascending=[True, True, False], ignore_index=True)


# ---------------------------------------------------------------- from the files


def _finished(output: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in sorted((output / "saved_models").glob("*__*")):
        stored = read_run_json(folder)
        if stored is not None and stored["run"]["selection"] != ORACLE:
            yield folder.name, stored


def _row(name: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    run, facts = stored["run"], stored["facts"]
    kept = facts.get("best_validation") or {}
    found = {key: value for key, value in kept.items() if key.startswith("val_")}
    return found | {
        "run": name, "train_on": "+".join(run["train_on"]), "variant": run["variant"], "model": run["model"],
        "seed": run["seed"], "split": run["split"], "finished": stored.get("finished"),
        "rows_hash": fingerprint(stored["inputs"].get("rows"), 4) if run["split"] == OFFICIAL else "folds",
    } | {fact: facts.get(fact) for fact in FACTS if fact in facts}  # fmt: skip


def _planned(output: Path) -> set[str]:
    """Names of the runs that the present plan's tables are about; none where no plan can be read."""
    try:
        return set(map(str, read_sealed(output / "study.json")["runs"]))
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _test_scores(output: Path, metric: str) -> dict[str, float]:
    """By run of the present plan: its score on its own datasets' test set, on pictures of its own variant."""
    try:
        table = read_results(output)
    except InputError:
        return {}
    own = table["variant"].map(lambda variant: scored_variant(variant) if variant else "") == table["test_variant"]
    rows = table[own & (table["tta"] == "none") & (table["test_on"] == table["train_on"]) & (table["members"] == "")]
    return dict(zip(rows["run"], rows[metric].astype(float), strict=True))


def _settings(inputs: Mapping[str, Any]) -> Settings:
    """What a run's key holds of settings, by their names in config.py; values of datasets that differ side by side."""
    hyper = ADDED_LATER | inputs["hyper"]
    found = {name.upper(): value for name, value in hyper.items()}
    found |= {"BALANCE": inputs.get("balance"), "MIXING": inputs.get("mixing"), "SELECT_BY": inputs.get("selection")}
    found["RECIPE_VERSION"] = inputs.get("recipe_version")
    parts: dict[str, dict[str, Any]] = {}
    for dataset, recipe in (inputs.get("recipes") or {}).items():
        prepared = {key: value for key, value in recipe.items() if key not in ("variant", "preparation", "photos")}
        for name, value in (prepared | (recipe.get("preparation") or {})).items():
            parts.setdefault(name.upper(), {})[dataset] = value
    return found | {name: _one_of(by_dataset) for name, by_dataset in parts.items()}


def _one_of(by_dataset: dict[str, Any]) -> Any:
    """The value all datasets share, else all of them by dataset."""
    values = list(by_dataset.values())
    return values[0] if all(value == values[0] for value in values) else by_dataset


def _differing(table: pd.DataFrame, settings: list[Settings]) -> list[str]:
    """Settings with two values or more among runs that are else of one kind; in the order of the keys."""
    names = list(dict.fromkeys(name for one in settings for name in one))
    groups = [list(places) for places in table.groupby(SAME, dropna=False).indices.values()]
    return [name for name in names if any(len({_text(settings[i].get(name)) for i in group}) > 1 for group in groups)]


def _text(value: Any) -> str:
    """A value as text: numbers and words as they are, others as JSON."""
    if value is None:
        return "None"
    return str(value) if isinstance(value, str | int | float) else json.dumps(value)
