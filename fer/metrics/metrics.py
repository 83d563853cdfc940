"""The metrics, on labels int64[N] and probabilities float[N, C]; METRICS names them.

A metric added to METRICS appears in every table.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def class_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1, one-vs-rest ROC-AUC and support of each class, float64[C].

    A class without a row in `labels` is NaN everywhere; one never predicted has precision 0.
    """
    support = np.bincount(labels, minlength=probabilities.shape[1])
    return _answer_scores(labels, probabilities) | {"auc": _aucs(labels, probabilities), "support": support}


def _answer_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 of each class, from counts.

    A study asks for them thousands of times; scikit-learn takes 3 ms a call to check its arguments.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    support, answered = np.bincount(labels, minlength=classes), np.bincount(predicted, minlength=classes)
    correct = np.bincount(labels[labels == predicted], minlength=classes)
    scores = {
        "precision": correct / np.maximum(answered, 1),
        "recall": correct / np.maximum(support, 1),
        "f1": 2 * correct / np.maximum(support + answered, 1),
    }
    return {name: np.where(support == 0, np.nan, values) for name, values in scores.items()}


def _aucs(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """One-vs-rest area under the curve of each class by ranks (Mann and Whitney 1947), ties shared; float64[C]."""
    from scipy.stats import rankdata

    positive = labels[:, None] == np.arange(probabilities.shape[1])
    count = positive.sum(0)
    ranks = (rankdata(probabilities, axis=0) * positive).sum(0)
    pairs = count * (len(labels) - count)
    return np.where(pairs == 0, np.nan, (ranks - count * (count + 1) / 2) / np.maximum(pairs, 1))


def _mean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of rows whose most probable class is their label."""
    return float((probabilities.argmax(1) == labels).mean())


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean recall over the classes present."""
    return _mean(_answer_scores(labels, probabilities)["recall"])


def macro_precision(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean precision over the classes present."""
    return _mean(_answer_scores(labels, probabilities)["precision"])


def macro_recall(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean recall over the classes present; equal to balanced accuracy, kept because papers print both."""
    return balanced_accuracy(labels, probabilities)


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean F1 over the classes present."""
    return _mean(_answer_scores(labels, probabilities)["f1"])


def macro_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean one-vs-rest ROC-AUC over the classes where it is defined."""
    return _mean(_aucs(labels, probabilities))


def cohen_kappa(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Cohen's kappa between label and prediction; NaN when only one class occurs in both."""
    from sklearn.metrics import cohen_kappa_score

    predicted = probabilities.argmax(1)
    if len(np.union1d(labels, predicted)) == 1:
        return float("nan")
    return float(cohen_kappa_score(labels, predicted))


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_precision": macro_precision,
    "macro_recall": macro_recall,
    "macro_f1": macro_f1,
    "macro_auc": macro_auc,
    "cohen_kappa": cohen_kappa,
}


def all_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Every metric of METRICS, and `n_classes`: how many classes the labels hold."""
    scores = {name: metric(labels, probabilities) for name, metric in METRICS.items()}
    return scores | {"n_classes": len(np.unique(labels))}


# Those that resampled pictures can judge: functions of how often each class is right, true and answered.
RESAMPLED = tuple(name for name in METRICS if name != "macro_auc")
