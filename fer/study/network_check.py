"""What is wrong with a row of MODEL_CONFIG, found in a second: nothing is fetched, no picture is read."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

from fer.layouts.emotions import EMOTIONS
from fer.networks.freezing import freeze
from fer.networks.heads import HeadPlan, import_xgboost
from fer.networks.names import architecture_of
from fer.settings.settings import ModelRow, Settings
from fer.settings.training_values import TrainingValues
from model_utils import build_network, head_parameters
from utils import InputError


def network_problems(settings: Settings) -> list[str]:
    """Sentences about rows of MODEL_CONFIG that cannot train: unknown names, options, sides no network takes."""
    return [
        problem
        for name, row in settings.models.items()
        for problem in row_problems(name, row, settings.training_of(name), settings.classes)
    ]


def row_problems(name: str, row: ModelRow, values: TrainingValues, classes: int = len(EMOTIONS)) -> list[str]:
    """The same for one row. Tried are its `input_size` and the smaller sides of early epochs.

    The network is built on torch's meta device, where shapes are followed and nothing is computed.
    """
    try:
        network, device = _built(name, row, values, classes)
    except InputError as error:
        return error.problems
    try:
        for how in [stage.freeze for stage in values.stages] or [values.freeze]:
            freeze(network, how, head_parameters(network), set(network.parameters()))
    except InputError as error:
        return [f'MODEL_CONFIG "{name}": {problem}' for problem in error.problems]
    batch = min(row.batch_size, 2)  # two tell as much as many; one alone is more than some can normalise
    sides = {row.input_size: '"input_size"'} | dict.fromkeys(
        {size for _, size in values.train_sizes} - {row.input_size}, "TRAIN_SIZES"
    )
    found = (_probe(network, (batch, row.channels, side, side), classes, device) for side in sides)
    return [
        f'MODEL_CONFIG "{name}": pictures of {side} px do not go through it ({problem}). '
        f'{_remedy(row, problem, where)}{_made_for(architecture_of(name, row))}'
        for (side, where), problem in zip(sides.items(), found, strict=True)
        if problem
    ]  # fmt: skip


def _built(name: str, row: ModelRow, values: TrainingValues, classes: int) -> tuple[nn.Module, str]:
    if values.head == "xgboost":
        import_xgboost()
    plan = HeadPlan(values.head, values.head_widths, values.head_batch_norm, values.head_dropout)

    def build() -> nn.Module:
        return build_network(name, row, classes, False, values.dropout, values.drop_path, plan)[0]

    try:
        with torch.device("meta"):
            return build(), "meta"
    except NotImplementedError:  # a few draw their weights in ways the meta device has not
        return build(), "cpu"


def _probe(network: nn.Module, shape: tuple[int, ...], classes: int, device: str) -> str:
    """Why a batch of `shape` does not become logits, or nothing."""
    network.train()
    try:
        with torch.no_grad():
            found: Any = network(torch.zeros(shape, device=device))
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
        return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
    found = found[0] if isinstance(found, tuple) else found  # of the main head, where there are side heads
    wanted = (shape[0], classes)
    if not torch.is_tensor(found) or tuple(found.shape) != wanted:
        return f"its answer is {tuple(found.shape) if torch.is_tensor(found) else type(found).__name__}, not {wanted}"
    return ""


def _remedy(row: ModelRow, problem: str, where: str) -> str:
    if "more than 1 value per channel" in problem:
        return f'Raise "batch_size", now {row.batch_size}: BatchNorm needs two values to compare.'
    return f"Change {where}."


def _made_for(architecture: str) -> str:
    config = timm.get_pretrained_cfg(architecture) if timm.is_model(architecture) else None
    return f" It was made for {config.input_size[-1]} px." if config is not None and config.input_size else ""
