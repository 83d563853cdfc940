"""LOSS, LABEL_SMOOTHING and the class weights of BALANCE: what a training makes small.

Targets are labels int64 [B] or shares of the classes float [B, C] that sum to one (mixed pictures, votes of several
people), or to the weight of their row where rows have one (DOUBTFUL). Every loss is a sum over the batch; `Loss.norm`
is what it is divided by, so that micro-batches add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from data_loader import FaceRows
from fer.faces.class_shares import class_weights
from fer.runs.run import Run

NEARLY_SURE = 1e-6  # 1 - p is never taken as less: a gamma below 1 has no slope at 0


@dataclass(frozen=True)
class Loss:
    """Cross-entropy with what changes it.

    `weight` [C]: of each class; `offset` [C]: added to the logits while training; `gamma`: of the focal loss, 0 = off;
    `label_smoothing`: the share of a target that goes to all classes evenly, before all else; `weighs_rows`: targets
    are shares that sum to the weight of their row.
    """

    weight: torch.Tensor | None = None
    offset: torch.Tensor | None = None
    gamma: float = 0.0
    label_smoothing: float = 0.0
    weighs_rows: bool = False

    def __call__(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The sum over a batch: logits float [B, C], target as above; returns []."""
        if self.offset is not None:
            logits = logits + self.offset
        if self.weighs_rows and not self.gamma:  # torch smooths a target by as much, whatever its weight
            return functional.cross_entropy(logits, self._smoothed(target), self.weight, reduction="sum")
        if not self.gamma:
            return functional.cross_entropy(
                logits, target, self.weight, reduction="sum", label_smoothing=self.label_smoothing
            )
        return self._focal(logits, target)

    def _focal(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """-Σ_c w_c t_c (1 - p_c)^γ log p_c, which for a label is the loss of Lin et al. (2017)."""
        logs = functional.log_softmax(logits, 1)
        shares = self._smoothed(as_shares(target, logits.shape[1]))
        if self.weight is not None:
            shares = shares * self.weight
        return -(shares * (1 - logs.exp()).clamp_min(NEARLY_SURE) ** self.gamma * logs).sum()

    def _smoothed(self, shares: torch.Tensor) -> torch.Tensor:
        whole = shares.sum(1, keepdim=True) if self.weighs_rows else 1.0
        return shares * (1 - self.label_smoothing) + self.label_smoothing / shares.shape[1] * whole

    def norm(self, target: torch.Tensor) -> torch.Tensor | float:
        """What the sum over a batch is divided by: the pictures in it, or their weights."""
        if self.weight is None:
            return target.sum() if self.weighs_rows else float(len(target))
        return self.weight[target].sum() if target.ndim == 1 else (target @ self.weight).sum()


def as_shares(target: torch.Tensor, classes: int) -> torch.Tensor:
    """Labels as shares of the classes, float32 [B, C]; shares as they are."""
    return target if target.ndim == 2 else functional.one_hot(target, classes).float()


def weighted(target: torch.Tensor, weights: np.ndarray, classes: int) -> torch.Tensor:
    """Labels or shares as shares [B, C] that sum to the weights of their rows, float32 [B]."""
    rows = torch.from_numpy(weights).to(target.device, non_blocking=True)
    return as_shares(target, classes) * rows[:, None]


def as_labels(target: torch.Tensor) -> torch.Tensor:
    """The class with the largest share, int64 [B]; labels as they are."""
    return target if target.ndim == 1 else target.argmax(1)


def make_loss(run: Run, faces: FaceRows, device: torch.device) -> Loss:
    """The loss of `run` over its training rows."""
    hyper, offset = run.hyper, None
    drawn = class_masses(faces, run.mixing, hyper.classes)
    weight = class_weights(run.balance, drawn, hyper.effective_beta)
    if hyper.loss == "logit_adjustment":
        shares = np.where(drawn > 0, drawn, 1) / drawn.sum()  # one picture's, so that every logarithm is finite
        offset = torch.from_numpy(hyper.logit_tau * np.log(shares)).float().to(device)
    return Loss(
        weight=None if weight is None else torch.from_numpy(weight).float().to(device),
        offset=offset,
        gamma=hyper.focal_gamma if hyper.loss == "focal" else 0.0,
        label_smoothing=hyper.label_smoothing,
        weighs_rows=faces.weight is not None,
    )


def class_masses(faces: FaceRows, mixing: str, classes: int) -> np.ndarray:
    """How many pictures of each class an epoch draws, float64 [C]; with balanced mixing as many of each dataset.

    A picture people voted on counts for each class by its share, and one whose row has a weight by that.
    """
    shares = np.eye(classes)[faces.label] if faces.shares is None else faces.shares.astype(float)
    masses = shares * faces.weights[:, None]
    if mixing == "natural":
        return masses.sum(axis=0)
    means = [masses[faces.source == source].mean(axis=0) for source in np.unique(faces.source)]
    return np.mean(means, axis=0) * len(faces)
