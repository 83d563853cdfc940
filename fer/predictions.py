"""Which predictions a finished run should have, and making those that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from fer.experiments import Study
from fer.precision import autocast_dtype
from fer.runs import PlannedRun, Run, read_run_json
from fer.variants import picture_recipe, scored_variant, test_faces
from utils import fingerprint, lock_in, write_text

# Raise when the same weights and rows would give other probabilities (a changed view, say).
PREDICTION_VERSION = 1


@dataclass(frozen=True)
class PredictionFile:
    """One file of probabilities a run should have, with the key that says whether it is the right one."""

    path: Path
    key: str
    test_on: str
    split: str
    test_variant: str
    tta: str


def prediction_files(study: Study, planned: PlannedRun) -> list[PredictionFile]:
    """Every predictions file of a finished run: validation rows of its own datasets, test rows of all."""
    stored = read_run_json(planned.folder, planned.inputs)
    if stored is None:
        return []
    study, files = study.at(planned.run.split), []
    for name, split, variant in _scored_sets(study, planned.run):
        data = study.datasets[name]
        recipe = picture_recipe(data, variant, planned.run.hyper.input_size, study.settings)
        rows = study.scored(planned.run.train_on, name, split)[1]
        for tta in study.settings.tta:
            key = fingerprint([stored["weights_sha256"], rows, variant, recipe, tta, PREDICTION_VERSION], 32)
            path = planned.folder / "predictions" / f"{name}__{split}__{variant}__{tta}.npz"
            files.append(PredictionFile(path, key, name, split, variant, tta))
    return files


def _scored_sets(study: Study, run: Run) -> Iterator[tuple[str, str, str]]:
    """(dataset, split, variant) of everything a run is scored on."""
    own = scored_variant(run.variant)
    for name, data in study.datasets.items():
        if name in run.train_on and len(study.scored(run.train_on, name, "val")[0]):
            yield name, "val", own
        if study.settings.evaluate_test and len(data.rows("test")):
            wanted = [own if variant == "same" else variant for variant in study.settings.test_variants]
            for variant in dict.fromkeys(wanted):
                yield name, "test", variant


def missing_predictions(study: Study, planned: PlannedRun) -> list[PredictionFile]:
    """The predictions files of a finished run that are not there, damaged, or of other rows or weights."""
    from evaluation import stored_key

    return [file for file in prediction_files(study, planned) if stored_key(file.path) != file.key]


def score_run(study: Study, planned: PlannedRun) -> None:
    """Make the predictions files of a finished run that are missing."""
    study = study.at(planned.run.split)
    missing = missing_predictions(study, planned)
    if not missing:
        return
    from evaluation import Predictions, predict, store_predictions
    from training import load_trained, make_machine

    machine = make_machine(study.settings)
    network, expected = load_trained(planned, study.settings.models[planned.run.model], machine)
    groups: dict[tuple[str, str, str], list[PredictionFile]] = {}
    for file in missing:
        groups.setdefault((file.test_on, file.split, file.test_variant), []).append(file)
    for (name, split, variant), files in groups.items():
        rows, _ = study.scored(planned.run.train_on, name, split)
        size = planned.run.hyper.input_size
        faces = test_faces(study.datasets[name], split, variant, size, study.settings, rows["sample_id"])
        policies = tuple(file.tta for file in files)
        found = predict(
            network,
            expected,
            faces,
            policies,
            planned.run.hyper.batch_size,
            machine.device,
            0,
            autocast_dtype(planned.run.hyper.precision),
        )
        if split == "test":
            _count_test_read(study, name, planned.name)
        for file in files:
            store_predictions(
                file.path,
                Predictions(
                    planned.name,
                    name,
                    split,
                    variant,
                    file.tta,
                    tuple(planned.inputs["classes"]),
                    pd.Series(faces.sample_ids).to_numpy(dtype=str),
                    faces.label,
                    found[file.tta],
                    file.key,
                ),
            )


def _count_test_read(study: Study, test_on: str, run: str) -> None:
    """Note in test_reads.csv that `run` has been scored on a test set; each run counts once."""
    path = study.settings.output_path / "test_reads.csv"
    with lock_in(path.parent, "test_reads"):
        known = (
            pd.read_csv(path, dtype=str) if path.is_file() else pd.DataFrame(columns=["test_on", "run", "first_scored"])
        )
        if ((known["test_on"] == test_on) & (known["run"] == run)).any():
            return
        known.loc[len(known)] = [test_on, run, datetime.now(UTC).isoformat(timespec="seconds")]
        write_text(path, known.to_csv(index=False))
