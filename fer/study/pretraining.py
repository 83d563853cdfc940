"""Pretrainings in the plan: what identifies one, which rows it sees, doing it once for all runs that start from it.

A pretraining lies in saidas/pretrainings/<datasets>__<variant>__<network>__s<seed>-<method>__<hash8>/ with weights.pth
(never a run's: nothing is scored by it), history.csv, checkpoint.pth while unfinished, and pretraining.json, which is
written last. Its key holds what shapes its weights, as a run's does; a run that starts from it holds that key in its
own, as the tag of its weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fer.data.samples import DatasetSamples
from fer.networks.names import architecture_of
from fer.pretraining.rates import RATE, VIEWS_VERSION, WEIGHT_DECAY
from fer.pretraining.rows import SEEN, rows_to_choose_by, rows_to_learn_from
from fer.runs.run import Hyperparameters, Run, key_inputs, rows_fingerprint
from fer.settings.pretraining_row import PREFIX, SUPERVISED, PretrainingRow
from fer.settings.settings import ModelRow, Settings
from fer.study.variants import draws_rows, faces_of, picture_recipe, scored_variant, training_faces
from utils import (
    DiskFullError,
    InputError,
    canonical_json,
    environment,
    file_fingerprint,
    fingerprint,
    lock_in,
    log,
    read_sealed,
    write_sealed,
)

if TYPE_CHECKING:
    from training import Machine

# Raise when the same settings and rows would train other weights than before.
PRETRAINING_VERSION = 1
# Of a training's values, those that shape a pretraining without labels.
READ = ("architecture", "weights", "options", "input_size", "channels", "interpolation", "precision", "batch_size",
        "epochs", "learning_rate", "weight_decay")  # fmt: skip


class FailedPretrainingError(Exception):
    """What a run should have started from could not be made."""


@dataclass(frozen=True)
class PlannedPretraining:
    """A pretraining with its key's inputs, its folder and the rows it may see, per dataset.

    `name`: its row of PRETRAININGS; `row`: the network it trains, as a row of MODEL_CONFIG.
    """

    name: str
    asked: PretrainingRow
    run: Run
    row: ModelRow
    inputs: dict[str, Any]
    folder: Path
    samples: dict[str, pd.DataFrame]

    @property
    def tag(self) -> str:
        """What stands for its weights in the keys of runs."""
        return f"{PREFIX}{self.asked.method}:{fingerprint(self.inputs, 32)}"

    @property
    def weights(self) -> Path:
        """Its file of weights."""
        return self.folder / "weights.pth"

    @property
    def finished(self) -> bool:
        """True when its weights are there, and the file that was written after them is of these very inputs."""
        try:
            return self.weights.is_file() and read_sealed(self.folder / "pretraining.json")["inputs"] == self.inputs
        except (OSError, ValueError, KeyError, RecursionError):
            return False

    @property
    def count(self) -> int:
        """Faces it learns from."""
        return sum(int(table["split"].isin(SEEN).sum()) for table in self.samples.values())


# ---------------------------------------------------------------- the plan


def starting_row(settings: Settings, model: str, name: str) -> ModelRow:
    """The row of MODEL_CONFIG of a pretraining: the network of `model`, and what the pretraining starts from itself."""
    row, asked = settings.models[model], settings.pretrainings[name]
    own = {"architecture": architecture_of(model, row), "weights": asked.weights, "batch_size": asked.batch_size}
    return row.model_copy(update=own | {"weights_file": None})


def plan_pretraining(
    settings: Settings,
    name: str,
    variant: str,
    row: ModelRow,
    hyper: Hyperparameters,
    sources: Mapping[str, DatasetSamples],
    targets: Mapping[str, DatasetSamples],
    near: Mapping[str, pd.DataFrame] | None = None,
) -> PlannedPretraining:
    """Give a row of PRETRAININGS, for a network and the datasets trained on afterwards, its rows, key and folder.

    `near` as in fer/pretraining/rows.py. Raises InputError when no row is left to learn from.
    """
    asked = settings.pretrainings[name]
    labelled = asked.method == SUPERVISED
    samples = rows_to_learn_from(sources, targets, near)
    _refuse_none(name, samples)
    if labelled:
        chosen_by = rows_to_choose_by(sources, targets, near)
        samples = {key: pd.concat([table, chosen_by[key]]).sort_index() for key, table in samples.items()}
    run = Run(
        train_on=asked.datasets,
        variant=variant if labelled else scored_variant(variant),
        model=hyper.architecture,
        seed=asked.seed,
        split=next(iter(sources.values())).fold,
        balance=settings.balance_of(variant) if labelled else "none",
        mixing="natural",
        selection=settings.pretraining_values(name).select_by if labelled else "last",
        hyper=hyper if labelled else _without_labels(hyper, asked),
        balance_seed=settings.split_seed if labelled and draws_rows(variant, settings) else None,
    )
    recipes = {key: picture_recipe(data, run.variant, hyper.input_size, settings) for key, data in sources.items()}
    rows = {key: rows_fingerprint(table) for key, table in samples.items()}
    inputs = _inputs(asked, run, recipes, rows)
    slug = f"{run.slug}-{asked.method}__{fingerprint(inputs)}"
    return PlannedPretraining(name, asked, run, row, inputs, settings.output_path / "pretrainings" / slug, samples)


def _refuse_none(name: str, samples: Mapping[str, pd.DataFrame]) -> None:
    empty = [dataset for dataset, table in samples.items() if not len(table)]
    if empty:
        raise InputError(
            f'PRETRAININGS "{name}": no face of {", ".join(empty)} is left to learn from: all stand in validation or '
            "test sets of the plan too. Name another dataset."
        )


def _without_labels(hyper: Hyperparameters, asked: PretrainingRow) -> Hyperparameters:
    """The values that are read, others at rest; its own learning rate where the row names none."""
    rate = RATE * asked.batch_size if asked.learning_rate == "auto" else asked.learning_rate
    decay = asked.weight_decay if "weight_decay" in asked.model_fields_set else WEIGHT_DECAY
    return replace(hyper, learning_rate=rate, weight_decay=decay, augmentation=None, dropout=0.0, drop_path=0.0)


def _inputs(asked: PretrainingRow, run: Run, recipes: dict[str, Any], rows: dict[str, str]) -> dict[str, Any]:
    """All that shapes the weights, as plain values."""
    common = {"pretraining_version": PRETRAINING_VERSION, "method": asked.method}
    if asked.method == SUPERVISED:
        return common | key_inputs(run, recipes, rows)
    hyper = {name: value for name, value in asdict(run.hyper).items() if name in READ}
    own = {"views_version": VIEWS_VERSION, "crop": asked.crop, "seed": run.seed, "datasets": list(run.train_on)}
    return json.loads(canonical_json(common | own | {"hyper": hyper, "recipes": recipes, "rows": rows}))


# ---------------------------------------------------------------- doing it


def pretrain_or_load(
    planned: PlannedPretraining, sources: Mapping[str, DatasetSamples], settings: Settings, machine: Machine
) -> Path:
    """The weights of a pretraining, made now where they are not there; waits while another process makes them.

    Raises FailedPretrainingError, DiskFullError.
    """
    planned.folder.mkdir(parents=True, exist_ok=True)
    with lock_in(settings.output_path, f"pretraining_{planned.folder.name}"):
        if not planned.finished:
            try:
                _do(planned, sources, settings, machine)
            except DiskFullError:
                raise
            except Exception as error:
                said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
                raise FailedPretrainingError(f"pretraining {planned.name} failed: {said}") from error
    return planned.weights


def _do(
    planned: PlannedPretraining, sources: Mapping[str, DatasetSamples], settings: Settings, machine: Machine
) -> None:
    log.info("pretraining %s: %d faces, %s", planned.name, planned.count, planned.folder.name)
    (planned.folder / "pretraining.json").unlink(missing_ok=True)
    labelled = planned.asked.method == SUPERVISED
    facts = (_with_labels if labelled else _unlabelled)(planned, sources, settings, machine)
    write_sealed(
        planned.folder / "pretraining.json",
        {
            "name": planned.name,
            "inputs": planned.inputs,
            "counts": {name: len(table) for name, table in planned.samples.items()},
            "facts": facts,
            "weights_sha256": file_fingerprint(planned.weights, 64),
            "environment": environment(machine.device),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    (planned.folder / "checkpoint.pth").unlink(missing_ok=True)


def _with_labels(
    planned: PlannedPretraining, sources: Mapping[str, DatasetSamples], settings: Settings, machine: Machine
) -> dict[str, Any]:
    from training import fit

    train, validation, _ = training_faces(dict(sources), planned.samples, planned.run, settings)
    return fit(planned.run, train, validation, planned.folder, machine, planned.row)


def _unlabelled(
    planned: PlannedPretraining, sources: Mapping[str, DatasetSamples], settings: Settings, machine: Machine
) -> dict[str, Any]:
    from data_loader import FaceRows
    from fer.pretraining.self_supervised import Task, pretrain

    run = planned.run
    faces = [
        faces_of(sources[name], table, run.variant, run.hyper.input_size, settings)
        for name, table in planned.samples.items()
    ]
    task = Task(planned.name, planned.asked.method, planned.asked.crop, run, planned.row)
    return pretrain(task, FaceRows.join(faces), planned.folder, machine)
