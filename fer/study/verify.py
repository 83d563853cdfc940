"""Train a finished run again, from its run.json alone, and compare: weights bit by bit, predictions row by row."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation import load_predictions
from fer.machine.precision import FULL
from fer.runs.run import PlannedRun, changes, read_run_json
from fer.settings.messages import did_you_mean
from fer.settings.settings import Settings, check_settings
from fer.study.execution import train_and_score
from fer.study.plan import open_study, planned_runs
from utils import InputError, read_json

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Verification:
    """What training again gave.

    `weights`: largest difference of any weight (0.0: bit for bit the same). `predictions`: per file, the largest
    difference of any probability and the share of rows with the same answer. `environment`: what differs here
    from where the run was trained: name, there, here.
    """

    run: str
    weights: float
    predictions: dict[str, tuple[float, float]]
    environment: tuple[tuple[str, Any, Any], ...]

    @property
    def identical(self) -> bool:
        """True when weights and predictions are the same bit for bit."""
        return self.weights == 0 and all(difference == 0 for difference, _ in self.predictions.values())

    def sentences(self) -> list[str]:
        """The outcome in words."""
        there = [f"{name}: {old!r} there, {new!r} here" for name, old, new in self.environment]
        where = f" What differs: {'; '.join(there)}." if there else ""
        if self.identical:
            count = len(self.predictions)
            return [f"{self.run}: trained again, the same weights and {count} prediction files, bit for bit.{where}"]
        reason = where or " CPU, versions and thread count are the same, so this should not be: please report it."
        lines = [f"{self.run}: NOT the same. Largest difference of a weight: {self.weights:.3g}.{reason}"]
        for name, (difference, same) in self.predictions.items():
            lines.append(f"  {name}: probabilities differ by up to {difference:.3g}; {same:.1%} of the answers agree")
        return lines


def verify_run(name: str, settings: Settings) -> Verification:
    """Train a run of OUTPUT_DIR again, in `OUTPUT_DIR/verify/`, and compare; `name`: its folder, or how that starts.

    Raises InputError where there is no such finished run, or its rows or settings cannot be found again.
    """
    folder = finished_run(name, settings.output_path / "saved_models")
    stored = read_run_json(folder)
    if stored is None:
        raise InputError(f"{folder / 'run.json'} cannot be used. Run main.py again: it trains this run anew.")
    from fer.runs.trained_network import read_trained

    read_trained(folder / "weights.pth", stored["weights_sha256"])  # found damaged before an hour of training
    study = open_study(_as_trained(stored, settings))
    runs = planned_runs(study)
    planned = next((one for one in runs if one.name == folder.name), None)
    if planned is None:
        raise InputError(_why_not_found(folder.name, stored, runs))
    again = replace(planned, folder=settings.output_path / "verify" / folder.name)
    shutil.rmtree(again.folder, ignore_errors=True)
    train_and_score(study, again)
    return _compare(stored, folder, again.folder)


def finished_run(name: str, models: Path) -> Path:
    """The folder of the finished run called `name`, or the only one whose name starts so. Raises InputError."""
    wanted = Path(name).name
    known = sorted(path.parent.name for path in models.glob("*/run.json"))
    found = [one for one in known if one == wanted] or [one for one in known if wanted and one.startswith(wanted)]
    if len(found) == 1:
        return models / found[0]
    if found:
        raise InputError(
            f"--verify {name}: {len(found)} finished runs start so: {', '.join(found)}. Write more of one."
        )
    near = did_you_mean(wanted, known)
    raise InputError(f"{models / wanted} holds no finished run.{near} Finished: {', '.join(known) or 'none'}.")


def _as_trained(stored: dict[str, Any], settings: Settings) -> Settings:
    """The settings the run was trained with; where data and results lie comes from today's."""
    config = stored["config"]
    places = {name: row.path for name, row in settings.datasets.items()}
    rows = {name: row | {"path": places.get(name, row["path"])} for name, row in config["DATASETS"].items()}
    today = {"OUTPUT_DIR": str(settings.output_path), "DATASETS_DIR": str(settings.datasets_path)}
    precision = stored["inputs"]["hyper"].get("precision", FULL)
    machine = {"DEVICE": settings.device, "WORKERS": settings.workers, "AMP": "off" if precision == FULL else precision}
    return check_settings(config | today | machine | {"DATASETS": rows})


def _why_not_found(name: str, stored: dict[str, Any], runs: list[PlannedRun]) -> str:
    differences = [changes(stored["inputs"], planned.inputs) for planned in runs]
    near = min(differences, key=len)
    return (
        f"{name}: its settings give another run today, so it cannot be trained again: {'; '.join(near[:5])}. "
        "Restore the pictures or the version of this program that it was trained with."
    )


def _compare(stored: dict[str, Any], folder: Path, again: Path) -> Verification:
    from fer.networks.local_weights import tensors_of
    from fer.runs.trained_network import read_trained

    here = read_json(again / "run.json")
    sides = ((folder, stored["weights_sha256"]), (again, here["weights_sha256"]))
    old_weights, new_weights = (tensors_of(read_trained(side / "weights.pth", digest)) for side, digest in sides)
    weights = _largest_difference(old_weights, new_weights)
    predictions = {}
    for path in sorted((again / "predictions").glob("*.npz")):
        if (folder / "predictions" / path.name).is_file():
            old, new = load_predictions(folder / "predictions" / path.name), load_predictions(path)
            if not np.array_equal(old.sample_ids, new.sample_ids):
                raise InputError(f"{path.name}: the rows scored then and now differ; score the run again first.")
            difference = float(np.abs(old.probabilities - new.probabilities).max())
            predictions[path.name] = (difference, float((old.predicted == new.predicted).mean()))
    differing = _environment_changes(stored["environment"], here["environment"])
    return Verification(folder.name, weights, predictions, differing)


def _largest_difference(old: dict[str, torch.Tensor], new: dict[str, torch.Tensor]) -> float:
    return max(float((old[name].double() - new[name].double()).abs().max()) for name in old)


def _environment_changes(there: dict[str, Any], here: dict[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    """What shapes rounding: CPU, device, threads, processes, python and package versions, the program's commit."""
    flat = [{**side, **side["packages"]} for side in (there, here)]
    names = [name for name in flat[0] if name not in ("packages", "cores")]
    return tuple((name, flat[0][name], flat[1].get(name)) for name in names if flat[0][name] != flat[1].get(name))
