"""Made-up studies whose predictions name rows of their samples tables, for tests of results and statistics."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fake_study import FakeStudy

from evaluation import load_predictions
from fer.runs.run import plan_oracle, plan_run
from fer.settings.settings import EMOTIONS
from utils import write_json, write_text

CLASS_COUNTS = {"train": (40, 10, 20, 90, 50, 30, 60), "val": (20,) * 7, "test": (40, 12, 30, 60, 40, 30, 40)}


@dataclass
class Study(FakeStudy):
    """A made-up study whose predictions name the rows of its samples tables; two rows make a group."""

    folds: tuple[str, ...] = ("official",)

    @property
    def counts(self) -> Any:
        return self.class_counts or CLASS_COUNTS

    def plan(self) -> list[Any]:
        return [
            plan_run(replace(planned.run, split=fold), {}, {}, planned.folder.parent)
            for planned in super().plan()
            for fold in self.folds
        ]

    def _write_samples(self, name: str) -> None:
        super()._write_samples(name)
        path = self.output / "samples" / f"{name}_samples.csv"
        table = pd.read_csv(path)
        number = np.arange(len(table))
        table = table.assign(group=number // 2, width=48 + number % 50, height=100)
        write_text(path, table.to_csv(index=False))

    def ids(self, name: str, split: str) -> np.ndarray:
        table = pd.read_csv(self.output / "samples" / f"{name}_samples.csv")
        return table.loc[table["split"] == split, "sample_id"].to_numpy(dtype=str)

    def write_predictions(self, planned: Any, item: dict[str, str], **changes: Any) -> Path:
        """The rows of a fold r<r>f<k> are every second one, those of other splits all."""
        ids = self.ids(item["test_on"], item["split"])
        path = super().write_predictions(planned, item, sample_ids=ids, **changes)
        fold = planned.run.split.partition("f")[2] if planned.run.split.startswith("r") else ""
        if fold and item["split"] == "test" and not changes:
            found = load_predictions(path)
            part = slice(int(fold), None, 2)
            rows = {"labels": found.labels[part], "probabilities": found.probabilities[part]}
            super().write_predictions(planned, item, sample_ids=ids[part], **rows)
        return path


def one(planned: Any, study: Study, test_on: str = "studio", split: str = "test", tta: str = "none") -> dict[str, str]:
    wanted = {"test_on": test_on, "split": split, "tta": tta}
    return next(item for item in study._listed(planned) if wanted.items() <= item.items())


def read(study: Study, name: str) -> pd.DataFrame:
    return pd.read_csv(study.output / "statistics" / f"{name}.csv", keep_default_na=True)


def predicted(study: Study, run: Any, **which: str) -> tuple[np.ndarray, np.ndarray]:
    found = load_predictions(run.folder / "predictions" / one(run, study, **which)["file"])
    return found.labels, found.predicted


def with_oracles(study: Study) -> list[Any]:
    """Give every run of the study an oracle that is right on every fifth row more."""
    oracles = []
    stored = json.loads((study.output / "study.json").read_text())
    for planned in study.plan():
        oracle = plan_oracle(planned, {"studio": "rows"})
        study._write_run(oracle)
        found = load_predictions(planned.folder / "predictions" / one(planned, study)["file"])
        probabilities = found.probabilities.copy()
        probabilities[::5] = np.eye(len(EMOTIONS), dtype=np.float32)[found.labels[::5]]
        study.write_predictions(oracle, one(oracle, study), probabilities=probabilities)
        stored["runs"].append(oracle.name)
        stored["predictions"][oracle.name] = study._listed(oracle)
        oracles.append(oracle)
    write_json(study.output / "study.json", stored)
    return oracles
