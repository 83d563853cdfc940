"""Every shipped short name builds, learns at its smallest side, and is the same after a way to disk and back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from fer.networks.names import SHORT_NAMES, architecture_of
from fer.networks.simple_cnn import SimpleCNN
from fer.runs.trained_network import load_trained, save_trained
from fer.settings.settings import ModelRow
from fer.study.network_check import row_problems
from model_utils import build_network, head_parameters, own_interpolation, save_state, training_logits
from utils import file_fingerprint

# Sides in pixels below which a network has nothing left to look at, where that is above 32.
SMALLEST = {"inception_v3": 75, "swin_tiny": 56, "dinov2_small": 28}
LARGEST = {"resnet101", "efficientnet_b5", "tf_efficientnet_b6", "tf_efficientnet_b7", "tf_efficientnetv2_s",
           "tf_efficientnetv2_m", "vit_base", "vgg16", "vgg19"}  # fmt: skip


def row(name: str, **changes: Any) -> ModelRow:
    size = SMALLEST.get(name, 32)
    return ModelRow(**{"batch_size": 2, "weights": None, "input_size": size} | changes)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SHORT_NAMES.keys() - LARGEST))
def test_a_short_name_learns_and_comes_back_the_same(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    given = row(name)
    network, expected = build_network(name, given, 7, False)
    pixels = torch.randn(2, 3, given.input_size, given.input_size)
    (logits,) = training_logits(network.train(), pixels)
    nn.functional.cross_entropy(logits, torch.tensor([1, 2])).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in head_parameters(network))
    hyper = SimpleNamespace(
        architecture=architecture_of(name, given), options={}, dropout=0.0, head="linear", classes=7
    )
    save_trained(tmp_path / "weights.pth", network, SimpleNamespace(hyper=hyper), expected)  # type: ignore[arg-type]
    digest = file_fingerprint(tmp_path / "weights.pth", 64)
    planned: Any = SimpleNamespace(folder=tmp_path, inputs={})
    again, same = load_trained(planned, digest, torch.device("cpu"))
    with torch.inference_mode():
        before = network.eval().to(memory_format=torch.channels_last)(pixels)
        assert torch.equal(again.eval()(pixels), before) and same == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LARGEST))
def test_the_largest_have_logits_and_gradients_of_the_right_shape(name: str) -> None:
    assert row_problems(name, row(name), row(name)) == []
    with torch.device("meta"):
        network, _ = build_network(name, row(name), 7, False)
        (logits,) = training_logits(network.train(), torch.zeros(2, 3, 32, 32))
        logits.sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in head_parameters(network))


@pytest.mark.slow
@pytest.mark.parametrize("attention", [None, "se", "cbam"])
def test_the_network_for_beginners(attention: str | None) -> None:
    network, _ = build_network("simple_cnn", row("simple_cnn", channels=1, options={"attention": attention}), 7, False)
    assert isinstance(network, SimpleCNN)
    convolutions = 9 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 256) + 2 * (32 + 64 + 128 + 256)
    classifier = 256 * 9 * 512 + 512 + 512 * 7 + 7
    extra = sum(p.numel() for p in network.parameters()) - convolutions - classifier
    squeezes = sum(2 * c * (c // 16) + c // 16 + c for c in (32, 64, 128, 256))
    assert extra == {None: 0, "se": squeezes, "cbam": squeezes + 4 * 2 * 49}[attention]
    for side in (16, 48, 100):
        assert network(torch.randn(2, 1, side, side)).shape == (2, 7)


def test_an_attention_that_there_is_not_is_told() -> None:
    given = row("simple_cnn", options={"attention": "sea"})
    (problem,) = row_problems("simple_cnn", given, given)
    assert 'attention "sea" is not one of se, cbam' in problem


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "googlenet"])
def test_torchvision_takes_gray_pictures_and_answers_as_to_repeated_ones(name: str) -> None:
    torch.manual_seed(0)
    colour, of_colour = build_network(name, row(name, input_size=64), 7, False)
    torch.manual_seed(0)
    gray, of_gray = build_network(name, row(name, input_size=64, channels=1), 7, False)
    assert of_gray.channels == 1 and len(of_gray.mean) == 1
    pixels = torch.rand(2, 1, 64, 64)
    three = pixels.expand(-1, 3, -1, -1)
    if name == "googlenet":  # its rescaling of three channels undoes what its mean and std do
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (of_colour.mean, of_colour.std))
        three, pixels = (three - mean) / std, (pixels - of_gray.mean[0]) / of_gray.std[0]
    with torch.inference_mode():
        assert torch.allclose(gray.eval()(pixels), colour.eval()(three), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sides", "size"), [("googlenet", 2, 64), ("inception_v3", 1, 299)])
def test_side_heads_train_and_are_silent_otherwise(name: str, sides: int, size: int) -> None:
    given = row(name, input_size=size, options={"aux_logits": True})
    assert row_problems(name, given, given) == []
    network, _ = build_network(name, given, 7, False)
    pixels = torch.randn(2, 3, size, size)
    logits = training_logits(network.train(), pixels)
    assert [one.shape for one in logits] == [(2, 7)] * (1 + sides)
    assert network.eval()(pixels).shape == (2, 7)


def test_interpolation_is_that_of_the_weights() -> None:
    with torch.device("meta"):
        found = [own_interpolation(build_network(n, row(n), 7, False)[0]) for n in ("resnet18", "vgg16", "simple_cnn")]
    assert found == ["bicubic", "bilinear", "bilinear"]


def test_position_embeddings_of_another_side_are_resized(tmp_path: Path) -> None:
    torch.manual_seed(0)
    learned, _ = build_network("test_vit", row("test_vit", input_size=64), 7, False)
    save_state(tmp_path / "vit.pth", learned.state_dict())
    given = row("test_vit", input_size=96, weights_file=str(tmp_path / "vit.pth"))
    larger, _ = build_network("test_vit", given, 7, True)
    places = (learned.pos_embed.shape[1], larger.pos_embed.shape[1])
    assert places[0] < places[1] and torch.equal(larger.cls_token, learned.cls_token)
    spread = [float(one.pos_embed.detach()[:, 1:].std()) for one in (learned, larger)]
    assert 0.5 * spread[0] < spread[1] < 1.5 * spread[0]
