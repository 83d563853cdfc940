"""The plan: which runs the experiments ask for, which are done, and doing the others one after another."""

from __future__ import annotations

import errno
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from filelock import FileLock

from fer.folds import OFFICIAL, fold_names, with_fold
from fer.runs import Hyperparameters, PlannedRun, Run, held, plan_oracle, plan_run, read_run_json, rows_fingerprint
from fer.samples import SPLITS, DatasetSamples, load_samples
from fer.settings import ModelRow, Settings
from fer.variants import picture_recipe, scored_variant, test_faces, training_faces
from utils import InputError, environment, file_fingerprint, fingerprint, log, write_json, write_text

if TYPE_CHECKING:
    from data_loader import FaceRows
    from training import Machine


@dataclass(frozen=True)
class TrainingRows:
    """Training and validation rows per dataset, and the fingerprint of each table for the key."""

    samples: dict[str, pd.DataFrame]
    fingerprints: dict[str, str]


@dataclass(frozen=True)
class Study:
    """The settings and the samples of every active dataset, in one split (see folds.py)."""

    settings: Settings
    datasets: dict[str, DatasetSamples]
    fold: str = OFFICIAL
    _training: dict[tuple[str, ...], TrainingRows] = field(default_factory=dict, repr=False)
    _folds: dict[str, Study] = field(default_factory=dict, repr=False)

    @property
    def models_folder(self) -> Path:
        """Where run folders lie."""
        return self.settings.output_path / "saved_models"

    def training(self, train_on: tuple[str, ...]) -> TrainingRows:
        """Training and validation rows of a set of datasets; found once, since every network asks for them."""
        if train_on not in self._training:
            samples = training_samples(self, train_on)
            rows = {name: rows_fingerprint(table) for name, table in samples.items()}
            self._training[train_on] = TrainingRows(samples, rows)
        return self._training[train_on]

    def at(self, fold: str) -> Study:
        """The same study with its datasets split as `fold` says."""
        if fold == self.fold:
            return self
        if fold not in self._folds:
            split = {name: with_fold(data, fold, self.settings) for name, data in self.datasets.items()}
            self._folds[fold] = Study(self.settings, split, fold)
        return self._folds[fold]

    @cached_property
    def scored_rows(self) -> dict[tuple[str, str], str]:
        """Fingerprint of the rows of each (dataset, split) predictions are made for."""
        return {
            (name, split): rows_fingerprint(data.rows(split))
            for name, data in self.datasets.items()
            for split in ("val", "test")
        }


def open_study(settings: Settings) -> Study:
    """Read every active dataset (from the cache where nothing changed)."""
    return Study(settings, {name: load_samples(name, settings) for name in settings.active_datasets})


# ---------------------------------------------------------------- which runs


def planned_runs(study: Study) -> list[PlannedRun]:
    """Every run the settings ask for, once, in order: experiments, variants, models, splits, seeds.

    A run's oracle, where asked for, stands right behind it.
    """
    runs: dict[str, PlannedRun] = {}
    settings = study.settings
    for train_on, mixing in _trainings(settings):
        folds = fold_names([study.datasets[name] for name in train_on], settings)
        for variant, model, fold, seed in product(settings.variants, settings.models, folds, settings.seeds):
            planned = _plan(study.at(fold), train_on, mixing, variant, model, seed, fold)
            runs.setdefault(planned.name, planned)
            if settings.oracle:
                rows = study.at(fold).scored_rows
                oracle = plan_oracle(planned, {name: rows[name, "test"] for name in train_on})
                runs.setdefault(oracle.name, oracle)
    return list(runs.values())


