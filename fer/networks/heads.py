"""Heads in place of a network's last layer: a multilayer perceptron, or a classifier of another kind on its features.

A head takes pooled features [B, F] and answers with logits [B, classes].
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from fer.networks.torchvision_networks import head_of
from utils import InputError


@dataclass(frozen=True)
class HeadPlan:
    """What a head is made of; of `widths`, `batch_norm` and `dropout` only an "mlp" takes notice.

    `bytes`: size of the stored trees of "xgboost", known once they are fitted.
    """

    kind: str = "linear"
    widths: tuple[int, ...] = ()
    batch_norm: bool = True
    dropout: float = 0.0
    bytes: int = 0


class Head(nn.Sequential):
    """A head that stands in place of a network's own last layer."""


class Trees(nn.Module):
    """Boosted trees on features: `stored` holds xgboost's own binary form, uint8 [bytes]. Runs on the CPU."""

    def __init__(self, stored: torch.Tensor, classes: int):
        super().__init__()
        self.stored: torch.Tensor
        self.register_buffer("stored", stored)
        self.classes = classes
        self._loaded: tuple[bytes, Any] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, classes] of features [B, F]."""
        if x.is_meta:
            return x.new_empty(len(x), self.classes)
        xgboost = import_xgboost()
        trees = self.stored.cpu().numpy().tobytes()
        if self._loaded is None or self._loaded[0] != trees:
            booster = xgboost.Booster()
            booster.load_model(bytearray(trees))
            self._loaded = (trees, booster)
        rows = xgboost.DMatrix(x.detach().float().cpu().numpy())
        found = self._loaded[1].predict(rows, output_margin=True)
        return torch.from_numpy(np.ascontiguousarray(found)).to(x.device)


def import_xgboost() -> Any:
    """The package, or an InputError that names the extra to install."""
    try:
        import xgboost
    except ImportError as error:
        raise InputError(
            'HEAD = "xgboost" needs a package that is not installed: uv sync --extra xgboost, or pip install xgboost. '
            '"logistic" and "svm" need none.'
        ) from error
    return xgboost


def replace_classifier(network: nn.Module, plan: HeadPlan, classes: int) -> None:
    """Exchange the last layer for what `plan` says; a linear one stays as it is.

    Raises InputError where a network has no single linear layer on pooled features.
    """
    if plan.kind == "linear":
        return
    name, last = classifier_of(network)
    if plan.kind == "logistic":
        return  # such a regression is a linear layer
    makers: dict[str, Callable[[], list[nn.Module]]] = {
        "mlp": lambda: _mlp([last.in_features, *plan.widths], classes, plan),
        "svm": lambda: [nn.Linear(last.in_features, classes), nn.LogSigmoid()],
        "xgboost": lambda: [Trees(torch.zeros(plan.bytes, dtype=torch.uint8), classes)],
    }
    put_in_place(network, name, Head(*makers[plan.kind]()))


def _mlp(widths: list[int], classes: int, plan: HeadPlan) -> list[nn.Module]:
    """Linear, BatchNorm, ReLU and dropout for each width, then a linear layer."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers.append(nn.Linear(inputs, outputs, bias=not plan.batch_norm))
        layers += [nn.BatchNorm1d(outputs)] if plan.batch_norm else []
        layers += [nn.ReLU(), nn.Dropout(plan.dropout)]
    return [*layers, nn.Linear(widths[-1], classes)]


def put_in_place(network: nn.Module, name: str, module: nn.Module) -> None:
    """Let `module` be what `name` names in the network."""
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)


def classifier_of(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and layer of the network's last linear layer, which takes pooled features."""
    ask: Any = getattr(network, "get_classifier", None)
    found: Any = ask() if ask is not None else head_of(network)[1]
    if not isinstance(found, nn.Linear):
        kind = "two of them" if isinstance(found, tuple | list) else type(found).__name__
        raise InputError(
            f"{type(network).__name__} has no single linear layer on pooled features but {kind}, so that HEAD must be "
            '"linear" for it: write "head": "linear" in its row.'
        )
    return next(name for name, module in network.named_modules() if module is found), found


def own_head(network: nn.Module) -> Head | None:
    """The head that was put in place of the network's own; None where there is none."""
    return next((module for module in network.modules() if isinstance(module, Head)), None)
