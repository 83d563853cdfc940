"""Promises about networks: any timm name, honest pretrained weights, frozen backbones."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from fer.networks.freezing import freeze
from fer.settings.settings import ModelRow
from model_utils import build_network, head_parameters, network_cost, save_state, train_mode
from utils import InputError


def row(**changes: object) -> ModelRow:
    return ModelRow(**({"batch_size": 4, "weights": None, "input_size": 32} | changes))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [("resnet10t", {}), ("resnet10t", {"channels": 1}), ("vit_tiny_patch16_224", {}), ("tiny_plain", {"channels": 1}),
     ("tiny_residual", {}), ("mine", {"architecture": "test_efficientnet"}), ("shufflenet_v2_x0_5", {}),
     ("resnet18", {"options": {"channels": [8, 16, 16, 32]}})],
)  # fmt: skip
def test_a_name_becomes_a_network_of_the_wanted_input_and_classes(name: str, changes: dict) -> None:
    network, expected = build_network(name, row(**changes), 7, False, 0.1)
    network.eval()
    with torch.inference_mode():
        logits = network(torch.zeros(2, expected.channels, expected.size, expected.size))
    assert logits.shape == (2, 7)
    assert len(expected.mean) == len(expected.std) == expected.channels


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="resnet50"):
        build_network("resnett50", row(), 7, False)


def test_an_unknown_weight_tag_lists_those_there_are() -> None:
    with pytest.raises(InputError, match="a1_in1k"):
        build_network("resnet50", row(weights="no_such_tag"), 7, True)


def test_weights_that_cannot_be_fetched_name_the_three_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **options: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(InputError, match=r"resnet50\.a1_in1k.*weights_file.*PRETRAINED = False"):
        build_network("resnet50", row(weights="a1_in1k"), 7, True)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["resnet10t", "tiny_residual"])
def test_a_local_file_fills_everything_but_the_head(tmp_path: Path, suffix: str, name: str) -> None:
    classes = 1000 if name == "resnet10t" else 7
    source, _ = build_network(name, row(), classes, False)
    path = tmp_path / f"weights{suffix}"
    save_file(source.state_dict(), path) if suffix == ".safetensors" else save_state(path, source.state_dict())
    network, _ = build_network(name, row(weights_file=str(path)), 7, True)
    head = {id(p) for p in head_parameters(network)}
    ours = {n: p for n, p in network.named_parameters() if id(p) not in head}
    assert len(ours) > 4
    assert all(torch.equal(p, source.get_parameter(n)) for n, p in ours.items())


def test_a_row_without_weights_starts_from_scratch_also_when_pretrained_is_set() -> None:
    torch.manual_seed(0)
    first, _ = build_network("tiny_plain", row(), 7, True)
    torch.manual_seed(0)
    second, _ = build_network("tiny_plain", row(), 7, False)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_frozen_backbone_keeps_weights_and_statistics() -> None:
    network, _ = build_network("resnet10t", row(), 7, False)
    freeze(network, "backbone", head_parameters(network), set(network.parameters()))
    train_mode(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 1.0)
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_cost_counts_parameters_and_flops() -> None:
    network, expected = build_network("tiny_plain", row(channels=1), 7, False)
    cost = network_cost(network, expected, torch.device("cpu"))
    assert cost["parameters"] == sum(p.numel() for p in network.parameters())
    first_layer = 2 * 32 * 32 * 9 * 16
    assert cost["flops"] > first_layer
    assert cost["latency_ms"] > 0
