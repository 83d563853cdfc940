"""Run: one training. What identifies it, where it lies, whether it is finished, who works on it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from fer.faces.augmentation import AUGMENTATION_VERSION
from fer.faces.batch_augmentation import BATCH_AUGMENTATION_VERSION
from fer.layouts.emotions import EMOTIONS, class_names
from fer.runs.record import problem_of
from utils import canonical_json, fingerprint, lock_in, log, read_sealed

# Raise when the same settings and rows would train other weights than before.
RECIPE_VERSION = 1

# Hyperparameters added after version 1, with the value that reproduces what came before them. While
# one holds that value it stays out of the key, so old weights are found again.
ADDED_LATER: dict[str, Any] = {
    "precision": "fp32", "train_share": 1.0, "stages": (), "freeze_batch_norm": False, "drop_path": 0.0,
    "layer_decay": 1.0, "weight_decay_on": "all", "gradient_clip": None, "warmup_epochs": 0, "stop_by": "loss",
    "interpolation": "bilinear", "head": "linear",
    "head_widths": (512, 128), "head_batch_norm": True, "head_dropout": 0.3, "head_weight_decay": None, "head_c": 1.0,
    "loss": "cross_entropy", "focal_gamma": 2.0, "logit_tau": 1.0, "effective_beta": 0.999,
    "mixup": 0.0, "cutmix": 0.0, "soft_labels": False,
    "doubtful": "keep", "classes": len(EMOTIONS), "sync_batch_norm": True,
}  # fmt: skip

# Raise when a loss that reads how frequent the classes are counts them otherwise, in the runs of `_counts_draws`.
CLASS_MASSES_VERSION = 2  # 1 counted labels, whatever their votes and weights and however datasets are mixed

# Raise when the same probabilities would call other labels doubtful.
NOISE_VERSION = 1

# Value of `Run.selection` where the epoch was chosen on the test set.
ORACLE = "oracle"


@dataclass(frozen=True)
class Hyperparameters:
    """Everything a user sets that shapes the weights, rows and pictures aside."""

    architecture: str
    weights: str | None
    options: dict[str, Any]
    input_size: int
    channels: int
    batch_size: int
    dropout: float
    freeze: str | dict[str, int]
    epochs: int
    learning_rate: float
    optimizer: str
    weight_decay: float
    momentum: float
    schedule: str
    plateau_patience: int
    plateau_factor: float
    patience: int | None
    label_smoothing: float
    ema_decay: float
    train_sizes: tuple[tuple[float, int], ...]
    augmentation: dict[str, Any] | None
    augment_engine: str
    precision: str = "fp32"
    train_share: float = 1.0
    stages: tuple[dict[str, Any], ...] = ()
    freeze_batch_norm: bool = False
    drop_path: float = 0.0
    layer_decay: float = 1.0
    weight_decay_on: str = "all"
    gradient_clip: float | None = None
    warmup_epochs: int = 0
    stop_by: str = "loss"
    interpolation: str = "bilinear"
    head: str = "linear"
    head_widths: tuple[int, ...] = (512, 128)
    head_batch_norm: bool = True
    head_dropout: float = 0.3
    head_weight_decay: float | None = None
    head_c: float = 1.0
    loss: str = "cross_entropy"
    focal_gamma: float = 2.0
    logit_tau: float = 1.0
    effective_beta: float = 0.999
    mixup: float = 0.0
    cutmix: float = 0.0
    doubtful: str | float = "keep"
    soft_labels: bool = False
    classes: int = len(EMOTIONS)
    sync_batch_norm: bool = True


@dataclass(frozen=True)
class Run:
    """One training: what it learns from, with which network, from which seed, how it is chosen."""

    train_on: tuple[str, ...]
    variant: str
    model: str
    seed: int
    split: str
    balance: str
    mixing: str
    selection: str
    hyper: Hyperparameters
    # Seed of the draw that balances rows; None where none is drawn, or where the extra copies' recipe holds it.
    balance_seed: int | None = None
    # Datasets of the pretraining it starts from, see PRETRAININGS.
    pretrained_on: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """The readable part of the folder name; long names of many datasets are shortened."""
        names = "+".join(self.train_on)
        names = names if len(names) <= 40 else f"{len(self.train_on)}sets-{fingerprint(self.train_on, 4)}"
        fold = f"-{self.split}" if self.split != "official" else ""
        oracle = "-oracle" if self.selection == ORACLE else ""
        return f"{names}__{self.variant}__{self.model}__s{self.seed}{fold}{oracle}"

    def describe(self) -> dict[str, Any]:
        """The run as plain values, for run.json and the key."""
        described = vars(self) | {"train_on": list(self.train_on), "pretrained_on": list(self.pretrained_on)}
        described["hyper"] = dict(vars(self.hyper))  # dataclasses.asdict copies every value of it, for 10,000 runs too
        return described if self.pretrained_on else {k: v for k, v in described.items() if k != "pretrained_on"}


@dataclass(frozen=True)
class PlannedRun:
    """A run with its key's inputs and its folder.

    `counterpart`, of an oracle: the run of the same training whose epoch is chosen on validation rows.
    `needs`: the runs that must be finished and scored before this one can begin.
    """

    run: Run
    inputs: dict[str, Any]
    folder: Path
    counterpart: PlannedRun | None = None
    needs: tuple[PlannedRun, ...] = ()

    @property
    def name(self) -> str:
        """Folder name: slug and short hash."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """True when the run's weights and its run.json, of these very inputs, are there."""
        return read_run_json(self.folder, self.inputs) is not None and (self.folder / "weights.pth").is_file()


