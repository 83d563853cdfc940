"""Networks: build one by name, its head, freezing, pretrained weights in, trained weights out, its cost."""

from __future__ import annotations

import difflib
import pickle
import statistics
import time
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

import fer.small_networks  # noqa: F401  (registers the project's own networks with timm)
from data_loader import NetworkInput
from fer.network_names import UnavailableWeightsError
from fer.settings import ModelRow
from utils import InputError, Noted, atomic_path


def build_network(
    name: str, row: ModelRow, classes: int, pretrained: bool, dropout: float = 0.0
) -> tuple[nn.Module, NetworkInput]:
    """The network of a MODEL_CONFIG row with a fresh head of `classes` outputs, and the input it expects.

    Any timm name works, and torchvision's where timm lacks one. With `pretrained`, a row that names
    weights (a tag or a file) starts from them; a row that names none starts from scratch.
    Raises InputError for an unknown name, and when the named weights cannot be had: never a silent
    random start.
    """
    architecture = row.architecture or name
    pretrained = pretrained and (row.weights is not None or row.weights_file is not None)
    if not timm.is_model(architecture):
        return _torchvision_network(architecture, row, classes, pretrained, dropout)
    options: dict[str, Any] = {"num_classes": classes, "in_chans": row.channels, "drop_rate": dropout}
    config = timm.get_pretrained_cfg(architecture)
    if config is not None and config.fixed_input_size:
        options["img_size"] = row.input_size
    options |= row.options
    if pretrained:
        network = _pretrained(architecture, row, options)
    else:
        network = timm.create_model(architecture, **options)
    data = timm.data.resolve_model_data_config(network)
    return network, _network_input(row, data["mean"], data["std"])


def _network_input(row: ModelRow, mean: tuple[float, ...], std: tuple[float, ...]) -> NetworkInput:
    if row.channels == 1:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    return NetworkInput(row.input_size, row.channels, tuple(mean), tuple(std))


def _pretrained(architecture: str, row: ModelRow, options: dict[str, Any]) -> nn.Module:
    if row.weights_file is not None:
        file = Path(row.weights_file)
        load_state(file)  # refuses anything but a state dict before timm reads it
        if timm.get_pretrained_cfg(architecture) is None:
            return _own_pretrained(architecture, file, options)
        return timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay={"file": str(file)}, **options)
    tag = f"{architecture}.{row.weights}"
    known = [name.split(".", 1)[1] for name in timm.list_pretrained(f"{architecture}.*")]
    if row.weights not in known:
        raise InputError(f'MODEL_CONFIG "{architecture}": no weights "{row.weights}". timm has: {known or "none"}')
    try:
        return timm.create_model(tag, pretrained=True, **options)
    except (OSError, RuntimeError) as error:
        raise UnavailableWeightsError([tag], type(error).__name__) from error


def _own_pretrained(architecture: str, file: Path, options: dict[str, Any]) -> nn.Module:
    """A network of small_networks.py filled from a state dict; its head stays fresh."""
    network = timm.create_model(architecture, **options)
    head = {name for name, parameter in network.named_parameters() if parameter in head_parameters(network)}
    state = {name: value for name, value in load_state(file).items() if name not in head}
    try:
        missing = set(network.load_state_dict(state, strict=False).missing_keys) - head
    except RuntimeError as error:
        raise InputError(f"{file} is not of {architecture}: {str(error)[:300]}") from error
    if missing:
        raise InputError(f"{file} is not of {architecture}: it lacks {sorted(missing)[:5]}")
    return network


