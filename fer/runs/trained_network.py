"""weights.pth: a trained network's tensors and, beside them, all it takes to use them again.

`state_dict`: the tensors. `network`: architecture, options, dropout, and the head where it is not the network's own.
`input`: what it expects (NetworkInput). `classes`: names in the order of its outputs. Whatever scores or shows a
network reads these, never today's settings.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from data_loader import NetworkInput
from fer.layouts.emotions import ALL_EMOTIONS, CONTEMPT, EMOTIONS, class_names
from fer.networks.heads import HeadPlan
from fer.networks.local_weights import tensors_of
from fer.runs.run import Hyperparameters, PlannedRun, Run
from fer.settings.settings import ModelRow
from model_utils import build_network, load_state, network_input, save_state
from utils import InputError, file_fingerprint, log

FIX = "Delete its folder to train that run again, or put the right file back."


def head_plan(hyper: Hyperparameters) -> HeadPlan:
    """The head that a run trains."""
    if hyper.head != "mlp":
        return HeadPlan(hyper.head)
    return HeadPlan("mlp", tuple(hyper.head_widths), hyper.head_batch_norm, hyper.head_dropout)


def save_trained(
    path: Path, network: nn.Module, run: Run, expected: NetworkInput, head: HeadPlan | None = None
) -> None:
    """Write weights.pth of a network of `run`, whole or not at all; `head`: what was put in place of its own, if not
    what the run says."""
    hyper, head = run.hyper, head or head_plan(run.hyper)
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    save_state(
        path,
        {
            "state_dict": state,
            "network": {"architecture": hyper.architecture, "options": hyper.options, "dropout": hyper.dropout}
            | ({} if head.kind == "linear" else {"head": asdict(head)}),
            "input": asdict(expected),
            "classes": list(class_names(hyper.classes)),
        },
    )


def load_trained(planned: PlannedRun, sha256: str, device: torch.device) -> tuple[nn.Module, NetworkInput]:
    """The network of a finished run with its weights on `device`, and the input it expects.

    Raises InputError when the file is not the one of `sha256`, its weights are not finite, or it does not fit.
    """
    path = planned.folder / "weights.pth"
    stored = read_trained(path, sha256)
    if "network" in stored:
        network, expected = _as_stored(path, stored)
    else:
        log.info("%s is of an older version; what it expects is taken from its run's own key", path)
        network, expected = _as_in_its_key(path, planned.inputs)
    try:
        network.load_state_dict(tensors_of(stored))
    except RuntimeError as error:
        raise InputError(f"{path} is not of its network: {str(error)[:300]} {FIX}") from error
    return network.to(device).to(memory_format=torch.channels_last), expected


def read_trained(path: Path, sha256: str) -> dict[str, Any]:
    """What weights.pth holds, on the CPU.

    Raises InputError when it is damaged, not the file of `sha256`, or holds NaN or infinite weights.
    """
    if path.is_file() and file_fingerprint(path, 64) != sha256:
        raise InputError(f"{path} is not the file its run wrote (weights_sha256 of run.json): it was changed. {FIX}")
    stored = load_state(path)
    bad = not_finite(tensors_of(stored))
    if bad:
        raise InputError(
            f"{path} holds NaN or infinite weights ({bad}): its training diverged. Delete its folder and lower "
            'LEARNING_RATE, or set AMP = "off".'
        )
    return stored


def not_finite(state: dict[str, torch.Tensor]) -> str:
    """The name of the first tensor with NaN or an infinite value; empty where there is none."""
    return next((name for name, value in state.items() if not torch.isfinite(value).all()), "")


def _as_stored(path: Path, stored: dict[str, Any]) -> tuple[nn.Module, NetworkInput]:
    """The network and its input as weights.pth says."""
    try:
        facts, classes, given = stored["network"], tuple(stored["classes"]), stored["input"]
        expected = NetworkInput(**given | {"mean": tuple(given["mean"]), "std": tuple(given["std"])})
        row = _row(facts["architecture"], expected.size, expected.channels, facts["options"])
        dropout, head = facts["dropout"], HeadPlan(**facts.get("head", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not say what its network is ({error}). {FIX}") from error
    if classes not in (EMOTIONS, ALL_EMOTIONS):
        known = f"{', '.join(EMOTIONS)} (with or without {CONTEMPT})"
        raise InputError(f"{path} answers with {', '.join(classes)}, not with {known}. {FIX}")
    return build_network(facts["architecture"], row, len(classes), False, dropout, head=head)[0], expected


def _row(architecture: str, size: int, channels: Any, options: dict[str, Any]) -> ModelRow:
    return ModelRow(
        batch_size=1, weights=None, input_size=size, channels=channels, architecture=architecture, options=options
    )


def _as_in_its_key(path: Path, inputs: dict[str, Any]) -> tuple[nn.Module, NetworkInput]:
    """Weights of older versions hold tensors only: the run's key names the tag, and timm its statistics."""
    hyper = inputs["hyper"]
    row = _row(hyper["architecture"], hyper["input_size"], hyper["channels"], hyper["options"])
    network, expected = build_network(hyper["architecture"], row, len(EMOTIONS), False, hyper.get("dropout", 0.0))
    tag = hyper["weights"]
    if tag is None or tag.startswith("file:") or not timm.is_model(hyper["architecture"]):
        return network, expected
    try:
        config = timm.get_pretrained_cfg(f"{hyper['architecture']}.{tag}", allow_unregistered=False)
    except RuntimeError as error:
        raise InputError(f"{path}: this timm does not know {tag}, which it was trained from. {FIX}") from error
    assert config is not None, "a tag without a configuration"
    known = network_input(row, config.mean, config.std)
    return network, replace(expected, mean=known.mean, std=known.std)
