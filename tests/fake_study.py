"""A small made-up output folder: what a finished study leaves under `saidas/`, without training anything.

For tests of everything that only reads: tables, figures, reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluation import Predictions, store_predictions
from fer.runs.run import Hyperparameters, PlannedRun, Run, plan_run
from fer.settings.settings import EMOTIONS
from utils import fingerprint, write_json, write_text

HYPER = Hyperparameters(
    architecture="tiny", weights=None, options={}, input_size=48, channels=1, batch_size=32, dropout=0.0,
    freeze="none", epochs=6, learning_rate=1e-3, optimizer="adam", weight_decay=0.0, momentum=0.9,
    schedule="plateau", plateau_patience=3, plateau_factor=0.5, patience=None, label_smoothing=0.0,
    ema_decay=0.0, train_sizes=(), augmentation=None, augment_engine="albumentations",
)  # fmt: skip

# Rows per class (EMOTIONS order) of each split.
CLASS_COUNTS = {
    "train": (40, 10, 20, 90, 50, 30, 60),
    "val": (8, 2, 4, 18, 10, 6, 12),
    "test": (12, 3, 6, 27, 15, 9, 18),
}


@dataclass
class FakeStudy:
    """What the folder holds. Change a part, then `write()` again: like a next call of main.py."""

    output: Path
    datasets: tuple[str, ...] = ("studio", "wild")
    train_on: Sequence[tuple[str, ...]] = (("studio",), ("wild",), ("studio", "wild"))
    variants: tuple[str, ...] = ("preprocessed",)
    models: tuple[str, ...] = ("tiny",)
    seeds: tuple[int, ...] = (42,)
    tta: tuple[str, ...] = ("none", "three_views")
    splits: tuple[str, ...] = ("val", "test")
    test_variants: tuple[str, ...] = ("same",)
    sample_data: tuple[str, ...] = ()
    limit: int | None = None
    class_counts: Mapping[str, Sequence[int]] | None = None
    finished: bool = True

    def __post_init__(self) -> None:
        self.write()

    def write(self) -> None:
        """Write study.json, samples and, where not there yet, every run with its predictions."""
        runs = self.plan()
        for name in self.datasets:
            self._write_samples(name)
        if self.finished:
            for planned in runs:
                self._write_run(planned)
        write_json(self.output / "study.json", {
            "runs": [planned.name for planned in runs],
            "plan": {planned.name: planned.run.describe() for planned in runs},
            "config": {"LIMIT_PER_SPLIT": self.limit, "NO_FACE": "keep", "SELECT_BY": "macro_f1"},
            "sample_data": list(self.sample_data),
            "counts": {name: {split: sum(n) for split, n in self.counts.items()} for name in self.datasets},
            "predictions": {planned.name: self._listed(planned) for planned in runs if self.finished},
        })  # fmt: skip

    @property
    def counts(self) -> Mapping[str, Sequence[int]]:
        """Rows per class of each split, the same for every dataset."""
        return self.class_counts or CLASS_COUNTS

    def plan(self) -> list[PlannedRun]:
        """The runs of the study, as experiments.planned_runs would name them."""
        return [
            plan_run(self._run(names, variant, model, seed), {}, {}, self.output / "saved_models")
            for names in self.train_on
            for variant in self.variants
            for model in self.models
            for seed in self.seeds
        ]

    def _run(self, names: tuple[str, ...], variant: str, model: str, seed: int) -> Run:
        balance = "oversample" if variant == "augmented" else "none"
        return Run(names, variant, model, seed, "official", balance, "natural", "macro_f1", HYPER)

    def _write_samples(self, name: str) -> None:
        rows = [
            {"sample_id": f"{name}/{split}/{label}_{i}.png", "label": label, "dataset": name, "split": split}
            for split, counts in self.counts.items()
            for label, count in enumerate(counts)
            for i in range(count)
        ]
        folder = self.output / "samples"
        write_text(folder / f"{name}_samples.csv", pd.DataFrame(rows).to_csv(index=False))
        steps = [{"step": "listed", "removed": 0, "kept": len(rows) + 3}]
        steps += [{"step": "copies", "removed": 3, "kept": len(rows)}]
        write_text(folder / f"{name}_funnel.csv", pd.DataFrame(steps).to_csv(index=False))

    # ------------------------------------------------------------ one run

    def _write_run(self, planned: PlannedRun) -> None:
        if (planned.folder / "run.json").is_file():
            return
        planned.folder.mkdir(parents=True)
        (planned.folder / "weights.pth").write_bytes(b"weights")
        history = fake_history(planned.run.seed)
        write_text(planned.folder / "history.csv", history.to_csv(index=False))
        for item in self._listed(planned):
            self.write_predictions(planned, item)
        write_json(planned.folder / "run.json", run_record(planned, self.counts, history, self.limit))

    def _listed(self, planned: PlannedRun) -> list[dict[str, str]]:
        """Entries of study.json: validation of the run's own datasets, test of all."""
        own = "preprocessed" if planned.run.variant == "augmented" else planned.run.variant
        tested = [own if variant == "same" else variant for variant in self.test_variants]
        sets = [
            (name, split, variant)
            for split in self.splits
            for name in self.datasets
            for variant in (tested if split == "test" else [own])
            if split == "test" or name in planned.run.train_on
        ]
        return [
            {
                "file": f"{name}__{split}__{variant}__{tta}.npz", "test_on": name, "split": split,
                "test_variant": variant, "tta": tta, "key": fingerprint([planned.name, name, split, variant, tta], 32),
            }
            for name, split, variant in sets
            for tta in self.tta
        ]  # fmt: skip

    def write_predictions(self, planned: PlannedRun, item: dict[str, str], **changes: Any) -> Path:
        """Store the predictions of one entry; `changes` replace fields (labels, probabilities, classes …)."""
        labels = np.repeat(np.arange(len(EMOTIONS)), self.counts[item["split"]])
        rng = np.random.default_rng(int(fingerprint(item), 16))
        sharpness = 2.5 if item["test_on"] in planned.run.train_on else 1.2
        logits = rng.normal(size=(len(labels), len(EMOTIONS))) + sharpness * np.eye(len(EMOTIONS))[labels]
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        fields: dict[str, Any] = {name: item[name] for name in ("test_on", "split", "test_variant", "tta", "key")} | {
            "run": planned.name,
            "classes": EMOTIONS,
            "sample_ids": np.array([f"{item['test_on']}/{i}" for i in range(len(labels))]),
            "labels": labels,
            "probabilities": probabilities.astype(np.float32),
        }
        path = planned.folder / "predictions" / item["file"]
        store_predictions(path, Predictions(**fields | changes))
        return path


