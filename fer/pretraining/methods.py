"""SimCLR, SimSiam, BYOL and SwAV: two views of a face in, a loss out. Heads and losses are those of lightly.

Each is a module that holds the network as `backbone`, which answers with pooled features. Heads are as wide as the
papers make them for 2,048 features, and in proportion narrower for networks with fewer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import normalize

from utils import InputError

WIDEST = 2048
TEMPERATURE = 0.5  # of SimCLR: what its authors found best for small pictures (Chen et al. 2020, appendix B.9)
MOMENTUM = 0.99  # of BYOL's slow network at the start, as its authors set it for short trainings (Grill et al. 2020)
PROTOTYPES = 512  # of SwAV: 3,000 for ImageNet's thousand classes
SETTLING = 0.02  # share of the steps in which SwAV's prototypes stay as drawn


class Method(nn.Module):
    """A way to learn without labels. `backbone`: features [B, features] of pictures."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone

    def loss(self, one: torch.Tensor, two: torch.Tensor, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss [] over two views of the same pictures, and the features of the first [B, features].

        `done`: how much of the training is over, 0 to 1.
        """
        raise NotImplementedError

    def after_step(self, done: float) -> None:
        """What follows a step of the optimizer."""


class SimCLR(Method):
    """Two views of a face are to be nearer than any two faces of the batch (Chen et al. 2020)."""

    def __init__(self, backbone: nn.Module, features: int):
        super().__init__(backbone)
        heads, losses = import_lightly()
        self.project = heads.SimCLRProjectionHead(features, min(WIDEST, features), 128)
        self.criterion = losses.NTXentLoss(TEMPERATURE)

    def loss(self, one: torch.Tensor, two: torch.Tensor, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """See Method."""
        features = self.backbone(one)
        return _exact(self.criterion, self.project(features), self.project(self.backbone(two))), features


class SimSiam(Method):
    """One view is to predict the other, which is not moved towards it (Chen and He 2021)."""

    def __init__(self, backbone: nn.Module, features: int):
        super().__init__(backbone)
        heads, losses = import_lightly()
        width = min(WIDEST, 4 * features)
        self.project = heads.SimSiamProjectionHead(features, width, width)
        self.predict = heads.SimSiamPredictionHead(width, width // 4, width)
        self.criterion = losses.NegativeCosineSimilarity()

    def loss(self, one: torch.Tensor, two: torch.Tensor, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """See Method."""
        features = self.backbone(one)
        first, second = self.project(features), self.project(self.backbone(two))
        there = _exact(self.criterion, self.predict(first), second.detach())
        back = _exact(self.criterion, self.predict(second), first.detach())
        return (there + back) / 2, features


class BYOL(Method):
    """One view is to predict what a slowly following copy of the network makes of the other (Grill et al. 2020)."""

    def __init__(self, backbone: nn.Module, features: int):
        super().__init__(backbone)
        heads, losses = import_lightly()
        width = min(2 * WIDEST, 8 * features)
        self.project = heads.BYOLProjectionHead(features, width, 256)
        self.predict = heads.BYOLPredictionHead(256, width, 256)
        self.slow = copy.deepcopy(nn.Sequential(self.backbone, self.project)).requires_grad_(False)
        self.criterion = losses.NegativeCosineSimilarity()

    def loss(self, one: torch.Tensor, two: torch.Tensor, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """See Method."""
        features = self.backbone(one)
        first, second = self.predict(self.project(features)), self.predict(self.project(self.backbone(two)))
        with torch.no_grad():
            slow_one, slow_two = self.slow(one), self.slow(two)
        there, back = _exact(self.criterion, first, slow_two), _exact(self.criterion, second, slow_one)
        return (there + back) / 2, features

    def after_step(self, done: float) -> None:
        """The slow network follows, ever slower."""
        from lightly.models.utils import update_momentum
        from lightly.utils.scheduler import cosine_schedule

        momentum = cosine_schedule(round(done * 10**6), 10**6, MOMENTUM, 1.0)
        update_momentum(nn.Sequential(self.backbone, self.project), self.slow, momentum)


class SwAV(Method):
    """Both views are to be given to the same of some hundred prototypes, all used alike (Caron et al. 2020).

    Of two full views: the further small crops of the paper are left out.
    """

    def __init__(self, backbone: nn.Module, features: int):
        super().__init__(backbone)
        heads, losses = import_lightly()
        self.project = heads.SwaVProjectionHead(features, min(WIDEST, 4 * features), 128)
        self.prototypes = heads.SwaVPrototypes(128, PROTOTYPES)
        self.criterion = losses.SwaVLoss()

    def loss(self, one: torch.Tensor, two: torch.Tensor, done: float) -> tuple[torch.Tensor, torch.Tensor]:
        """See Method."""
        self.prototypes.normalize()
        self.prototypes.requires_grad_(done >= SETTLING)
        features = self.backbone(one)
        seen = [self.project(features), self.project(self.backbone(two))]
        scores = [self.prototypes(normalize(view, dim=1)) for view in seen]
        return _exact(lambda *parts: self.criterion(parts, []), *scores).squeeze(), features


METHODS: dict[str, Callable[[nn.Module, int], Method]] = {
    "simclr": SimCLR, "simsiam": SimSiam, "byol": BYOL, "swav": SwAV,
}  # fmt: skip


def _exact(criterion: Callable[..., torch.Tensor], *parts: torch.Tensor) -> torch.Tensor:
    """A loss in float32, also where the network runs in half precision."""
    with torch.autocast(parts[0].device.type, enabled=False):
        return criterion(*(part.float() for part in parts))


def import_lightly() -> tuple[Any, Any]:
    """lightly's heads and losses, or an InputError that names the extra to install."""
    try:
        import lightly.loss
        import lightly.models.modules.heads
    except ImportError as error:
        raise InputError(MISSING) from error
    return lightly.models.modules.heads, lightly.loss


MISSING = (
    "PRETRAININGS without labels needs a package that is not installed: uv sync --extra ssl, or pip install lightly. "
    'The method "supervised" needs none.'
)
