"""The metrics, one record each in METRICS: the computation, its words, whether runs are compared by it.

Most are functions of counts (of each class: rows right, true, answered) and are computed for one set of answers and
for thousands of resamples of its rows by the same lines. A record added here has its column in every table; one of
counts can be PRIMARY_METRIC; one that is `compared` has its interval, its comparisons and its sentences too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Of each class: rows answered rightly, true rows, rows answered so, float64[..., C]; leading axes: resamples."""

    correct: np.ndarray
    true: np.ndarray
    answered: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Rows counted, [...]."""
        return self.true.sum(-1)

    @property
    def precision(self) -> np.ndarray:
        """[..., C]; 0 where a class is never answered."""
        return self.correct / np.maximum(self.answered, 1)

    @property
    def recall(self) -> np.ndarray:
        """[..., C]; 0 where a class is absent."""
        return self.correct / np.maximum(self.true, 1)

    @property
    def f1(self) -> np.ndarray:
        """[..., C]; 0 where a class neither stands in the labels nor is answered."""
        return 2 * self.correct / np.maximum(self.true + self.answered, 1)

    def mean_over_present(self, values: np.ndarray) -> np.ndarray:
        """Mean of values [..., C] over the classes present; NaN without rows."""
        present = self.true > 0
        n_classes = present.sum(-1)
        mean = np.where(present, values, 0.0).sum(-1) / np.maximum(n_classes, 1)
        return np.where(n_classes > 0, mean, np.nan)


def count(labels: np.ndarray, predicted: np.ndarray, classes: int) -> Counts:
    """Counts of one set of answers; labels and predicted int64[N]."""
    columns = labels[labels == predicted], labels, predicted
    return Counts(*(np.bincount(column, minlength=classes).astype(np.float64) for column in columns))


def count_columns(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """What each row adds to the counts: right, true and answered, one column a class each, bool[N, 3 × classes]."""
    each = np.arange(classes)
    true, answered = labels[:, None] == each, predicted[:, None] == each
    return np.hstack([true & answered, true, answered])


def counts_of_sums(sums: np.ndarray) -> Counts:
    """Counts from sums of `count_columns` over rows, [..., 3 × classes]."""
    return Counts(*np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1))


# ---------------------------------------------------------------- functions of counts


def _accuracy(counts: Counts) -> np.ndarray:
    return counts.correct.sum(-1) / counts.rows


def _mean_precision(counts: Counts) -> np.ndarray:
    return counts.mean_over_present(counts.precision)


def _mean_recall(counts: Counts) -> np.ndarray:
    return counts.mean_over_present(counts.recall)


def _mean_f1(counts: Counts) -> np.ndarray:
    return counts.mean_over_present(counts.f1)


def _cohen_kappa(counts: Counts) -> np.ndarray:
    """(observed - chance) / (1 - chance) agreement (Cohen 1960), times rows²; NaN where one class is all there is."""
    by_chance, squared = (counts.true * counts.answered).sum(-1), counts.rows**2
    possible = squared - by_chance
    agreed = counts.rows * counts.correct.sum(-1) - by_chance
    return np.where(possible > 0, agreed / np.where(possible > 0, possible, 1.0), np.nan)


# ---------------------------------------------------------------- functions of probabilities


def aucs(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """One-vs-rest area under the curve of each class by ranks (Mann and Whitney 1947), ties shared; float64[C]."""
    from scipy.stats import rankdata

    positive = labels[:, None] == np.arange(probabilities.shape[1])
    number = positive.sum(0)
    ranks = (rankdata(probabilities, axis=0) * positive).sum(0)
    pairs = number * (len(labels) - number)
    return np.where(pairs == 0, np.nan, (ranks - number * (number + 1) / 2) / np.maximum(pairs, 1))


def _mean_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Over the classes where it is defined."""
    values = aucs(labels, probabilities)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


# ---------------------------------------------------------------- the table


@dataclass(frozen=True)
class Metric:
    """A score of answers: of `counts`, or of labels and `probabilities` where counts do not suffice.

    `words`: its name in a sentence; `meaning`: what it is; `averages_classes`: each class weighs the same, so the
    rarest decides how exact it is; `compared`: it has intervals and comparisons of its own.
    """

    words: str
    meaning: str
    counts: Callable[[Counts], np.ndarray] | None = None
    probabilities: Callable[[np.ndarray, np.ndarray], float] | None = None
    averages_classes: bool = True
    compared: bool = False

    def __call__(self, labels: np.ndarray, probabilities: np.ndarray) -> float:
        """The score of probabilities float[N, C], the most probable class being the answer, to labels int64[N]."""
        if self.probabilities is not None:
            return self.probabilities(labels, probabilities)
        assert self.counts is not None
        return float(self.counts(count(labels, probabilities.argmax(1), probabilities.shape[1])))


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        "accuracy", "share of rows whose most probable class is their label", _accuracy,
        averages_classes=False, compared=True,
    ),
    "balanced_accuracy": Metric(
        "balanced accuracy", "mean recall over the classes present", _mean_recall, compared=True,
    ),
    "macro_precision": Metric("macro precision", "mean precision over the classes present", _mean_precision),
    "macro_recall": Metric("macro recall", "equal to balanced accuracy: papers print both", _mean_recall),
    "macro_f1": Metric("macro-F1", "mean F1 over the classes present", _mean_f1, compared=True),
    "macro_auc": Metric("macro AUC", "mean one-vs-rest ROC-AUC where it is defined", probabilities=_mean_auc),
    "cohen_kappa": Metric(
        "Cohen's kappa", "agreement beyond chance, from -1; empty where one class is all there is", _cohen_kappa,
        averages_classes=False,
    ),
}  # fmt: skip
accuracy, balanced_accuracy, macro_f1 = METRICS["accuracy"], METRICS["balanced_accuracy"], METRICS["macro_f1"]


def counted() -> tuple[str, ...]:
    """Metrics that are functions of counts, which resampled rows can judge."""
    return tuple(name for name, metric in METRICS.items() if metric.counts is not None)


def compared_by(primary: str) -> tuple[str, ...]:
    """Metrics that runs are compared by: those that say so, and the primary one."""
    return tuple(name for name in counted() if METRICS[name].compared or name == primary)


def scores_of(counts: Counts) -> dict[str, np.ndarray]:
    """Every metric of counts, float64[...] each."""
    return {name: np.asarray(metric.counts(counts)) for name, metric in METRICS.items() if metric.counts is not None}


def all_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Every metric of METRICS, and `n_classes`: how many classes the labels hold."""
    by_counts = scores_of(count(labels, probabilities.argmax(1), probabilities.shape[1]))
    scores = {
        name: float(by_counts[name]) if name in by_counts else metric(labels, probabilities)
        for name, metric in METRICS.items()
    }
    return scores | {"n_classes": len(np.unique(labels))}


def class_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1, one-vs-rest ROC-AUC and support of each class, float64[C].

    A class without a row in `labels` is NaN everywhere; one never predicted has precision 0.
    """
    counts = count(labels, probabilities.argmax(1), probabilities.shape[1])
    scores = {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1}
    found = {name: np.where(counts.true == 0, np.nan, values) for name, values in scores.items()}
    return found | {"auc": aucs(labels, probabilities), "support": counts.true.astype(np.int64)}