def run_record(
    planned: PlannedRun,
    counts: Mapping[str, Sequence[int]] = CLASS_COUNTS,
    history: pd.DataFrame | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """What run.json holds of a finished run, with made-up costs."""
    history = fake_history(planned.run.seed) if history is None else history
    train, val = counts["train"], counts["val"]
    after = [max(train)] * len(train) if planned.run.balance == "oversample" else list(train)
    rows = {"n_train": sum(train), "n_val": sum(val), "original": list(train), "balanced": after}
    return {
        "run": planned.run.describe(),
        "inputs": planned.inputs,
        "counts": dict.fromkeys(planned.run.train_on, rows),
        "facts": {
            "epochs": len(history), "best_epoch": int(history["val_macro_f1"].to_numpy().argmax()) + 1,
            "train_seconds": 12.5, "images_per_second": 640.0, "peak_gpu_mb": None, "peak_ram_mb": 321.5,
            "parameters": 61_000, "flops": 4_200_000, "latency_ms": 0.75, "micro_batch": 32,
        },
        "weights_sha256": "0" * 64,
        "config": {"LIMIT_PER_SPLIT": limit, "NO_FACE": "keep", "SELECT_BY": "macro_f1"},
    }  # fmt: skip


def fake_history(seed: int, epochs: int = 6) -> pd.DataFrame:
    """A history.csv as training writes it: falling losses, rising scores, some noise."""
    rng = np.random.default_rng(seed)
    epoch = np.arange(1, epochs + 1)
    rise = 0.8 * (1 - np.exp(-epoch / 3))
    table: dict[str, np.ndarray] = {"epoch": epoch}
    for part, gap in (("train", 0.0), ("val", 0.08)):
        noise = rng.normal(0, 0.01, epochs)
        table[f"{part}_loss"] = 1.9 * np.exp(-epoch / 5) + gap + 0.2 + noise
        for metric, lower in (
            ("accuracy", 0.0), ("balanced_accuracy", 0.03), ("macro_precision", 0.04), ("macro_recall", 0.03),
            ("macro_f1", 0.05),
        ):  # fmt: skip
            table[f"{part}_{metric}"] = (rise - gap - lower + noise).clip(0, 1)
    table |= {"learning_rate": 1e-3 * 0.5 ** (epoch // 4), "seconds": np.full(epochs, 2.0)}
    table |= {"images_per_second": np.full(epochs, 640.0), "peak_ram_mb": np.full(epochs, 321.5)}
    return pd.DataFrame(table)
