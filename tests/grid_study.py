"""A made-up study with GRID: every run once per learning rate, each rate as good as a test says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from fake_study import run_record
from planted import Planted

from evaluation import load_predictions, macro_f1
from fer.runs.run import PlannedRun, plan_run
from utils import read_json, write_json


@dataclass
class GridStudy(Planted):
    """The study's own runs learn at the first of `rates`; those of the others are scored on validation alone."""

    rates: tuple[float, ...] = (1e-3, 1e-4)

    def plan(self) -> list[PlannedRun]:
        return self.at(self.rates[0])

    def at(self, rate: float) -> list[PlannedRun]:
        """The runs of a point."""
        return [
            plan_run(
                replace(one.run, hyper=replace(one.run.hyper, learning_rate=rate)), {}, {"studio": "rows"},
                one.folder.parent,
            )
            for one in super().plan()
        ]  # fmt: skip

    def write(self) -> None:
        super().write()
        points, plan, predictions = [], {}, {}
        for rate in self.rates:
            for one in self.at(rate):
                self._write_run(one)
                plan[one.name] = one.run.describe()
                predictions[one.name] = [item for item in self._listed(one) if item["split"] == "val"]
            names = [one.name for one in self.at(rate)]
            points.append({"values": {"LEARNING_RATE": rate}, "runs": names, "is_own": rate == self.rates[0]})
        stored = read_json(self.output / "study.json")
        stored["grid"] = {"points": points, "plan": plan, "predictions": predictions}
        write_json(self.output / "study.json", stored)

    def _write_run(self, planned: Any) -> None:
        if (planned.folder / "run.json").is_file():
            return
        super()._write_run(planned)
        (path,) = planned.folder.glob("predictions/*__val__*__none.npz")
        found = load_predictions(path)
        kept = {"val_macro_f1": macro_f1(found.labels, found.probabilities)}
        record = run_record(planned, self.counts)
        record["facts"]["best_validation"] = kept
        write_json(planned.folder / "run.json", record | {"finished": "2026-01-01T00:00:00+00:00"})


def validation_of(study: GridStudy, rate: float) -> pd.Series:
    """Macro-F1 on validation by seed and network, read from run.json."""
    found = {
        (one.run.seed, one.run.model): json.loads((one.folder / "run.json").read_text())["facts"]["best_validation"]
        for one in study.at(rate)
    }
    return pd.Series({key: kept["val_macro_f1"] for key, kept in found.items()})