def rows_fingerprint(samples: pd.DataFrame) -> str:
    """Fingerprint of rows as they enter training: face (source content and box), label and split, in order."""
    return fingerprint(samples[["face", "label", "split"]].to_numpy().tolist(), length=32)


def key_inputs(run: Run, recipes: dict[str, Any], rows: dict[str, str]) -> dict[str, Any]:
    """All that shapes the weights of `run`, as plain values.

    `recipes`: how pictures were prepared, per dataset; `rows`: fingerprint of the training and
    validation rows per dataset. No paths, devices, worker counts or names of experiments.
    """
    described = run.describe()
    if run.balance_seed is None:
        del described["balance_seed"]
    described["hyper"] = {
        name: value
        for name, value in described["hyper"].items()
        if name not in ADDED_LATER or value != ADDED_LATER[name]
    }
    inputs = described | {
        "recipe_version": RECIPE_VERSION,
        "augmentation_version": _augmentation_version(run.hyper),
        "classes": list(class_names(run.hyper.classes)),
        "recipes": recipes,
        "rows": rows,
    }
    if _counts_draws(run):
        inputs["class_masses_version"] = CLASS_MASSES_VERSION
    return json.loads(canonical_json(inputs))  # as it comes back from run.json: tuples are lists


def _counts_draws(run: Run) -> bool:
    """Whether the loss reads how frequent the classes are where that is not the number of their labels."""
    reads = run.balance in ("weights", "effective_number") or run.hyper.loss == "logit_adjustment"
    return reads and (run.mixing == "balanced" or run.hyper.soft_labels or isinstance(run.hyper.doubtful, float))


def _augmentation_version(hyper: Hyperparameters) -> int | None:
    if not hyper.augmentation:
        return None
    return BATCH_AUGMENTATION_VERSION if hyper.augment_engine == "batch" else AUGMENTATION_VERSION


def plan_oracle(counterpart: PlannedRun, test_rows: dict[str, str]) -> PlannedRun:
    """The oracle of a run: the epoch of its training with the best accuracy on `test_rows` (fingerprints).

    Its key holds the whole key of its counterpart, since both are epochs of one training.
    """
    key = fingerprint(counterpart.inputs, 32)
    inputs = counterpart.inputs | {"selection": ORACLE, "epoch_of": key, "test_rows": test_rows}
    run = replace(counterpart.run, selection=ORACLE)
    folder = counterpart.folder.parent / f"{run.slug}__{fingerprint(inputs)}"
    return PlannedRun(run, inputs, folder, counterpart, counterpart.needs)


def plan_run(
    run: Run,
    recipes: dict[str, Any],
    rows: dict[str, str],
    models_folder: Path,
    doubted_by: Mapping[str, tuple[PlannedRun, ...]] | None = None,
) -> PlannedRun:
    """Give `run` its key and folder `<slug>__<hash8>` under `models_folder`.

    `doubted_by`: per dataset the runs by which its doubtful labels are found, where `run` treats those apart. Which
    rows that are is not known before they are trained, so their keys stand in this one.
    """
    inputs = key_inputs(run, recipes, rows)
    if doubted_by:
        keys = {name: [fingerprint(one.inputs, 32) for one in found] for name, found in doubted_by.items()}
        inputs["doubted_by"] = keys | {"version": NOISE_VERSION}
    needs = tuple(one for found in (doubted_by or {}).values() for one in found)
    return PlannedRun(run, inputs, models_folder / f"{run.slug}__{fingerprint(inputs)}", needs=needs)