def _torchvision_network(
    name: str, row: ModelRow, classes: int, pretrained: bool, dropout: float
) -> tuple[nn.Module, NetworkInput]:
    from torchvision import models

    if name not in models.list_models():
        near = difflib.get_close_matches(name, [*timm.list_models(), *models.list_models()], n=3)
        raise InputError(f'MODEL_CONFIG: no network "{name}" in timm or torchvision. Nearest: {near}')
    if row.channels != 3:
        raise InputError(f'MODEL_CONFIG "{name}" comes from torchvision and needs "channels": 3.')
    if row.weights_file is not None:
        raise InputError(f'MODEL_CONFIG "{name}": "weights_file" works for timm networks only.')
    known = [weights.name for weights in models.get_model_weights(name)]
    if pretrained and row.weights not in known:
        raise InputError(f'MODEL_CONFIG "{name}": no weights "{row.weights}". torchvision has: {known}')
    try:
        network = models.get_model(name, weights=row.weights if pretrained else None, **row.options)
    except OSError as error:
        raise UnavailableWeightsError([f"{name}.{row.weights}"], type(error).__name__) from error
    _replace_head(network, classes, dropout)
    return network, _network_input(row, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _replace_head(network: nn.Module, classes: int, dropout: float) -> None:
    """Exchange the last linear layer of a torchvision network for `classes` outputs after dropout."""
    name, last = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear)][-1]
    parent = network.get_submodule(name.rpartition(".")[0])
    head = nn.Sequential(nn.Dropout(dropout), nn.Linear(last.in_features, classes))
    setattr(parent, name.rpartition(".")[2], head)


def head_parameters(network: nn.Module) -> set[nn.Parameter]:
    """The parameters of the classification head."""
    if hasattr(network, "get_classifier"):
        return set(network.get_classifier().parameters())  # type: ignore[operator]
    return set([m for m in network.modules() if isinstance(m, nn.Linear)][-1].parameters())


def freeze_backbone(network: nn.Module) -> None:
    """Leave only the head to train. BatchNorm statistics are frozen by `train_mode`."""
    head = head_parameters(network)
    for parameter in network.parameters():
        parameter.requires_grad_(parameter in head)


def train_mode(network: nn.Module) -> None:
    """Training mode, except for normalisation layers whose parameters are frozen."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not any(
            p.requires_grad for p in module.parameters()
        ):
            module.eval()


# ---------------------------------------------------------------- weights on disk


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Save a state dict (tensors and plain values only), whole or not at all. Equal states give equal bytes.

    Raises DiskFullError, where torch would raise a RuntimeError that names neither disk nor file.
    """
    # Given a path, torch would write the temporary file's name into the archive.
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        noted = Noted(stream)
        try:
            torch.save(state, noted)  # type: ignore[arg-type]
        except RuntimeError as error:
            raise noted.error or error from error


def load_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Load a state dict with `weights_only=True`.

    Raises InputError when the file is missing, damaged, no state dict, or would run code.
    """
    fix = "Delete it to train that run again, or name another file."
    try:
        if path.suffix == ".safetensors":
            return load_file(path, str(device))
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist. {fix}") from error
    except pickle.UnpicklingError as error:
        raise InputError(f"{path} holds more than tensors and could run code; it was not loaded. {fix}") from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(f"{path} is damaged or no state dict ({error}). {fix}") from error
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise InputError(f"{path} is no state dict but {type(state).__name__}. {fix}")
    return state


def load_weights(network: nn.Module, path: Path, device: torch.device | str = "cpu") -> None:
    """Fill `network` from a state dict on disk. Raises InputError when names or shapes differ."""
    state = load_state(path, device)
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise InputError(f"{path} is not of this network: {str(error)[:300]}") from error


# ---------------------------------------------------------------- cost


def network_cost(network: nn.Module, expected: NetworkInput, device: torch.device) -> dict[str, float]:
    """Parameters (count), FLOPs of one picture (two per multiply-add), latency of one picture (ms, median of 5)."""
    from torch.utils.flop_counter import FlopCounterMode

    picture = torch.zeros(1, expected.channels, expected.size, expected.size, device=device)
    network.eval()
    with torch.inference_mode():
        counter = FlopCounterMode(display=False)
        with counter:
            network(picture)
        seconds = []
        for _ in range(5):
            started = time.perf_counter()
            network(picture)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - started)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "flops": counter.get_total_flops(),
        "latency_ms": round(statistics.median(seconds) * 1000, 3),
    }
