"""Promises of weights from a local file: names as other programs give them, nine tenths at least, and no code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from fer.settings.settings import ModelRow
from model_utils import build_network
from utils import InputError

State = dict[str, torch.Tensor]


def row(path: Path, **changes: Any) -> ModelRow:
    return ModelRow(**{"batch_size": 4, "input_size": 32, "weights_file": str(path)} | changes)


def stored(architecture: str = "resnet18", classes: int = 1000) -> State:
    """A network somebody else has trained: every tensor drawn anew, so that none is as a fresh network has it."""
    torch.manual_seed(7)
    state = timm.create_model(architecture, num_classes=classes).state_dict()
    return {name: torch.rand_like(value) if value.is_floating_point() else value for name, value in state.items()}


def below_the_head(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def others() -> State:
    return below_the_head(stored())


PROJECTION = {"projection_head.0.weight": torch.rand(9, 512), "prototypes.weight": torch.rand(30, 9)}
# As these programs write them: a function of the tensors below the head.
WRITTEN: dict[str, Callable[[State], dict[str, Any]]] = {
    "plain": dict,
    "parallel": lambda state: {"state_dict": prefixed("module.", state)},
    "SwAV": lambda state: prefixed("module.", state | PROJECTION),
    "lightly": lambda state: {"state_dict": prefixed("backbone.", state) | PROJECTION, "epoch": 3},
    "MoCo": lambda state: prefixed("module.encoder_q.", state) | prefixed("module.encoder_k.", others()),
    "wrapped twice": lambda state: {"model": prefixed("model.backbone.", state)},
    "DINO": lambda state: {
        "student": prefixed("module.backbone.", others()),
        "teacher": prefixed("backbone.", state) | prefixed("head.", PROJECTION),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("program", WRITTEN)
def test_names_of_other_programs_are_understood(program: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mine = below_the_head(stored())
    mine["conv1.weight"] = mine["conv1.weight"] + 1  # another than in what stands beside it
    torch.save(WRITTEN[program](mine), tmp_path / "mine.pth")
    network, _ = build_network("resnet18", row(tmp_path / "mine.pth"), 7, True)
    found = network.state_dict()
    assert all(torch.equal(found[name], value) for name, value in mine.items())
    assert found["fc.weight"].shape == (7, 512)
    assert "100 of 100 tensors below the head came from" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("library", ["timm", "torchvision", "this project"])
def test_a_gray_file_fills_a_gray_network(library: str, tmp_path: Path) -> None:
    name = {"timm": "resnet18", "torchvision": "alexnet", "this project": "tiny_plain"}[library]
    kept, _ = build_network(name, ModelRow(batch_size=4, input_size=64, channels=1), 7, False)
    torch.save(kept.state_dict(), tmp_path / "gray.pth")
    network, _ = build_network(name, row(tmp_path / "gray.pth", channels=1, input_size=64), 7, True)
    (first, *_), wanted = network.state_dict().items(), kept.state_dict()
    assert torch.equal(first[1], wanted[first[0]])


@pytest.mark.slow
def test_a_file_with_another_number_of_classes_fills_all_but_the_head(tmp_path: Path) -> None:
    for classes in (8, 7):
        save_file(stored(classes=classes), tmp_path / "others.safetensors")
        network, _ = build_network("resnet18", row(tmp_path / "others.safetensors"), 7, True)
        assert torch.equal(network.state_dict()["conv1.weight"], stored(classes=classes)["conv1.weight"])


@pytest.mark.slow
@pytest.mark.parametrize("missing", [10, 11])
def test_nine_tenths_of_the_tensors_are_needed(missing: int, tmp_path: Path) -> None:
    """20 convolutions and BatchNorms of four tensors each: 90 of 100 are enough, 89 are not, however small they are."""
    state = below_the_head(stored())
    small = sorted(state, key=lambda name: state[name].numel() if state[name].is_floating_point() else 1e9)[:missing]
    torch.save({name: value for name, value in state.items() if name not in small}, tmp_path / "part.pth")
    if missing == 10:
        build_network("resnet18", row(tmp_path / "part.pth"), 7, True)
        return
    with pytest.raises(InputError, match=r"is not of this network: 89% of it .* 90% are needed. Not filled: .*"):
        build_network("resnet18", row(tmp_path / "part.pth"), 7, True)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["another architecture", "pickled code", "truncated", "no tensors", "diverged"])
def test_a_file_that_is_none_of_this_network_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.pth"
    if damage == "another architecture":
        torch.save(stored("resnet26"), path)
    elif damage == "pickled code":
        path.write_bytes(pickle.dumps({"network": Path}, 2))
    elif damage == "truncated":
        torch.save(stored(), path)
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "diverged":
        torch.save(stored() | {"layer4.1.bn2.running_var": torch.full((512,), torch.nan)}, path)
    else:
        torch.save({"epoch": 3}, path)
    words = {"another architecture": "is not of this network", "pickled code": "could run code|damaged",
             "truncated": "is damaged", "no tensors": "holds no tensors",
             "diverged": "layer4.1.bn2.running_var: the training that wrote it diverged"}[damage]  # fmt: skip
    with pytest.raises(InputError, match=words):
        build_network("resnet18", row(path), 7, True)
