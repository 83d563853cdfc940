"""A finished run as something that gives probabilities: its network, how faces are cut out for it, its temperature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fer.inference.best_run import best_run
from fer.inference.face_recipe import FaceRecipe, recipe_of, refuse_other_versions
from fer.layouts.emotions import ALL_EMOTIONS, CONTEMPT, EMOTIONS, class_names
from fer.runs.run import ADDED_LATER, Hyperparameters, PlannedRun, Run, read_run_json
from fer.statistics.calibration import fit_temperature
from fer.study.verify import finished_run
from utils import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from data_loader import NetworkInput

BEST = "best"


@dataclass
class TrainedModel:
    """A network in evaluation mode on `device` and all it takes to use it.

    `temperature`: fitted on the `n_val` validation rows of its own run with `tta`; 1 where there are none.
    """

    name: str
    classes: tuple[str, ...]
    recipe: FaceRecipe
    temperature: float
    n_val: int
    tta: str
    record: dict[str, Any]
    folder: Path
    network: nn.Module
    expected: NetworkInput
    device: torch.device
    autocast: torch.dtype | None

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """As trained, without temperature: float[N, C] of uint8 [N, S, S, C]."""
        from evaluation import predict_batch

        return predict_batch(self.network, self.expected, pixels, self.tta, self.device, self.autocast)


def load_model(
    name: str, output: Path, tta: str = "none", device: str = "auto", like: str | None = None
) -> TrainedModel:
    """The finished run `name` under `output`, or a run's folder anywhere; "best": what validation chose there.

    Raises InputError where there is none, it is unfinished, of another version, damaged, or of other classes.
    """
    from fer.machine.precision import autocast_dtype
    from fer.runs.trained_network import load_trained
    from utils import pick_device

    folder = model_folder(name, output)
    record = read_record(folder)
    refuse_other_versions(record["inputs"])
    planned, place = _as_planned(record, folder), pick_device(device)
    network, expected = load_trained(planned, record["weights_sha256"], place)
    classes = class_names(planned.run.hyper.classes)
    temperature, n_val = validation_temperature(folder, tta, classes)
    return TrainedModel(
        name=folder.name, classes=classes, recipe=recipe_of(record["inputs"], record["config"], like),
        temperature=temperature, n_val=n_val, tta=tta, record=record, folder=folder, network=network.eval(),
        expected=expected, device=place, autocast=autocast_dtype(planned.run.hyper.precision),
    )  # fmt: skip


def model_folder(name: str, output: Path) -> Path:
    """Where the run called `name` lies. Raises InputError where there is none."""
    if name == BEST:
        return best_run(output)
    if (Path(name) / "run.json").is_file() or (Path(name) / "checkpoint.pth").is_file():
        return Path(name)
    return finished_run(name, output / "saved_models")


def read_record(folder: Path) -> dict[str, Any]:
    """run.json of a finished run. Raises InputError where it is not there or cannot be used."""
    record = read_run_json(folder)
    if record is not None and (folder / "weights.pth").is_file():
        return record
    missing = "weights.pth" if record is not None else "run.json"
    there = "is there but cannot be used" if (folder / missing).is_file() else "is not there"
    raise InputError(
        f"{folder} is no finished run: its {missing} {there}. Run the same `python main.py` again: it finishes the run."
    )


def _as_planned(record: dict[str, Any], folder: Path) -> PlannedRun:
    described, classes = record["run"], record["inputs"].get("classes")
    if tuple(classes or ()) not in (EMOTIONS, ALL_EMOTIONS):
        known = f"{', '.join(EMOTIONS)} (with or without {CONTEMPT})"
        raise InputError(f"{folder} answers with {classes}; this version knows {known}. Train it again.")
    try:
        hyper = Hyperparameters(**ADDED_LATER | described["hyper"])
        run = Run(**described | {"hyper": hyper, "train_on": tuple(described["train_on"])})
    except TypeError as error:
        raise InputError(f"{folder} is of another version of this program ({error}). Train it again.") from error
    return PlannedRun(run, record["inputs"], folder)


def validation_temperature(folder: Path, tta: str, classes: tuple[str, ...]) -> tuple[float, int]:
    """Temperature by the stored validation predictions of a run and TTA policy, and their rows; (1.0, 0) without any.

    The temperature of statistics/calibration.csv, from the same rows. Raises InputError for a damaged file.
    """
    from evaluation import load_predictions

    found = [load_predictions(path) for path in sorted((folder / "predictions").glob(f"*__val__*__{tta}.npz"))]
    if not found:
        return 1.0, 0
    if {one.classes for one in found} != {classes}:
        raise InputError(f"{folder / 'predictions'}: other classes than {', '.join(classes)}. Run main.py again.")
    labels = np.concatenate([one.labels for one in found])
    return fit_temperature(labels, np.concatenate([one.probabilities for one in found])), len(labels)
