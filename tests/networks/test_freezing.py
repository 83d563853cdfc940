"""Promises of FREEZE: it says in layers or blocks what trains beside the head, and everything else stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from fer.networks.freezing import blocks_of, freeze, layers_of
from fer.settings.settings import ModelRow
from fer.study.network_check import row_problems
from model_utils import build_network, head_names, head_parameters
from utils import InputError


def network_of(name: str, **changes: Any) -> nn.Module:
    with torch.device("meta"):
        return build_network(name, row(**changes), 7, False)[0]


def row(**changes: Any) -> ModelRow:
    return ModelRow(**{"batch_size": 4, "weights": None, "input_size": 224} | changes)


def trained(network: nn.Module, how: Any) -> set[str]:
    freeze(network, how, head_parameters(network), set(network.parameters()))
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad} - head_names(network)


def test_the_last_blocks_train() -> None:
    network = network_of("resnet18")
    assert {name[:9] for name in trained(network, {"last_blocks": 1})} == {"layer4.1."}
    assert {name[:8] for name in trained(network, {"last_blocks": 3})} == {"layer3.1", "layer4.0", "layer4.1"}
    assert len(trained(network, {"last_blocks": 9})) == len(trained(network, "none")) == 60
    assert trained(network, "backbone") == set()


def test_the_last_layers_train() -> None:
    network = network_of("resnet18")
    assert trained(network, {"last_layers": 2}) == {"layer4.1.conv2.weight", "layer4.1.bn2.weight", "layer4.1.bn2.bias"}
    assert len(layers_of(network, head_parameters(network))) == 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "blocks"),
    [("vit_tiny_patch16_224", 13), ("tiny_residual", 4), ("efficientnet_b0", 17), ("squeezenet1_1", 9)],
)
def test_every_kind_of_network_has_blocks_that_hold_all_below_the_head(name: str, blocks: int) -> None:
    network = network_of(name)
    head = head_parameters(network)
    found = blocks_of(network, head)
    assert len(found) == blocks
    assert {p for block in found for p in block} == set(network.parameters()) - head


def test_more_than_there_is_is_told_before_anything_is_read() -> None:
    network = network_of("resnet18")
    with pytest.raises(InputError, match=r'"last_blocks": 10.*has 9 blocks below its head'):
        trained(network, {"last_blocks": 10})
    (problem,) = row_problems("resnet18", row(), row(freeze={"last_layers": 99}))
    assert 'MODEL_CONFIG "resnet18"' in problem and "has 40 layers" in problem


def test_what_a_network_keeps_fixed_by_itself_stays_fixed() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].bias.requires_grad_(False)
    trainable = {p for p in network.parameters() if p.requires_grad}
    for how in ("backbone", "none"):
        freeze(network, how, set(network[1].parameters()), trainable)
    assert [p.requires_grad for p in network.parameters()] == [True, False, True, True]
