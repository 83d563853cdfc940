"""How much planted label noise LABEL_NOISE finds, and how many labels it doubts that are right.

    python benchmarks/label_noise.py [--pictures 1000] [--shares 0 0.1 0.3] [--config studies/mine.py --set KEY=VALUE]

Plants noise on drawn faces, whose labels are right: of every split the named shares of the rows get another label,
each of the other six as likely. The networks of LABEL_NOISE are trained on these labels as in a study. One row for each
share and part: precision (of the labels called doubtful, how many were planted), recall (of those planted, how many are
called so), the share of wrong labels that cleanlab estimates, how often the suggested label of a found row is the true
one; and beside them precision and recall of the plain rule "the networks answer otherwise".

`--config`: datasets of one's own instead, with the LABEL_NOISE of that study. Their labels are not all right to begin
with, so precision is then a lower bound, and the estimate holds what was wrong before. Runs lie in its OUTPUT_DIR.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import harness
import numpy as np

from fer.audit.label_noise import find_doubt
from fer.data.samples import DatasetSamples
from fer.sample_faces.datasets import write_studio
from fer.settings.settings import EMOTIONS, Settings, check_settings, load_settings
from fer.study.execution import execute
from fer.study.label_noise import out_of_fold_answers
from fer.study.plan import Study, noise_runs, open_study

NETWORK = {"batch_size": 32, "weights": None, "input_size": 32, "channels": 1}  # and the training: those of the demo


def run(options: dict[str, Any]) -> list[harness.Row]:
    """One row for each dataset, share and part."""
    if options["config"]:
        return measure(load_settings(Path(options["config"]), options["set"]), options["shares"])
    with tempfile.TemporaryDirectory() as folder:
        settings = drawn_faces(Path(folder), options["pictures"], options["epochs"], options["folds"])
        return measure(settings, options["shares"])


def drawn_faces(folder: Path, pictures: int, epochs: int, folds: int) -> Settings:
    """Settings over the drawn studio set, with a small network."""
    write_studio(folder / "studio", 7, pictures)
    row = {"path": str(folder / "studio"), "layout": "rafdb", "faces": "whole", "sample": True}
    values: dict[str, Any] = {
        "ACTIVE_DATASETS": ("studio",), "DATASETS": {"studio": row}, "OUTPUT_DIR": str(folder / "out"),
        "DATASETS_DIR": str(folder / "datasets"), "VARIANTS": ("raw",), "EXPERIMENTS": ("individual",),
        "MODEL_CONFIG": {"tiny_residual": NETWORK}, "PRETRAINED": False, "EPOCHS": epochs, "PATIENCE": None,
        "LEARNING_RATE": 3e-3, "SCHEDULE": "onecycle", "SELECT_BY": "last", "DEVICE": "cpu", "WORKERS": 0,
        "LABEL_NOISE": "tiny_residual", "NOISE_FOLDS": folds,
    }  # fmt: skip
    return check_settings(values)


def measure(settings: Settings, shares: tuple[float, ...]) -> list[harness.Row]:
    """One row for each dataset, share and part."""
    study = open_study(settings)
    return [row for share in shares for row in _of_share(study, share)]


def _of_share(study: Study, share: float) -> Iterator[harness.Row]:
    noisy = Study(study.settings, {name: planted(data, share) for name, data in study.datasets.items()})
    for name, data in noisy.datasets.items():
        runs = noise_runs(noisy, name)
        if failures := execute(noisy, list(runs)):
            raise RuntimeError(f"a run failed: {failures}")
        true = study.datasets[name].unsettled.set_index("sample_id")["delivered"]
        for part, (rows, probabilities) in out_of_fold_answers(noisy, name, runs).items():
            truth = true[rows["sample_id"]].to_numpy()
            found = scores(rows["label"].to_numpy(), truth, probabilities)
            yield {"dataset": data.name, "part": part, "planted": share, "folds": len(runs)} | found


def planted(data: DatasetSamples, share: float, seed: int = 0) -> DatasetSamples:
    """The dataset with another label on that share of the rows of every split."""
    draws, samples = np.random.default_rng(seed), data.samples
    labels = samples["delivered"].to_numpy().copy()
    for split in samples["split"].unique():
        own = np.flatnonzero(samples["split"] == split)
        chosen = draws.choice(own, round(share * len(own)), replace=False)
        labels[chosen] = (labels[chosen] + draws.integers(1, len(EMOTIONS), len(chosen))) % len(EMOTIONS)
    return replace(data, samples=samples.assign(label=labels, delivered=labels))


def scores(labels: np.ndarray, truth: np.ndarray, probabilities: np.ndarray) -> harness.Row:
    """What is found of the labels that are not the truth."""
    doubt, wrong = find_doubt(labels, probabilities), labels != truth
    other = probabilities.argmax(axis=1) != labels
    hits = wrong & doubt.is_doubtful
    return {
        "rows": len(labels),
        "wrong": int(wrong.sum()),
        "doubtful": int(doubt.is_doubtful.sum()),
        "precision": _share(hits, doubt.is_doubtful),
        "recall": _share(hits, wrong),
        "estimated": doubt.share,
        "suggested is true": _share(hits & (doubt.suggested == truth), hits),
        "plain precision": _share(wrong & other, other),
        "plain recall": _share(wrong & other, wrong),
        "accuracy on true labels": float((probabilities.argmax(axis=1) == truth).mean()),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> float | str:
    return float(part.sum() / whole.sum()) if whole.any() else "-"


def main() -> None:
    """The command."""
    defaults: dict[str, Any] = {"config": None, "set": [], "pictures": 1000, "epochs": 12, "folds": 5}
    harness.command(
        "label_noise", __doc__, "Label noise planted on the shares {shares} of all rows", run,
        shares=(0.0, 0.1, 0.3), **defaults,
    )  # fmt: skip


if __name__ == "__main__":
    main()
