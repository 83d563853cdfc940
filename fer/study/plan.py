"""The plan: which runs the experiments ask for, and the rows each of them learns from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer.audit.near_groups import near_groups, with_groups_between
from fer.columns.files import SHARES
from fer.data.copies import settle_copies_between
from fer.data.folds import OFFICIAL, fold_names, is_out_of_fold, out_of_fold_names, with_fold
from fer.data.samples import DatasetSamples, load_samples
from fer.data.whole_sets import dataset_of, is_whole, unseen_rows
from fer.machine.precision import resolved_precision
from fer.networks.names import architecture_of
from fer.runs.learning_rate import learning_rate
from fer.runs.run import Hyperparameters, PlannedRun, Run, plan_oracle, plan_run, rows_fingerprint, with_seed
from fer.settings.augmentation_rows import described
from fer.settings.settings import ModelRow, Settings
from fer.settings.training_values import CLASSIC_HEADS, TrainingValues
from fer.study.pretraining import PlannedPretraining, plan_pretraining, starting_row
from fer.study.variants import draws_rows, picture_recipe
from utils import InputError, file_fingerprint, fingerprint

# What the networks of LABEL_NOISE are scored on: the rows they are asked about, seen as they are.
ASKED_ONCE: dict[str, Any] = {"evaluate_test": True, "oracle": False, "tta": ("none",), "test_variants": ("same",)}


@dataclass(frozen=True)
class TrainingRows:
    """Training and validation rows per dataset, and the fingerprint of each table for the key.

    `validation`: the validation rows among them, the only ones that choose its epoch and weigh
    votes; with their fingerprints.
    """

    samples: dict[str, pd.DataFrame]
    fingerprints: dict[str, str]
    validation: dict[str, tuple[pd.DataFrame, str]]

    @cached_property
    def class_counts(self) -> list[np.ndarray]:
        """Training rows of each class, int64 [C] of each dataset: what an estimate asks of every run of a plan."""
        tables = self.samples.values()
        return [np.bincount(table.loc[table["split"] == "train", "label"].to_numpy()) for table in tables]


@dataclass(frozen=True)
class Study:
    """The settings and the samples of every active dataset, in one split (see data/folds.py).

    `datasets`: those trained on or tested; `unlabelled`: those for pretraining alone, rows of split "unlabelled";
    `others`: those that are not active, and that a pretraining learns from.
    """

    settings: Settings
    datasets: dict[str, DatasetSamples]
    fold: str = OFFICIAL
    _training: dict[tuple[str, ...], TrainingRows] = field(default_factory=dict, repr=False)
    _folds: dict[str, Study] = field(default_factory=dict, repr=False)
    _grid: dict[str, Study] = field(default_factory=dict, repr=False)
    unlabelled: dict[str, DatasetSamples] = field(default_factory=dict)
    others: dict[str, DatasetSamples] = field(default_factory=dict)
    _unseen: dict[tuple[tuple[str, ...], str], tuple[pd.DataFrame, str]] = field(default_factory=dict, repr=False)
    _noise: dict[str, tuple[PlannedRun, ...]] = field(default_factory=dict, repr=False)
    _pretrainings: dict[tuple[Any, ...], PlannedPretraining | None] = field(default_factory=dict, repr=False)

    @property
    def models_folder(self) -> Path:
        """Where run folders lie."""
        return self.settings.output_path / "saved_models"

    def training(self, train_on: tuple[str, ...]) -> TrainingRows:
        """Training and validation rows of a set of datasets; found once, since every network asks for them."""
        if train_on not in self._training:
            samples = training_samples(self, train_on)
            rows = {name: rows_fingerprint(table) for name, table in samples.items()}
            chosen_on = {name: table[table["split"] == "val"] for name, table in samples.items()}
            val = {name: (table, rows_fingerprint(table)) for name, table in chosen_on.items()}
            self._training[train_on] = TrainingRows(samples, rows, val)
        return self._training[train_on]

    def learnt_from(self, pretraining: str) -> dict[str, DatasetSamples]:
        """The datasets of a row of PRETRAININGS."""
        names = self.settings.pretrainings[pretraining].datasets
        return {name: (self.datasets | self.unlabelled | self.others)[name] for name in names}

    def pretraining(self, train_on: tuple[str, ...], variant: str, model: str) -> PlannedPretraining | None:
        """What a network learns before such a training, found once; None where it starts otherwise."""
        asked = (train_on, variant, model)
        if asked not in self._pretrainings:
            self._pretrainings[asked] = _pretraining(self, *asked)
        return self._pretrainings[asked]

    def at(self, fold: str) -> Study:
        """The same study with its datasets split as `fold` says."""
        if fold == self.fold:
            return self
        if fold not in self._folds:
            split = {name: with_fold(data, fold, self.settings) for name, data in self.datasets.items()}
            settings = self.settings.model_copy(update=ASKED_ONCE) if is_out_of_fold(fold) else self.settings
            self._folds[fold] = Study(settings, split, fold, unlabelled=self.unlabelled, others=self.others)
        return self._folds[fold]

    def with_settings(self, settings: Settings) -> Study:
        """The same datasets and rows under other settings, which must leave the rows as they are."""
        added = [name for name in settings.pretraining_datasets if name not in self.others]
        others = self.others | {name: load_samples(name, settings, near_groups) for name in added}
        return Study(settings, self.datasets, self.fold, self._training, unlabelled=self.unlabelled, others=others)

    def adopt(self, planned: PlannedRun, study: Study) -> None:
        """From now on a run belongs to `study`, a point of GRID, wherever it is trained, scored or asked about."""
        self._grid[planned.name] = study

    def of(self, planned: PlannedRun) -> Study:
        """The study with the settings and the split of a run."""
        return self._grid.get(planned.name, self).at(planned.run.split)

    @cached_property
    def tested(self) -> dict[str, tuple[pd.DataFrame, str]]:
        """Test rows of each dataset, the same for every run, with their fingerprint."""
        tables = {name: data.rows("test") for name, data in self.datasets.items()}
        return {name: (table, rows_fingerprint(table)) for name, table in tables.items()}

    def unseen(self, run: Run, name: str) -> tuple[pd.DataFrame, str]:
        """All rows of a dataset that are new to a network, also before its own training, and their fingerprint."""
        learnt_from = (*run.train_on, *run.pretrained_on)
        if (learnt_from, name) not in self._unseen:
            known = self.datasets | self.unlabelled | self.others
            table = unseen_rows(self.datasets[name], [known[other] for other in learnt_from])
            self._unseen[learnt_from, name] = table, rows_fingerprint(table)
        return self._unseen[learnt_from, name]

    def scored(self, run: Run, name: str, split: str) -> tuple[pd.DataFrame, str]:
        """The rows of a dataset (or `<dataset>@all`) that a run is scored on, and their fingerprint.

        Validation rows are those its epoch was chosen on: what left a combined training leaves its predictions too,
        and with them temperatures and the weights of votes.
        """
        if is_whole(name):
            return self.unseen(run, dataset_of(name))
        return self.tested[name] if split == "test" else self.training(run.train_on).validation[name]


def open_study(settings: Settings) -> Study:
    """Read every active dataset (from the cache where nothing changed)."""
    unlabelled = settings.active("unlabelled")
    samples = {name: load_samples(name, settings, near_groups) for name in settings.active_datasets}
    datasets = {name: data for name, data in samples.items() if name not in unlabelled}
    others = {name: load_samples(name, settings, near_groups) for name in settings.pretraining_datasets}
    return Study(settings, datasets, unlabelled={name: samples[name] for name in unlabelled}, others=others)


# ---------------------------------------------------------------- which runs


def planned_runs(study: Study) -> list[PlannedRun]:
    """Every run the settings ask for, once, in order: experiments, variants, models, splits, seeds.

    A run's oracle, where asked for, stands right behind it.
    """
    runs: dict[str, PlannedRun] = {}
    settings = study.settings
    for train_on, mixing in trainings_of(settings):
        folds = fold_names([study.datasets[name] for name in train_on], settings)
        for variant, model, fold in product(settings.variants, settings.models, folds):
            first = _plan(study, train_on, mixing, variant, model, settings.seeds[0], fold)
            for planned in (with_seed(first, seed) for seed in settings.seeds):
                runs.setdefault(planned.name, planned)
                if settings.oracle:
                    tested = study.at(fold).tested
                    oracle = plan_oracle(planned, {name: tested[name][1] for name in train_on})
                    runs.setdefault(oracle.name, oracle)
    return list(runs.values())


def noise_runs(study: Study, name: str) -> tuple[PlannedRun, ...]:
    """The runs that say how doubtful the labels of a dataset are, one per fold.

    None without LABEL_NOISE, nor for a dataset that is only tested on: there is nothing to train such networks on.
    The first of VARIANTS and of SEEDS, and no doubt in what they learn from.
    """
    settings = study.settings
    if settings.label_noise is None or study.datasets[name].row.role != "train":
        return ()
    if name not in study._noise:
        variant, seed = settings.variants[0], settings.seeds[0]
        study._noise[name] = tuple(
            _plan(study, (name,), "natural", variant, settings.label_noise, seed, fold)
            for fold in out_of_fold_names(settings)
        )
    return study._noise[name]


def needed_runs(study: Study, runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """What has to be trained before `runs`, and the runs of LABEL_NOISE, each once."""
    own = [one for name in study.datasets for one in noise_runs(study, name)]
    needs = [need for planned in runs for need in planned.needs]
    return list({planned.name: planned for planned in [*own, *needs]}.values())


# The fewest active datasets with which an experiment has something to train.
FEWEST_DATASETS = {"combined": 2, "leave_one_out": 3}


def idle_experiments(settings: Settings) -> dict[str, int]:
    """The experiments asked for that have nothing to do, and how many active datasets each would need."""
    active = len(settings.active("train"))
    return {name: FEWEST_DATASETS[name] for name in settings.experiments if FEWEST_DATASETS.get(name, 1) > active}


def describe_idle(settings: Settings) -> str:
    """In one line: which experiments have nothing to do and why; empty where there are none."""
    needs = [f'"{name}" (needs {least} datasets)' for name, least in idle_experiments(settings).items()]
    active = ", ".join(settings.active("train"))
    return f"EXPERIMENTS: nothing to do for {' and '.join(needs)}; active: {active}." if needs else ""


def trainings_of(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """What each experiment trains on, and how several datasets are mixed. An experiment needs nothing else."""
    active = settings.active("train")
    idle = idle_experiments(settings)
    sets: dict[str, list[tuple[str, ...]]] = {
        "individual": [(name,) for name in active],
        "combined": list(settings.combinations) or [active],
        "leave_one_out": [tuple(name for name in active if name != left) for left in active],
    }
    for experiment in settings.experiments:
        for train_on in sets[experiment] if experiment not in idle else ():
            for mixing in settings.mixing if len(train_on) > 1 else ("natural",):
                yield train_on, mixing


def _plan(
    study: Study, train_on: tuple[str, ...], mixing: str, variant: str, model: str, seed: int, fold: str
) -> PlannedRun:
    settings, whole = study.settings, study
    study = study.at(fold)
    before = study.pretraining(train_on, variant, model)
    hyper = _hyperparameters(settings, variant, model, before)
    run = Run(
        train_on=train_on,
        variant=variant,
        model=model,
        seed=seed,
        split=fold,
        balance=settings.balance_of(variant),
        mixing=mixing,
        selection=settings.training_of(model).select_by,
        hyper=hyper if not is_out_of_fold(fold) else replace(hyper, doubtful="keep"),
        balance_seed=settings.split_seed if draws_rows(variant, settings) else None,
        pretrained_on=() if before is None else before.run.train_on,
    )
    recipes = {name: picture_recipe(study.datasets[name], variant, run.hyper.input_size, settings) for name in train_on}
    run, rows = _softened(run, study.training(train_on))
    doubted_by = {name: noise_runs(whole, name) for name in train_on} if run.hyper.doubtful != "keep" else {}
    return plan_run(run, recipes, rows, study.models_folder, doubted_by)


def _softened(run: Run, rows: TrainingRows) -> tuple[Run, dict[str, str]]:
    """The run, without SOFT_LABELS where nobody voted; fingerprints of its rows, with the votes where they are used."""
    voted = [name for name, table in rows.samples.items() if SHARES in table]
    run = replace(run, hyper=replace(run.hyper, soft_labels=run.hyper.soft_labels and bool(voted)))
    votes = {name: fingerprint(rows.samples[name][SHARES].tolist(), 32) for name in voted if run.hyper.soft_labels}
    return run, {
        name: f"{known} {votes[name]}" if name in votes else known for name, known in rows.fingerprints.items()
    }


def _hyperparameters(
    settings: Settings, variant: str, model: str, before: PlannedPretraining | None = None
) -> Hyperparameters:
    weights = _weights(settings, model) if before is None else before.tag
    return _told(settings, variant, model, settings.models[model], settings.training_of(model), weights)


def _told(
    settings: Settings, variant: str, model: str, row: ModelRow, values: TrainingValues, weights: str | None
) -> Hyperparameters:
    """What one training is told, of a run or before it."""
    plain = values.model_dump()
    shared = {name: plain[name] for name in TrainingValues.model_fields if name not in RESOLVED}
    unread: dict[str, Any] = {
        name: TrainingValues.model_fields[name].default for name in _unread(values, settings.balance_of(variant))
    }
    if values.loss == "balanced_softmax":
        shared |= {"loss": "logit_adjustment", "logit_tau": 1.0}  # one training under one name
    online = settings.online_row(variant) if values.head not in CLASSIC_HEADS else None
    augmentation = described(online) if online else None
    hyper = Hyperparameters(
        architecture=architecture_of(model, row),
        weights=weights,
        options=row.options,
        input_size=row.input_size,
        channels=row.channels,
        classes=settings.classes,
        batch_size=row.batch_size,
        augmentation=augmentation,
        augment_engine=settings.augment_engine if augmentation else "albumentations",
        precision=resolved_precision(settings.amp, settings.device, architecture_of(model, row)),
        learning_rate=learning_rate(values, weights is not None),
        **(shared | unread),
    )
    return replace(hyper, **FITTED_ONCE) if values.head in CLASSIC_HEADS else hyper


def _unread(values: TrainingValues, balance: str) -> list[str]:
    """Hyperparameters that nothing reads beside the others: they stand at their defaults, so they make no new run."""
    beta = ["effective_beta"] if balance != "effective_number" else []
    if values.head in CLASSIC_HEADS:
        read = {*RESOLVED, "interpolation", "head", "head_c", "effective_beta", "doubtful", "train_share"}
        return [*sorted(set(TrainingValues.model_fields) - read), *beta]
    head = ["head_c", *(OF_AN_MLP if values.head != "mlp" else ())]
    head += ["head_weight_decay"] if values.head_weight_decay == values.weight_decay else []
    loss = [name for kind, name in READ_BY.items() if values.loss != kind]
    momentum = ["momentum"] if values.optimizer != "sgd" else []
    plateau = ["plateau_patience", "plateau_factor"] if values.schedule != "plateau" else []
    warmup = ["warmup_epochs"] if values.schedule != "cosine" else []
    stopping = ["stop_by"] if values.patience is None else []
    return beta + head + loss + momentum + plateau + warmup + stopping


READ_BY = {"focal": "focal_gamma", "logit_adjustment": "logit_tau"}
OF_AN_MLP = ("head_widths", "head_batch_norm", "head_dropout")
# What a head that is fitted once on frozen features is in the words of a training.
FITTED_ONCE: dict[str, Any] = {"epochs": 1, "learning_rate": 0.0, "freeze": "backbone"}


# Values of a training that enter a run otherwise: as `weights`, as the rate "auto" stands for, as `Run.selection`.
RESOLVED = ("pretrained", "learning_rate", "select_by")


def _weights(settings: Settings, model: str) -> str | None:
    """The timm tag, or the fingerprint of a local file, a network starts from; None from scratch."""
    row = settings.models[model]
    if not settings.training_of(model).pretrained:
        return None
    if row.weights_file is None:
        return row.weights
    path = settings.resolve(row.weights_file)
    if not path.is_file():
        raise InputError(f'MODEL_CONFIG "{model}": weights_file {path} does not exist.')
    tag = "" if row.weights is None else f"{row.weights} as "
    return f"{tag}file:{file_fingerprint(path)}"


def _pretraining(study: Study, train_on: tuple[str, ...], variant: str, model: str) -> PlannedPretraining | None:
    """What a network learns before it is trained on `train_on`; None where it starts otherwise."""
    settings = study.settings
    name = settings.pretraining_of(model)
    if name is None:
        return None
    row = starting_row(settings, model, name)
    values = settings.pretraining_values(name)
    hyper = replace(_told(settings, variant, model, row, values, row.weights), soft_labels=False)
    hyper = replace(hyper, interpolation=settings.training_of(model).interpolation)
    sources, targets = study.learnt_from(name), {dataset: study.datasets[dataset] for dataset in train_on}
    every = sources | targets
    near = None
    if settings.copies == "drop_near" and len(every) > 1:  # of one dataset, groups hold its near copies already
        near = with_groups_between(every, {key: data.unsettled for key, data in every.items()}, settings)
    return plan_pretraining(settings, name, variant, row, hyper, sources, targets, near)


def planned_pretrainings(study: Study, runs: Iterable[PlannedRun]) -> dict[Path, PlannedPretraining]:
    """What the networks of `runs` learn first, each once, by its folder."""
    found = {}
    for planned in runs:
        run = planned.run
        if run.pretrained_on and (before := study.of(planned).pretraining(run.train_on, run.variant, run.model)):
            found[before.folder] = before
    return found


def training_samples(study: Study, train_on: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Training and validation rows of each dataset in `train_on`.

    In a combined run, rows whose picture stands in a later split of another of its datasets leave as COPIES says.
    """
    tables = {name: study.datasets[name].samples for name in train_on}
    if len(train_on) > 1:
        if study.settings.copies == "drop_near":
            tables = with_groups_between(study.datasets, tables, study.settings)
        tables = settle_copies_between(tables, study.settings.copies, study.settings.split_seed)
    return {name: table[table["split"].isin(("train", "val"))] for name, table in tables.items()}