def with_seed(planned: PlannedRun, seed: int) -> PlannedRun:
    """The same training from another seed, which is in its key and in nothing else of it."""
    run, inputs = replace(planned.run, seed=seed), planned.inputs | {"seed": seed}
    folder = planned.folder.with_name(f"{run.slug}__{fingerprint(inputs)}")
    return replace(planned, run=run, inputs=inputs, folder=folder)


def read_run_json(folder: Path, inputs: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The run.json of a finished run; None when there is none, it is damaged, or its inputs differ.

    A damaged one is named in the log, once: its run counts as unfinished and is trained again. What is returned is
    remembered for the next caller: read it, never change it.
    """
    path = folder / "run.json"
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn_once(path, str(error))
        return None
    # parsed once as it is now: plan, scoring and waiting for other processes ask again and again
    stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
    if path not in _parsed or _parsed[path][0] != stamp:
        _parsed[path] = (stamp, _parse_run_json(path))
    stored = _parsed[path][1]
    return stored if stored is None or inputs is None or stored["inputs"] == inputs else None


_parsed: dict[Path, tuple[tuple[int, ...], dict[str, Any] | None]] = {}


def _parse_run_json(path: Path) -> dict[str, Any] | None:
    try:
        stored = read_sealed(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        _warn_once(path, str(error))
        return None
    problem = problem_of(stored)
    if not problem and _has_diverged(stored):
        problem = "its training diverged: the validation loss is not finite"
    if problem:
        _warn_once(path, problem)
    return None if problem else stored


@cache
def _warn_once(path: Path, why: str) -> None:
    log.warning("%s cannot be used (%s); the run counts as unfinished and is trained again.", path, why)


def _has_diverged(stored: dict[str, Any]) -> bool:
    """True where a run.json of an older version records a kept epoch without a finite loss (null in JSON)."""
    kept = (stored.get("facts") or {}).get("best_validation") or {}
    return "val_loss" in kept and kept["val_loss"] is None


def folders_by_slug(models_folder: Path) -> dict[str, list[Path]]:
    """The run folders that are there, sorted, by their names without the hash; one listing serves a whole plan."""
    found: dict[str, list[Path]] = {}
    for folder in sorted(models_folder.glob("*__*")):
        found.setdefault(folder.name.rpartition("__")[0], []).append(folder)
    return found


def what_made_it_new(planned: PlannedRun, folders: Mapping[str, Sequence[Path]] | None = None) -> str:
    """In words: what is gone, else which inputs differ from the nearest finished run of the same slug, if any.

    `folders`: what `folders_by_slug` found, where many runs are asked about.
    """
    folders = folders_by_slug(planned.folder.parent) if folders is None else folders
    if not planned.finished and read_run_json(planned.folder, planned.inputs) is not None:
        return "its weights.pth is gone"
    older = [
        stored
        for folder in folders.get(planned.run.slug, ())
        if folder != planned.folder and (stored := read_run_json(folder)) is not None
    ]
    if not older:
        return "not trained before"
    differences = [changes(stored["inputs"], planned.inputs) for stored in older]
    nearest: list[str] = min(differences, key=len)
    return "; ".join(nearest)


def changes(old: Any, new: Any, name: str = "") -> list[str]:
    """In words, which inputs of a run's key differ."""
    if name == "doubted_by":  # where only one side has them, DOUBTFUL says so
        return ["what tells doubtful labels changed"] if old and new and old != new else []
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(old.keys() | new.keys())
        before, now = ADDED_LATER | old, ADDED_LATER | new
        return [c for key in names for c in changes(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))]
    if old == new:
        return []
    if name.startswith("rows."):
        return [f"the rows of {name.removeprefix('rows.')} changed"]
    title = name.removeprefix("hyper.").upper() if name.startswith("hyper.") else name
    hint = ' (AMP = "auto" follows the device; "off", "bf16" or "fp16" pins it)' if title == "PRECISION" else ""
    return [f"{title}: {old!r} -> {new!r}{hint}"]


def run_lock(folder: Path) -> FileLock:
    """The lock of a run by its folder `<output>/saved_models/<name>`."""
    return lock_in(folder.parents[1], f"run_{folder.name}")


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a run folder; yields False at once when another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = run_lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
