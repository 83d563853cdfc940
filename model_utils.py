"""Networks: build one by name, its head, freezing, pretrained weights in, trained weights out, its cost."""

from __future__ import annotations

import difflib
import inspect
import pickle
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

import fer.networks.simple_cnn
import fer.networks.small_networks  # noqa: F401  (they register the project's own networks with timm)
from data_loader import NetworkInput
from fer.networks.heads import HeadPlan, own_head, replace_classifier
from fer.networks.local_weights import fill, named_as, refuse_unfilled, tensors_of
from fer.networks.names import UnavailableWeightsError, architecture_of
from fer.networks.torchvision_networks import (
    create_torchvision,
    gray_input,
    head_of,
    input_statistics,
    replace_head,
    side_heads,
    torchvision_names,
    torchvision_tags,
)
from fer.settings.settings import ModelRow
from utils import InputError, Noted, atomic_path

LINEAR = HeadPlan()


def build_network(
    name: str,
    row: ModelRow,
    classes: int,
    pretrained: bool,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    head: HeadPlan = LINEAR,
) -> tuple[nn.Module, NetworkInput]:
    """The network of a MODEL_CONFIG row with a fresh head of `classes` outputs, and the input it expects.

    Any timm name works, and torchvision's where timm lacks one. With `pretrained`, a row that names
    weights (a tag or a file) starts from them; a row that names none starts from scratch. `drop_path`: the chance
    that a block is skipped in training (stochastic depth, Huang et al. 2016).
    Raises InputError for an unknown name or option, and when the named weights cannot be had or do not
    fit: never a silent random start.
    """
    architecture = architecture_of(name, row)
    pretrained = pretrained and (row.weights is not None or row.weights_file is not None)
    if drop_path:
        row = row.model_copy(update={"options": {drop_path_option(architecture): drop_path} | row.options})
    build = _timm_network if timm.is_model(architecture) else _torchvision_network
    try:
        network, expected = build(architecture, row, classes, pretrained, dropout)
        replace_classifier(network, head, classes)
        if side_heads(network):
            network.register_forward_hook(_main_answer)
        return network, expected
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        if isinstance(error, NotImplementedError | torch.OutOfMemoryError):
            raise
        raise InputError(_refused(architecture, row, error)) from error


def _main_answer(network: nn.Module, _: Any, answer: Any) -> Any:
    """Outside training the answer of a network with side heads is that of its main head."""
    return answer[0] if isinstance(answer, tuple) and not network.training else answer


def drop_path_option(architecture: str) -> str:
    """What timm, or torchvision, calls the chance that a block of this network is skipped."""
    return "drop_path_rate" if timm.is_model(architecture) else "stochastic_depth_prob"


def _refused(architecture: str, row: ModelRow, error: Exception) -> str:
    """Why a network cannot be built as its row says; a misspelt option with the nearest that there is."""
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if unknown is None:
        return (
            f'MODEL_CONFIG "{architecture}" cannot be built with "input_size": {row.input_size} and "options": '
            f"{row.options}: {error}"
        )
    if unknown[1] == drop_path_option(architecture):
        return f'MODEL_CONFIG "{architecture}" has no blocks to skip: set "drop_path": 0 in its row, or DROP_PATH = 0.'
    known = _option_names(architecture)
    near = difflib.get_close_matches(unknown[1], known, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else f" It has: {', '.join(known)}."
    return f'MODEL_CONFIG "{architecture}": it has no option "{unknown[1]}".{hint}'


def _option_names(architecture: str) -> list[str]:
    """Names a network's function and classes take, as far as their signatures tell."""
    makers = [_maker(architecture)]
    if any(p.kind == inspect.Parameter.VAR_KEYWORD for p in inspect.signature(makers[0]).parameters.values()):
        makers += [kind for kind in _classes(architecture) if kind not in (nn.Module, object)]
    named = [p for maker in makers for p in inspect.signature(maker).parameters.values()]
    loose = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return sorted({p.name for p in named if p.kind not in loose} - NO_OPTIONS)


def _maker(architecture: str) -> Callable[..., nn.Module]:
    """The function that makes a network of this name."""
    if timm.is_model(architecture):
        return timm.models.model_entrypoint(architecture)
    from torchvision import models

    return models.get_model_builder(architecture)


def _classes(architecture: str) -> tuple[type, ...]:
    """The class of a network and what it stands on."""
    if not timm.is_model(architecture):
        return type(_maker(architecture)()).__mro__
    with torch.device("meta"):
        return type(timm.create_model(architecture)).__mro__


# Parameters of networks that the pipeline sets itself.
NO_OPTIONS = {"self", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "weights", "num_classes",
              "in_chans", "progress"}  # fmt: skip


def _timm_network(
    architecture: str, row: ModelRow, classes: int, pretrained: bool, dropout: float
) -> tuple[nn.Module, NetworkInput]:
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
    return network, network_input(row, data["mean"], data["std"])


def own_interpolation(network: nn.Module) -> str:
    """How pictures were brought to size for the network's weights, as near to it as torch has."""
    said = (getattr(network, "pretrained_cfg", None) or {}).get("interpolation", "bilinear")
    return "bilinear" if said == "bilinear" else "bicubic"


def network_input(row: ModelRow, mean: tuple[float, ...], std: tuple[float, ...]) -> NetworkInput:
    """What a network of `row` expects when its weights were trained with `mean` and `std` of [0, 1] colours."""
    if row.channels == 1:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    return NetworkInput(row.input_size, row.channels, tuple(mean), tuple(std))


def _pretrained(architecture: str, row: ModelRow, options: dict[str, Any]) -> nn.Module:
    """A timm network filled by its tag, or from a file; a tag beside the file says what the file is of."""
    tagged = architecture if row.weights is None else f"{architecture}.{row.weights}"
    known = [name.split(".", 1)[1] for name in timm.list_pretrained(f"{architecture}.*")]
    if row.weights is not None and row.weights not in known:
        raise InputError(f'MODEL_CONFIG "{architecture}": no weights "{row.weights}". timm has: {known or "none"}')
    if row.weights_file is not None:
        return _from_file(tagged, Path(row.weights_file), options)
    try:
        return timm.create_model(tagged, pretrained=True, **options)
    except (OSError, RuntimeError) as error:
        raise UnavailableWeightsError([tagged], type(error).__name__) from error


def _from_file(architecture: str, file: Path, options: dict[str, Any]) -> nn.Module:
    """A timm network, or one of networks/small_networks.py, filled from a state dict; its head stays fresh."""
    draws = torch.get_rng_state()
    start = timm.create_model(architecture, **options).state_dict()
    state = named_as(load_state(file), start)
    if not state:
        raise InputError(f"{file} holds no tensors. Name a state dict or a safetensors file of {architecture}.")
    torch.set_rng_state(draws)  # what follows draws as if nothing had been built before
    if timm.get_pretrained_cfg(architecture) is None:
        network = timm.create_model(architecture, **options)
        fill(network, state, head_names(network))
    else:
        overlay = {"state_dict": dict(state), "custom_load": False}
        try:
            network = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=overlay, **options)
        except RuntimeError as error:
            raise InputError(f"{file} is not of this network, {architecture}: {str(error)[:300]}") from error
        network.pretrained_cfg = {**network.pretrained_cfg, "state_dict": None}  # type: ignore[assignment, dict-item]
    refuse_unfilled(network, start, state, head_names(network), file)
    return network


