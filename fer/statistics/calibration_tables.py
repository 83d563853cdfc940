"""Calibration of every scored row of a study: before and after recalibration, reliability bins, risk and coverage.

Temperatures are fitted on VALIDATION rows alone: those of the same run (of pooled folds: each its own) and TTA policy,
all datasets it was trained on together. Prior correction undoes what balancing (or mixing datasets evenly) did to the
shares of the classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fer.faces.class_shares import class_weights
from fer.results.study_files import PredictionEntry, StoredRun, StoredStudy, read_predictions
from fer.runs.run import ADDED_LATER
from fer.statistics.answers import Answer, TestSet
from fer.statistics.bootstrap import scores_once
from fer.statistics.calibration import (
    brier_score,
    ece_interval,
    fit_temperature,
    negative_log_likelihood,
    prior_corrected,
    reliability,
    risk_coverage,
    thinned,
    with_temperature,
)
from utils import InputError, log

TRAINED, TEMPERED, CORRECTED, BOTH = "as trained", "temperature", "prior corrected", "prior corrected, temperature"


@dataclass
class Validation:
    """Validation probabilities of each run and policy, and the temperatures fitted on them, made once each.

    What cannot be used is named in the log and in `damaged`.
    """

    study: StoredStudy
    damaged: list[str]
    entries: dict[tuple[str, str], list[PredictionEntry]] = field(default_factory=dict)
    fitted: dict[tuple[str, str], tuple[dict[str, float], int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for entry in self.study.predictions:
            if entry.split == "val":
                self.entries.setdefault((entry.run.name, entry.tta), []).append(entry)

    def temperatures(self, run: StoredRun, tta: str) -> tuple[dict[str, float], int]:
        """Temperature after each way of mending but none, and the validation rows it comes from; {} without any.

        A damaged validation file leaves the run without temperatures, with a warning.
        """
        key = (run.name, tta)
        if key not in self.fitted:
            self.fitted[key] = self._fit(run, self.entries.get(key, []))
        return self.fitted[key]

    def _fit(self, run: StoredRun, entries: list[PredictionEntry]) -> tuple[dict[str, float], int]:
        try:
            found = [read_predictions(entry) for entry in entries]
        except InputError as error:
            log.warning("no temperature for %s: %s", run.name, error)
            self.damaged.append(str(error))
            return {}, 0
        if not found:
            return {}, 0
        labels = np.concatenate([one.labels for one in found])
        probabilities = np.concatenate([one.probabilities for one in found])
        fitted = {TEMPERED: fit_temperature(labels, probabilities)}
        priors = class_priors(run)
        if priors is not None:
            fitted[BOTH] = fit_temperature(labels, prior_corrected(probabilities, *priors))
        return fitted, len(labels)


def class_priors(run: StoredRun) -> tuple[np.ndarray, np.ndarray] | None:
    """Natural shares of the classes in the training rows, and those trained on [C]; None where they are equal.

    Trained on: the rows after balancing; with datasets mixed evenly the mean of their shares; times the weights of the
    classes in the loss. Logit adjustment trains as if they stood to the power of 1 - τ (Menon et al. 2021).
    """
    natural = np.sum([counts["original"] for counts in run.counts.values()], axis=0).astype(float)
    balanced = [np.asarray(counts["balanced"], dtype=float) for counts in run.counts.values()]
    trained = np.sum(balanced, axis=0)
    if run.run["mixing"] == "balanced":
        trained = np.mean([counts / counts.sum() for counts in balanced], axis=0) * trained.sum()
    hyper = ADDED_LATER | (run.run.get("hyper") or {})
    weights = class_weights(run.run["balance"], trained, hyper["effective_beta"])
    if weights is not None:
        trained = trained * weights
    if hyper["loss"] == "logit_adjustment":
        trained = np.where(natural > 0, (trained / trained.sum()) ** (1 - hyper["logit_tau"]), 0.0)
    natural, trained = natural / natural.sum(), trained / trained.sum()
    return None if np.allclose(natural, trained) else (natural, trained)


def recalibrated(run: StoredRun, probabilities: np.ndarray, temperatures: dict[str, float]) -> dict[str, np.ndarray]:
    """Probabilities as trained and in every way they can be recalibrated."""
    found = {TRAINED: probabilities}
    if TEMPERED in temperatures:
        found[TEMPERED] = with_temperature(probabilities, temperatures[TEMPERED])
    priors = class_priors(run)
    if priors is not None:
        found[CORRECTED] = prior_corrected(probabilities, *priors)
        if BOTH in temperatures:
            found[BOTH] = with_temperature(found[CORRECTED], temperatures[BOTH])
    return found


@dataclass
class CalibrationRows:
    """Rows of calibration.csv, reliability.csv and risk_coverage.csv, as they come."""

    calibration: list[dict[str, Any]] = field(default_factory=list)
    bins: list[dict[str, Any]] = field(default_factory=list)
    risk: list[dict[str, Any]] = field(default_factory=list)

    def add(self, test_set: TestSet, validation: Validation) -> None:
        """Add what one test set holds."""
        for answer in test_set.pooled:
            self._add_answer(test_set.name, answer, validation)

    def _add_answer(self, test_on: str, answer: Answer, validation: Validation) -> None:
        run, labels = answer.entry.run, answer.rows.labels
        keys = {"run": run.name, "test_on": test_on, "test_variant": answer.test_variant, "tta": answer.tta}
        kinds, temperatures, n_val = _mended_answer(answer, validation)
        curve = risk_coverage(labels, answer.probabilities)
        self.risk += [keys | {"coverage": c, "risk": r} for c, r in zip(*thinned(curve), strict=True)]
        described = {name: run.run[name] for name in ("variant", "model", "seed", "split", "selection")}
        described |= {"train_on": run.train_on, "is_within": set(test_on.split("+")) <= set(run.run["train_on"])}
        described |= {"n": len(labels), "n_groups": answer.rows.draws.n_groups, "n_val": n_val}
        for kind, shown in kinds.items():
            scores = _calibration_scores(answer, shown, keys | {"probabilities": kind}, self.bins)
            also = {"temperature": temperatures.get(kind), "aurc": curve.area if kind == TRAINED else None}
            self.calibration.append(keys | described | {"probabilities": kind} | scores | also)


def _mended_answer(answer: Answer, validation: Validation) -> tuple[dict[str, np.ndarray], dict[str, float], int]:
    """Probabilities of an answer in every way, with temperatures (of pooled folds: their mean), and validation rows.

    Each fold is recalibrated on its own validation rows before they are pooled.
    """
    if answer.entry.how != "folds":
        temperatures, n_val = validation.temperatures(answer.entry.run, answer.tta)
        return recalibrated(answer.entry.run, answer.probabilities, temperatures), temperatures, n_val
    fitted = [validation.temperatures(part.run, answer.tta) for part in answer.entry.parts]
    read = [read_predictions(part) for part in answer.entry.parts]
    order = np.argsort(np.concatenate([one.sample_ids for one in read]), kind="stable")
    folds = [
        recalibrated(part.run, one.probabilities, temperatures)
        for part, one, (temperatures, _) in zip(answer.entry.parts, read, fitted, strict=True)
    ]
    kinds = [kind for kind in folds[0] if all(kind in fold for fold in folds)]
    found = {kind: np.concatenate([fold[kind] for fold in folds])[order] for kind in kinds}
    means = {kind: float(np.mean([one[kind] for one, _ in fitted])) for kind in kinds if kind in fitted[0][0]}
    return found, means, sum(n_val for _, n_val in fitted)


def _calibration_scores(
    answer: Answer, probabilities: np.ndarray, keys: dict[str, Any], bins: list[dict[str, Any]]
) -> dict[str, Any]:
    labels = answer.rows.labels
    found = reliability(labels, probabilities)
    bins += _bin_rows(found, keys)
    low, high = ece_interval(found, answer.rows.draws)
    scores = scores_once(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    return scores | {
        "ece": found.ece,
        "ece_low": low,
        "ece_high": high,
        "bins": len(found.n),
        "nll": negative_log_likelihood(labels, probabilities),
        "brier": brier_score(labels, probabilities),
    }


def _bin_rows(found: Any, keys: dict[str, Any]) -> Iterator[dict[str, Any]]:
    columns = ("n", "confidence", "accuracy", "low", "high")
    for number in range(len(found.n)):
        yield keys | {"bin": number + 1} | {name: getattr(found, name)[number] for name in columns}
