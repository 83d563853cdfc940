"""Promises of HEAD: what stands in place of a network's last layer, where it can, and what is said where it cannot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fer.networks.freezing import freeze
from fer.networks.heads import HeadPlan, classifier_of
from fer.settings.settings import ModelRow
from fer.study.network_check import row_problems
from model_utils import build_network, head_names, head_parameters
from utils import InputError

MLP = HeadPlan("mlp", (64, 32), batch_norm=True, dropout=0.2)


def row(**changes: Any) -> ModelRow:
    return ModelRow(**{"batch_size": 4, "weights": None, "input_size": 64} | changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet10t", "tiny_plain", "vit_tiny_patch16_224", "mobilenet_v2", "test_convnext"])
def test_an_mlp_takes_the_features_of_any_network(name: str) -> None:
    network, _ = build_network(name, row(), 7, False, head=MLP)
    plain, _ = build_network(name, row(), 7, False)
    features = classifier_of(plain)[1].in_features
    assert network(torch.randn(3, 3, 64, 64)).shape == (3, 7)
    wanted = features * 64 + 2 * 64 + 64 * 32 + 2 * 32 + 32 * 7 + 7
    assert sum(p.numel() for p in head_parameters(network)) == wanted
    freeze(network, "backbone", head_parameters(network), set(network.parameters()))
    assert {n for n, p in network.named_parameters() if p.requires_grad} == head_names(network)


def test_an_mlp_is_built_as_it_says() -> None:
    head = build_network("tiny_plain", row(), 7, False, head=MLP)[0].head
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout] * 2 + [nn.Linear]
    assert [type(layer) for layer in head] == kinds
    plain = HeadPlan("mlp", (8,), batch_norm=False, dropout=0.5)
    head = build_network("tiny_plain", row(), 7, False, head=plain)[0].head
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert head[0].bias is not None and head[2].p == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "deit_tiny_distilled_patch16_224"])
def test_a_head_on_a_network_without_pooled_features_is_told(name: str) -> None:
    values = row(head="mlp", input_size=224)
    (problem,) = row_problems(name, values, values)
    assert "no single linear layer on pooled features" in problem and '"head": "linear"' in problem


def test_a_missing_extra_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    values = row(head="xgboost")
    with pytest.raises(InputError, match="uv sync --extra xgboost"):
        __import__("fer.networks.heads", fromlist=["import_xgboost"]).import_xgboost()
    (problem,) = row_problems("tiny_plain", values, values)
    assert "uv sync --extra xgboost" in problem
