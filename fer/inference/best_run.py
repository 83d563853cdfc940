"""The run that `best` names: of the setup that the tables of a study mark as chosen by validation."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fer.columns.files import SETUP
from fer.results.scores import MAJORITY
from fer.results.study_files import read_study
from fer.results.tables import read_validation
from fer.results.trainings import per_training
from fer.results.validation_choice import best_setup
from fer.runs.run import ORACLE, read_run_json
from fer.study.variants import scored_variant
from utils import InputError, log

CHOSEN_BY = "val_macro_f1"  # without tables: of the kept epoch; of several training sets their mean


class Chosen(NamedTuple):
    """A run's folder, and in words what validation chose it by."""

    folder: Path
    words: str


def best_run(output: Path) -> Path:
    """The run of the setup that validation chooses, by its mean over seeds; of its seeds the one that scored highest.

    Where it chooses for several datasets, the one with the highest score: they are not of equal difficulty, so the
    choice is said where it is made. Without tables, the run whose kept epoch scored highest. Never an oracle.
    """
    try:
        chosen = _by_tables(output)
    except InputError as error:
        log.info("best: no tables to go by (%s)", "; ".join(error.problems))
        chosen = None
    chosen = chosen or _by_records(output)
    if chosen is None:
        raise InputError(nothing_trained(output))
    log.info("best: %s, %s", chosen.folder.name, chosen.words)
    return chosen.folder


def trained_runs(output: Path) -> list[Path]:
    """Folders of the finished runs under `output`, by name."""
    return sorted(path.parent for path in (output / "saved_models").glob("*/run.json"))


def nothing_trained(output: Path) -> str:
    """What to say where no network is there to use."""
    return (
        f"{output} holds no finished run. Train one with `python main.py`, or try drawn faces: "
        "`python main.py --demo`, then --output saidas/demo (its networks know nothing of real faces)."
    )


def _by_tables(output: Path) -> Chosen | None:
    """By validation_results.csv, single networks without TTA. Raises InputError where study or table cannot be read."""
    study = read_study(output)
    metric, rows = study.primary_metric, _single_networks(read_validation(output))
    trainings = per_training(rows)
    choices = {name: best for name in study.datasets if (best := best_setup(trainings, name, metric)) is not None}
    if not choices:
        return None
    dataset = max(choices, key=lambda name: (choices[name].score, name))
    best = choices[dataset]
    own = rows[(rows["test_on"] == dataset) & (rows[list(SETUP)].astype(str) == pd.Series(best.setup)).all(axis=1)]
    scores = {output / "saved_models" / run: score for run, score in zip(own["run"], own[metric], strict=True)}
    there = {folder: score for folder, score in scores.items() if (folder / "run.json").is_file()}
    if not there:
        return None
    folder = max(there, key=lambda one: (there[one], one.name))
    others = f"; for {', '.join(sorted(set(choices) - {dataset}))} others may be" if len(choices) > 1 else ""
    mean = f", mean of {best.seeds} seeds" if best.seeds > 1 else ""
    return Chosen(folder, f"chosen by validation on {dataset} ({metric} {best.score:.3f}{mean}){others}")


def _single_networks(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of single networks on pictures of their own variant, without TTA; no oracles."""
    rows = table[(table["run"] != MAJORITY) & (table["selection"] != ORACLE) & (table["tta"] == "none")]
    return rows[(rows["members"] == "") & (rows["test_variant"] == rows["variant"].map(scored_variant))]


def _by_records(output: Path) -> Chosen | None:
    scores = {folder: score for folder in trained_runs(output) if (score := _score(folder)) is not None}
    if not scores:
        return None
    folder = max(scores, key=lambda one: (scores[one], one.name))
    return Chosen(folder, f"highest validation macro-F1 of {len(scores)} runs ({scores[folder]:.3f})")


def _score(folder: Path) -> float | None:
    record = read_run_json(folder)
    if record is None or record["run"]["selection"] == ORACLE:
        return None
    return (record["facts"].get("best_validation") or {}).get(CHOSEN_BY)