def _trainings(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """What each experiment trains on, and how several datasets are mixed. An experiment needs nothing else."""
    active = settings.active_datasets
    sets: dict[str, list[tuple[str, ...]]] = {
        "individual": [(name,) for name in active],
        "combined": list(settings.combinations) or [active],
        "leave_one_out": [tuple(name for name in active if name != left) for left in active],
    }
    for experiment in settings.experiments:
        for train_on in sets[experiment]:
            for mixing in settings.mixing if len(train_on) > 1 else ("natural",):
                yield train_on, mixing


def _plan(
    study: Study, train_on: tuple[str, ...], mixing: str, variant: str, model: str, seed: int, fold: str
) -> PlannedRun:
    settings = study.settings
    run = Run(
        train_on=train_on,
        variant=variant,
        model=model,
        seed=seed,
        split=fold,
        balance=settings.balance_of(variant),
        mixing=mixing,
        selection=settings.select_by,
        hyper=_hyperparameters(settings, variant, model),
    )
    recipes = {name: picture_recipe(study.datasets[name], variant, run.hyper.input_size, settings) for name in train_on}
    return plan_run(run, recipes, study.training(train_on).fingerprints, study.models_folder)


def _hyperparameters(settings: Settings, variant: str, model: str) -> Hyperparameters:
    row = settings.models[model]
    kind = settings.augmentation_of(variant)
    augmentation = None
    if kind != "none":
        augmentation = {
            "kind": kind,
            "strength": getattr(settings, f"{kind}_strength"),
            "probability": getattr(settings, f"{kind}_probability"),
        }
    return Hyperparameters(
        architecture=row.architecture or model,
        weights=_weights(settings, model),
        options=row.options,
        input_size=row.input_size,
        channels=row.channels,
        batch_size=row.batch_size,
        augmentation=augmentation,
        **{name: getattr(settings, name) for name in SHARED_HYPERPARAMETERS},
    )


# Hyperparameters that config.py sets once for all models.
SHARED_HYPERPARAMETERS = (
    "dropout", "freeze", "epochs", "learning_rate", "optimizer", "weight_decay", "momentum", "schedule",
    "plateau_patience", "plateau_factor", "patience", "label_smoothing", "ema_decay", "train_sizes", "augment_engine",
)  # fmt: skip


def _weights(settings: Settings, model: str) -> str | None:
    """The timm tag, or the fingerprint of a local file, a network starts from; None from scratch."""
    row = settings.models[model]
    if not settings.pretrained:
        return None
    if row.weights_file is None:
        return row.weights
    path = settings.resolve(row.weights_file)
    if not path.is_file():
        raise InputError(f'MODEL_CONFIG "{model}": weights_file {path} does not exist.')
    return f"file:{file_fingerprint(path)}"


def _model_row(settings: Settings, model: str) -> ModelRow:
    """The row of a model with its weights_file as an absolute path."""
    row = settings.models[model]
    if row.weights_file is None:
        return row
    return row.model_copy(update={"weights_file": str(settings.resolve(row.weights_file))})


def training_samples(study: Study, train_on: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Training and validation rows of each dataset in `train_on`.

    In a combined run, rows whose picture stands in a later split of another of its datasets leave,
    unless COPIES is "keep".
    """
    tables = {name: study.datasets[name].samples for name in train_on}
    if len(train_on) > 1 and study.settings.copies == "drop":
        merged = pd.concat(tables.values())
        val = set(merged.loc[merged["split"] == "val", "content"])
        test = set(merged.loc[merged["split"] == "test", "content"])
        tables = {name: _without_copies(table, val, test) for name, table in tables.items()}
    return {name: table[table["split"] != "test"] for name, table in tables.items()}


def _without_copies(table: pd.DataFrame, val: set[str], test: set[str]) -> pd.DataFrame:
    leaves = (table["split"] == "train") & table["content"].isin(val)
    leaves |= (table["split"] != "test") & table["content"].isin(test)
    return table[~leaves]


# ---------------------------------------------------------------- doing them


def write_study(study: Study, runs: list[PlannedRun]) -> None:
    """Name the runs and predictions of the present plan in study.json: tables and figures cover exactly these."""
    write_json(
        study.settings.output_path / "study.json",
        {
            "runs": [planned.name for planned in runs],
            "predictions": {planned.name: _listed_predictions(study, planned) for planned in runs},
            "config": study.settings.describe(),
            "sample_data": [name for name, data in study.datasets.items() if data.row.sample],
            "counts": {
                name: {split: len(data.rows(split)) for split in SPLITS} for name, data in study.datasets.items()
            },
        },
    )


def _listed_predictions(study: Study, planned: PlannedRun) -> list[dict[str, str]]:
    files = prediction_files(study, planned)
    return [
        {"file": file.path.name}
        | {name: getattr(file, name) for name in ("key", "test_on", "split", "test_variant", "tta")}
        for file in files
    ]


def execute(
    study: Study, runs: list[PlannedRun], train: bool = True, after_each: Callable[[], None] | None = None
) -> dict[str, str]:
    """Train and score every run that is not finished; returns {run name: what went wrong}.

    A run another process works on is left to it and looked at again later. One failed run does not
    stop the others. With `train` False, only runs with finished weights are scored. `after_each` is called
    after every run that was worked on here.
    """
    failures: dict[str, str] = {}
    waiting = [planned for planned in runs if train or planned.finished]
    announced = False
    while waiting:
        busy = [planned for planned in waiting if not _attempt(study, planned, runs, failures, after_each)]
        if len(busy) == len(waiting):
            if not announced:
                log.info("%d runs are being trained by another process; waiting for it", len(busy))
            announced = True
            time.sleep(2)
        waiting = busy
    return failures


def _attempt(
    study: Study,
    planned: PlannedRun,
    runs: list[PlannedRun],
    failures: dict[str, str],
    after_each: Callable[[], None] | None,
) -> bool:
    """Finish one run and its predictions; False when another process holds it."""
    study = study.at(planned.run.split)
    if planned.finished and not missing_predictions(study, planned):
        return True
    if planned.honest is not None and not planned.finished and not planned.honest.finished:
        if planned.honest.name not in failures:
            return False  # another process trains the run whose epochs this one is chosen from
        failures[planned.name] = f"{planned.honest.name}, whose epochs it is chosen from, failed"
        return True
    with held(planned.folder) as mine:
        if not mine:
            return False
        failed = planned.folder / "failed.txt"
        try:
            if not planned.finished:
                log.info("run %d of %d: %s", runs.index(planned) + 1, len(runs), planned.name)
                _train(study, planned, runs)
            _score(study, planned)
            failed.unlink(missing_ok=True)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise InputError(
                    f"The disk of {study.settings.output_path} is full. Finished runs are kept; free space and "
                    "run the same command again."
                ) from error
            failures[planned.name] = f"{type(error).__name__}: {error}"
            log.exception("%s failed; the other runs go on", planned.name)
            write_text(failed, traceback.format_exc())
    if after_each is not None:
        after_each()
    return True


def train_and_score(study: Study, planned: PlannedRun) -> None:
    """Train one run in its folder and score it, whatever is there already."""
    study = study.at(planned.run.split)
    _train(study, planned, [])
    _score(study, planned)


def _train(study: Study, planned: PlannedRun, runs: list[PlannedRun]) -> None:
    """Train one run. Its oracle, where the plan has one to do, is taken from the same epochs.

    An oracle asked for when its honest run is long finished repeats that training in a corner of its own folder.
    """
    if planned.honest is not None:
        corner = planned.folder / "training"
        _fit(study, planned.honest, corner, planned)
        shutil.rmtree(corner)
        return
    oracle = next((other for other in runs if other.honest is not None and other.honest.name == planned.name), None)
    if oracle is None or oracle.finished:
        _fit(study, planned, planned.folder)
        return
    with held(oracle.folder) as free:
        _fit(study, planned, planned.folder, oracle if free else None)


def _fit(study: Study, planned: PlannedRun, folder: Path, oracle: PlannedRun | None = None) -> None:
    """Train `planned` in `folder`; run.json comes last and means finished, the oracle's before the run's own."""
    from training import Oracle, fit, make_machine

    settings, run = study.settings, planned.run
    machine = make_machine(settings)
    samples = study.training(run.train_on).samples
    train, validation, counts = training_faces(study.datasets, samples, run, settings)
    peeked = None if oracle is None else Oracle(_oracle_faces(study, run), oracle.folder)
    facts = fit(run, train, validation, folder, machine, _model_row(settings, run.model), peeked)
    if oracle is not None:
        _finish(study, oracle, facts | {"best_epoch": facts["oracle_epoch"]}, counts, machine)
    if folder == planned.folder:
        _finish(study, planned, facts, counts, machine)
        (folder / "checkpoint.pth").unlink(missing_ok=True)


def _oracle_faces(study: Study, run: Run) -> dict[str, FaceRows]:
    """The test rows an oracle looks at after every epoch, per dataset trained on."""
    variant, size = scored_variant(run.variant), run.hyper.input_size
    return {name: test_faces(study.datasets[name], "test", variant, size, study.settings) for name in run.train_on}


def _finish(
    study: Study, planned: PlannedRun, facts: dict[str, Any], counts: dict[str, dict[str, Any]], machine: Machine
) -> None:
    """Measure the network's cost and write run.json."""
    from model_utils import network_cost
    from training import load_trained

    network, expected = load_trained(planned, _model_row(study.settings, planned.run.model), machine)
    write_json(
        planned.folder / "run.json",
        {
            "run": planned.run.describe(),
            "inputs": planned.inputs,
            "counts": counts,
            "facts": facts | network_cost(network, expected, machine.device),
            "weights_sha256": file_fingerprint(planned.folder / "weights.pth", 64),
            "config": study.settings.describe(),
            "environment": environment(machine.device),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


# ---------------------------------------------------------------- predictions


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
        rows = study.scored_rows[name, split]
        for tta in study.settings.tta:
            key = fingerprint([stored["weights_sha256"], rows, variant, recipe, tta, PREDICTION_VERSION], 32)
            path = planned.folder / "predictions" / f"{name}__{split}__{variant}__{tta}.npz"
            files.append(PredictionFile(path, key, name, split, variant, tta))
    return files


# Raise when the same weights and rows would give other probabilities (a changed view, say).
PREDICTION_VERSION = 1


def _scored_sets(study: Study, run: Run) -> Iterator[tuple[str, str, str]]:
    """(dataset, split, variant) of everything a run is scored on."""
    own = scored_variant(run.variant)
    for name, data in study.datasets.items():
        if name in run.train_on and len(data.rows("val")):
            yield name, "val", own
        if study.settings.evaluate_test and len(data.rows("test")):
            wanted = [own if variant == "same" else variant for variant in study.settings.test_variants]
            for variant in dict.fromkeys(wanted):
                yield name, "test", variant


def missing_predictions(study: Study, planned: PlannedRun) -> list[PredictionFile]:
    """The predictions files of a finished run that are not there, damaged, or of other rows or weights."""
    from evaluation import stored_key

    return [file for file in prediction_files(study, planned) if stored_key(file.path) != file.key]


def _score(study: Study, planned: PlannedRun) -> None:
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
        faces = test_faces(study.datasets[name], split, variant, planned.run.hyper.input_size, study.settings)
        policies = tuple(file.tta for file in files)
        found = predict(
            network,
            expected,
            faces,
            policies,
            planned.run.hyper.batch_size,
            machine.device,
            0,
            machine.autocast,
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
    with FileLock(path.with_suffix(".lock")):
        known = (
            pd.read_csv(path, dtype=str) if path.is_file() else pd.DataFrame(columns=["test_on", "run", "first_scored"])
        )
        if ((known["test_on"] == test_on) & (known["run"] == run)).any():
            return
        known.loc[len(known)] = [test_on, run, datetime.now(UTC).isoformat(timespec="seconds")]
        write_text(path, known.to_csv(index=False))


# ---------------------------------------------------------------- estimates for --plan


def estimate(study: Study, planned: PlannedRun) -> dict[str, Any]:
    """Seconds and bytes of a run to do, from finished runs of the same network; None where none is known."""
    tables = study.at(planned.run.split).training(planned.run.train_on).samples
    rows = sum((table["split"] == "train").sum() for table in tables.values())
    known = [
        stored
        for folder in study.models_folder.glob(f"*__{planned.run.model}__*")
        if (stored := read_run_json(folder)) is not None
        and stored["inputs"]["hyper"]["input_size"] == planned.run.hyper.input_size
    ]
    if not known:
        return {"seconds": None, "megabytes": None}
    facts = known[-1]["facts"]
    seconds = rows * planned.run.hyper.epochs / facts["images_per_second"]
    return {"seconds": seconds, "megabytes": 4 * facts["parameters"] / 2**20}
