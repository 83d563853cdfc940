"""What findings are made from: the tables a study left in its output folder, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fer.columns.files import SETUP
from fer.data.folds import OFFICIAL
from fer.results.ensembles import with_derived
from fer.results.not_learned import below_majority, with_adjusted_loss
from fer.results.scores import MAJORITY
from fer.results.study_files import StoredStudy, read_study
from fer.results.tables import read_results, read_validation
from fer.results.trainings import per_training
from fer.runs.run import ORACLE
from fer.study.variants import scored_variant
from utils import InputError, read_csv, read_sealed

TEXTS = (*SETUP, "run", "test_on", "test_variant", "tta", "metric", "method", "first", "second", "family", "verdict",
         "question", "smallest_where", "largest_where", "seeds", "folds", "split")  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """Tables of a study. `test` and `validation`: rows of results.csv and validation_results.csv that count as

    trainings (fer.results.trainings), on pictures of their own variant, without oracles and majority class;
    `majority`: the rows of that; `not_learned`: networks at or below it on their own data. `audit`: what audit.json
    holds; None where there is none.
    """

    study: StoredStudy
    test: pd.DataFrame
    validation: pd.DataFrame
    majority: pd.DataFrame
    intervals: pd.DataFrame
    seeds: pd.DataFrame
    effects: pd.DataFrame
    comparisons: pd.DataFrame
    not_learned: frozenset[str]
    audit: dict[str, Any] | None

    @property
    def metric(self) -> str:
        """The primary metric of the study."""
        return self.study.primary_metric

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets of the study."""
        return self.study.datasets

    @property
    def n_seeds(self) -> int:
        """Seeds of the finished runs."""
        return len({int(run.run["seed"]) for run in self.study.runs})


def read_evidence(output: Path) -> Evidence:
    """The tables under `output`. Raises InputError where they are not there or damaged."""
    study = with_derived(read_study(output))
    results, validation = read_results(output), read_validation(output)
    statistics = {name: _statistics(output, name) for name in ("intervals", "seeds", "effects", "comparisons")}
    majority = per_training(results[results["run"] == MAJORITY])
    tables = {"test": _honest(results), "validation": _honest(validation), "majority": majority} | statistics
    adjusted = with_adjusted_loss(study)
    weak = frozenset(row["run"] for table in (results, validation) for row in below_majority(table, adjusted))
    return Evidence(study, **tables, not_learned=weak, audit=_audit(output))


def _honest(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[(table["run"] != MAJORITY) & (table["selection"] != ORACLE)]
    own = rows["test_variant"] == rows["variant"].map(scored_variant)
    return per_training(rows[own].assign(split=rows["split"].replace("", OFFICIAL)))


def _audit(output: Path) -> dict[str, Any] | None:
    """audit.json; None where there is none that can be read, which the page says."""
    try:
        return read_sealed(output / "audit" / "audit.json")
    except (OSError, ValueError):
        return None


def _statistics(output: Path, name: str) -> pd.DataFrame:
    path = output / "statistics" / f"{name}.csv"
    try:
        table = read_csv(path, TEXTS)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). Run main.py --report: it is made again.") from error
    return table.fillna({column: "" for column in TEXTS if column in table})