def _torchvision_network(
    name: str, row: ModelRow, classes: int, pretrained: bool, dropout: float
) -> tuple[nn.Module, NetworkInput]:
    if name not in torchvision_names():
        near = difflib.get_close_matches(name, [*timm.list_models(), *torchvision_names()], n=3)
        raise InputError(f'MODEL_CONFIG: no network "{name}" in timm or torchvision. Nearest: {near}')
    tag = row.weights if pretrained else None
    if tag is not None and tag not in torchvision_tags(name):
        known = torchvision_tags(name)
        raise InputError(f'MODEL_CONFIG "{name}": no weights "{tag}". torchvision has: {known}')
    file = row.weights_file if pretrained else None
    network = create_torchvision(name, None if file else tag, row.input_size, row.options, row.channels)
    replace_head(network, classes, dropout)
    is_gray = False
    if file is not None:
        state, head = named_as(load_state(Path(file)), network.state_dict()), head_names(network)
        is_gray = next((value.shape[1] for value in state.values() if value.ndim == 4), row.channels) == 1
        if is_gray and row.channels == 1:  # a file of this project: its first layer is gray already
            gray_input(network)
        start = {key: value.clone() for key, value in network.state_dict().items()}
        fill(network, state, head)
        refuse_unfilled(network, start, state, head, Path(file))
    if row.channels == 1 and not is_gray:
        gray_input(network)
    return network, network_input(row, *input_statistics(name, row.channels))


def head_parameters(network: nn.Module) -> set[nn.Parameter]:
    """The parameters of the classification head."""
    if (own := own_head(network)) is not None:
        return set(own.parameters())
    if not hasattr(network, "get_classifier"):
        return set(head_of(network)[1].parameters())
    found = network.get_classifier()  # type: ignore[operator]
    heads = found if isinstance(found, tuple | list) else (found,)  # distilled networks have two
    return {parameter for head in heads for parameter in head.parameters()}


def head_names(network: nn.Module) -> set[str]:
    """The names of the classification head's parameters."""
    head = head_parameters(network)
    return {name for name, parameter in network.named_parameters() if parameter in head}


def only_head_trains(network: nn.Module) -> bool:
    """Whether everything below the head is frozen."""
    return {p for p in network.parameters() if p.requires_grad} <= head_parameters(network)


def train_mode(network: nn.Module, frozen: bool = False, norms: bool = True) -> None:
    """Training mode, except for BatchNorm whose parameters are frozen, and for all of it where `norms` is False.

    `frozen`: everything below the head is; then BatchNorm without any parameters keeps its statistics as well.
    """
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            parameters = list(module.parameters())
            trained = any(p.requires_grad for p in parameters)
            if not norms or (not trained and (parameters or frozen)):
                module.eval()


def training_logits(network: nn.Module, part: torch.Tensor) -> list[torch.Tensor]:
    """Logits of the main head, then of side heads where there are some.

    Raises InputError where BatchNorm is given one picture of one pixel, which it cannot train on.
    """
    try:
        answer = network(part)
        return [one for one in answer if one is not None] if isinstance(answer, tuple) else [answer]
    except ValueError as error:
        if len(part) > 1 or "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "A batch holds a single picture, and BatchNorm needs two values to compare. Batches are nearly equal "
            'parts of the rows: raise "batch_size" in MODEL_CONFIG (3 or more leaves none alone), or "input_size".'
        ) from error


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
    fix = "Name another file; where it is a run's own, delete it, and that run is trained again."
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
    state = tensors_of(load_state(path, device))
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
