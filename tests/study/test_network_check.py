"""Promises about rows of MODEL_CONFIG: what cannot train is said in words, before any picture is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torchvision import models

from fer.networks.freezing import freeze
from fer.networks.torchvision_networks import torchvision_names
from fer.settings.settings import ModelRow, check_settings
from fer.settings.training_values import TrainingValues
from fer.study.network_check import network_problems, row_problems
from model_utils import build_network, head_parameters, save_state, train_mode
from utils import InputError


def row(**changes: object) -> ModelRow:
    return ModelRow(**({"batch_size": 4, "weights": None, "input_size": 32} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [("small_residual", {"width": [8, 8, 8, 8]}, '"width". Did you mean "widths"?'),
     ("tiny_plain", {"depth": 3}, 'no option "depth"'),
     ("resnet18", {"chanels": [8, 8, 8, 8]}, '"chanels". Did you mean "channels"?'),
     ("squeezenet1_1", {"dropuot": 0.1}, '"dropuot". Did you mean "dropout"?'),
     ("resnet18", {"channels": "many"}, '"options": {\'channels\': \'many\'}')],
)  # fmt: skip
def test_an_unknown_option_is_an_error_with_the_near_name(name: str, options: dict, told: str) -> None:
    (problem,) = row_problems(name, row(options=options), TrainingValues())
    assert told in problem
    with pytest.raises(InputError):
        build_network(name, row(options=options), 7, False)


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [("alexnet", {}, "pictures of 32 px do not go through it"), ("vgg11", {"input_size": 16}, "made for 224 px"),
     ("vit_b_16", {"input_size": 100}, '"input_size": 100'), ("resnet18", {"batch_size": 1}, 'Raise "batch_size"'),
     ("resnett18", {}, "no network")],
)  # fmt: skip
def test_an_input_no_network_takes_is_told(name: str, changes: dict, told: str) -> None:
    (problem,) = row_problems(name, row(**changes), TrainingValues())
    assert told in problem


def test_sides_of_early_epochs_are_tried_too() -> None:
    table = {"vgg11": {"batch_size": 4, "weights": None, "input_size": 64}}
    assert network_problems(check_settings({"MODEL_CONFIG": table})) == []
    (problem,) = network_problems(check_settings({"MODEL_CONFIG": table, "TRAIN_SIZES": ((0.5, 16),)}))
    assert "pictures of 16 px" in problem and "Change TRAIN_SIZES" in problem


def families() -> list[str]:
    """The first network of each family of torchvision that timm has no network of that name for."""
    reachable = [name for name in torchvision_names() if not timm.is_model(name)]
    by_family = {models.get_model_builder(name).__module__: name for name in reversed(reachable)}
    return sorted(by_family.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", families())
def test_every_torchvision_family_answers_with_logits_and_has_a_head(name: str) -> None:
    assert row_problems(name, row(input_size=224), TrainingValues()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet"])
def test_heads_of_all_kinds_train_alone(name: str) -> None:
    network, _ = build_network(name, row(input_size=64), 7, False, 0.2)
    assert sum(p.numel() for p in head_parameters(network)) in {513 * 7, 1025 * 7}
    freeze(network, "backbone", head_parameters(network), set(network.parameters()))
    train_mode(network, frozen=True)
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 7)


def test_normalisation_without_parameters_learns_its_statistics_unless_the_backbone_is_frozen() -> None:
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3, affine=False), torch.nn.Flatten(), torch.nn.Linear(12, 7))
    train_mode(network)
    assert network[0].training
    freeze(network, "backbone", head_parameters(network), set(network.parameters()))
    train_mode(network, frozen=True)
    assert not network[0].training


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet10t", "tiny_residual", "shufflenet_v2_x0_5"])
def test_a_file_of_another_network_is_never_a_silent_random_start(name: str, tmp_path: Path) -> None:
    right, _ = build_network(name, row(), 7, False)
    state = right.state_dict()
    path = tmp_path / "weights.pth"
    save_state(path, {f"{key}.other": value for key, value in state.items()})
    with pytest.raises(InputError, match=r"is not of this network: .*Not filled: .*not in the file"):
        build_network(name, row(weights_file=str(path)), 7, True)
    save_state(path, dict(list(state.items())[: len(state) // 3]))
    with pytest.raises(InputError, match="are needed"):
        build_network(name, row(weights_file=str(path)), 7, True)
    save_state(path, {"state_dict": {f"module.{key}": value for key, value in state.items()}})
    build_network(name, row(weights_file=str(path)), 7, True)
