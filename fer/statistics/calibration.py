"""How far probabilities can be trusted: ECE, NLL, Brier, temperature, prior correction, risk and coverage.

All on arrays: `labels` int64[N], `probabilities` float[N, C], each row summing to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fer.statistics.bootstrap import LEVEL, GroupDraws
from fer.statistics.significance import wilson_interval

# Bins hold equally many rows: bins of equal width leave most of them to a handful of rows, and
# the error of those is noise (Nixon et al. 2019, "Measuring Calibration in Deep Learning").
MOST_BINS, LEAST_BINS, ROWS_A_BIN = 15, 3, 20
# Votes of an ensemble can be exactly 0, and so can float32: below this, probabilities count as this.
SMALLEST = 1e-12
TEMPERATURES = (0.05, 20.0)
# Half of what scores get: a study has up to four ECEs for each of its scores.
ECE_RESAMPLES = 1000
REACH = 1.96  # standard errors to the end of a 95 % interval


def negative_log_likelihood(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -log p(label), natural logarithm; probabilities below 1e-12 count as 1e-12."""
    return float(-_logs(probabilities)[np.arange(len(labels)), labels].mean())


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance to the one-hot label, summed over classes: 0 to 2 (Brier 1950)."""
    wanted = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - wanted) ** 2).sum(axis=1).mean())


def _logs(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, SMALLEST, dtype=np.float64))


# ---------------------------------------------------------------- mending probabilities


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the least NLL on these rows, which must be VALIDATION rows (Guo et al. 2017).

    Searched between 0.05 and 20 on a logarithmic scale; an end of the range means there was no minimum
    inside (every row right, or nothing learned).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logits = _logs(probabilities)
    of_label = logits[np.arange(len(labels)), labels].mean()

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(logsumexp(logits * scale, axis=1).mean() - of_label * scale)

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / temperature), float64[N, C]; the most probable class stays."""
    from scipy.special import softmax

    return softmax(_logs(probabilities) / temperature, axis=1)


def prior_corrected(probabilities: np.ndarray, natural: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """p'(c) ∝ p(c) · natural(c) / trained(c): for a network that learned from other shares than it will meet.

    `natural`, `trained`: rows or shares per class [C], scaled here to sum to 1 (Saerens, Latinne & Decaestecker
    2002). A class nobody trained on keeps its probability.
    """
    natural, trained = natural / natural.sum(), trained / trained.sum()
    ratio = np.divide(natural, trained, out=np.ones(len(natural)), where=trained > 0)
    weighted = probabilities.astype(np.float64) * ratio
    total = weighted.sum(axis=1, keepdims=True)
    return np.divide(weighted, total, out=probabilities.astype(np.float64), where=total > 0)


# ---------------------------------------------------------------- reliability


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy in bins of (nearly) equally many rows; arrays [bins], `bin_of` [N].

    `low`, `high`: 95 % Wilson interval of the accuracy. `ece`: mean over rows of |accuracy - confidence| of their bin.
    """

    bin_of: np.ndarray
    gap: np.ndarray
    n: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1."""
        return float((self.n * np.abs(self.accuracy - self.confidence)).sum() / self.n.sum())


def bins_for(rows: int) -> int:
    """As many bins as rows bear: about ROWS_A_BIN in each, at most MOST_BINS, at least LEAST_BINS."""
    return max(LEAST_BINS, min(MOST_BINS, rows // ROWS_A_BIN))


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int | None = None) -> Reliability:
    """Reliability of the most probable class, in `bins_for` its rows unless `bins` is given.

    Equal confidences share a bin, so there can be fewer.
    """
    bins = bins or bins_for(len(labels))
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.unique(np.quantile(confidence, np.arange(1, bins) / bins, method="inverted_cdf"))
    _, bin_of = np.unique(np.searchsorted(edges, confidence, side="left"), return_inverse=True)
    n = np.bincount(bin_of)
    hits = np.bincount(bin_of, weights=correct)
    low, high = wilson_interval(hits, n)
    gap = correct - confidence
    return Reliability(bin_of, gap, n, np.bincount(bin_of, weights=confidence) / n, hits / n, low, high)


def ece_interval(found: Reliability, draws: GroupDraws) -> tuple[float, float]:
    """95 % interval of the ECE on resampled groups, bins kept.

    The ECE of few rows is too large, since noise in a bin counts as an error, and resampling adds to it. So the
    low end asks how small the gaps of the bins may be, scaled all alike, for the ECE found to be the 97.5 % quantile of
    what they give with the noise of resampling; 0 where noise alone does. The high end, which noise can only
    raise, is 1.96 standard errors above.
    """
    columns = np.zeros((len(found.gap), len(found.n) + 1), dtype=np.float32)
    columns[np.arange(len(found.gap)), found.bin_of] = found.gap
    columns[:, -1] = 1
    sums = draws.sums(columns, ECE_RESAMPLES).astype(np.float64)
    gaps = found.n / found.n.sum() * (found.accuracy - found.confidence)
    resampled = sums[:, :-1] / sums[:, -1:]
    low = found.ece * _least_scale(found.ece, gaps, resampled - gaps)
    return low, found.ece + REACH * float(np.abs(resampled).sum(axis=1).std(ddof=1))


def _least_scale(ece: float, gaps: np.ndarray, noise: np.ndarray) -> float:
    """The scale of `gaps` (0 to 1) at which `ece` is the 97.5 % quantile of the ECEs with `noise`; 0 if none is."""
    from scipy.optimize import brentq

    def beyond(scale: float) -> float:
        return float(np.quantile(np.abs(scale * gaps + noise).sum(axis=1), (1 + LEVEL) / 2)) - ece

    if beyond(0) >= 0:
        return 0.0
    return float(brentq(beyond, 0, 1, xtol=1e-3)) if beyond(1) > 0 else 1.0


# ---------------------------------------------------------------- abstaining


@dataclass(frozen=True)
class RiskCoverage:
    """Share of errors among the most confident rows: `risk` at `coverage` 1/N … 1, and `area`, its mean (AURC)."""

    coverage: np.ndarray
    risk: np.ndarray

    @property
    def area(self) -> float:
        """AURC, 0 to 1: smaller is better (Geifman & El-Yaniv 2017)."""
        return float(self.risk.mean())


def risk_coverage(labels: np.ndarray, probabilities: np.ndarray) -> RiskCoverage:
    """Risk and coverage by confidence. Rows of equal confidence share their errors evenly, whatever their order."""
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    wrong = (probabilities.argmax(axis=1) != labels)[order]
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True)) + 1
    kept = np.arange(1, len(labels) + 1)
    errors = np.interp(kept, np.append(0, last), np.append(0, np.cumsum(wrong)[last - 1]))
    return RiskCoverage(kept / len(labels), errors / kept)


def thinned(curve: RiskCoverage, points: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """At most `points` of a curve, evenly spaced in coverage, its end included: coverage, risk."""
    count = len(curve.risk)
    chosen = np.unique(np.ceil(np.linspace(1, count, min(points, count))).astype(int)) - 1
    return curve.coverage[chosen], curve.risk[chosen]
