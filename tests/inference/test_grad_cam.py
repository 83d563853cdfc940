"""Promises about Grad-CAM: it finds what was planted, in convolutions and in transformers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from data_loader import NetworkInput
from fer.inference.grad_cam import SHOWN_SIDE, grad_cam, layer_with_places, strip
from fer.settings.settings import ModelRow
from model_utils import build_network

pytestmark = pytest.mark.slow
SIDE = 48
NETWORKS: dict[str, dict[str, Any]] = {
    "tiny_residual": {},
    "resnet18": {},
    "vit_tiny_patch16_224": {"options": {"patch_size": 8, "depth": 2}},
    "swin_tiny_patch4_window7_224": {"input_size": 64, "options": {"depths": [1, 1], "window_size": 4}},
    "deit_tiny_distilled_patch16_224": {"options": {"patch_size": 8, "depth": 2}},
}


def model_of(name: str, network: torch.nn.Module | None = None) -> Any:
    changes = {"batch_size": 1, "weights": None, "input_size": SIDE, "channels": 3} | NETWORKS.get(name, {})
    row = ModelRow(**changes)
    if network is None:
        network = build_network(name, row, 7, False)[0]
    expected = NetworkInput(row.input_size, 3, (0.5,) * 3, (0.5,) * 3)

    def probabilities(pixels: np.ndarray) -> np.ndarray:
        return np.eye(7)[np.zeros(len(pixels), dtype=int)]

    return SimpleNamespace(
        network=network.eval(), expected=expected, device=torch.device("cpu"), probabilities=probabilities
    )  # fmt: skip


def noise(count: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_gives_a_map(name: str) -> None:
    model = model_of(name)
    heat = grad_cam(model, noise(7), list(range(7)))
    size = model.expected.size
    assert heat.shape == (7, size, size) and heat.min() >= 0 and heat.max() <= 1
    # of weights drawn at random, some classes have no sign anywhere in a picture: a map of zeros
    assert sum(np.ptp(one) > 0.1 for one in heat) >= 2, "flat: the layer has no places, or no gradient reaches it"


class Halves(torch.nn.Module):
    """Channel 0 keeps the upper left of a map, channel 1 its lower right."""

    def forward(self, found: torch.Tensor) -> torch.Tensor:
        half = found.shape[-1] // 2
        mask = torch.zeros(2, *found.shape[-2:])
        mask[0, :half, :half] = mask[1, half:, half:] = 1
        return found * mask


class Corners(torch.nn.Module):
    """The logit of class 0 is brightness in the upper left, of class 1 in the lower right."""

    def __init__(self) -> None:
        super().__init__()
        self.places = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 8, 8, bias=False), Halves())
        self.head = torch.nn.Linear(2, 7, bias=False)
        torch.nn.init.constant_(self.places[0].weight, 0.01)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(7, 2))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.places(pictures).relu().amax((2, 3)))


@pytest.mark.parametrize(("wanted", "corner"), [(0, 12), (1, 36)])
def test_heat_lies_where_the_sign_of_the_class_is(wanted: int, corner: int) -> None:
    pixels = np.zeros((1, SIDE, SIDE, 3), dtype=np.uint8)
    for middle in (12, 36):  # both signs are in the picture
        pixels[0, middle - 4 : middle + 4, middle - 4 : middle + 4] = 255
    heat = grad_cam(model_of("corners", Corners()), pixels, [wanted])[0]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert np.hypot(row - corner, column - corner) < 10


def test_the_last_layer_with_places_is_taken_also_where_the_picture_shrinks_to_one() -> None:
    network = model_of("resnet18").network
    layer, reshape = layer_with_places(network, torch.zeros(1, 3, 32, 32))
    assert reshape is None and layer in set(network.layer3.modules())


def test_a_strip_shows_each_face_above_its_heat() -> None:
    assert strip(cast(Any, model_of("tiny_residual")), noise(3)).size == (3 * SHOWN_SIDE, 2 * SHOWN_SIDE)
