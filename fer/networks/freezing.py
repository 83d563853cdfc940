"""Which parameters of a network train: all, the head alone, or the head with the last layers or blocks below it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models import group_parameters
from torch import nn

from utils import InputError

# What FREEZE may be: "none", "backbone" (all but the head), {"last_layers": 20} or {"last_blocks": 2}.
Freeze = str | Mapping[str, int]


def freeze(network: nn.Module, how: Freeze, head: set[nn.Parameter], trainable: set[nn.Parameter]) -> None:
    """Leave what FREEZE names to train, and freeze the rest; `head`: the head's parameters, which always train.

    `trainable`: what the network trains where nothing is frozen; a few keep some embeddings fixed. BatchNorm
    statistics are frozen by `model_utils.train_mode`. Raises InputError for more layers or blocks than there are.
    """
    trained = head if how == "backbone" else trainable
    if not isinstance(how, str):
        trained = head | _last(network, how, head)
    trained = trained & trainable
    for parameter in network.parameters():
        parameter.requires_grad_(parameter in trained)


def freeze_batch_norms(network: nn.Module) -> None:
    """Weights and biases of every BatchNorm keep their values; `model_utils.train_mode` keeps the statistics."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for parameter in module.parameters():
                parameter.requires_grad_(False)


def _last(network: nn.Module, how: Mapping[str, int], head: set[nn.Parameter]) -> set[nn.Parameter]:
    ((kind, count),) = how.items()
    parts = layers_of(network, head) if kind == "last_layers" else blocks_of(network, head)
    if count > len(parts):
        raise InputError(
            f'FREEZE = {{"{kind}": {count}}}: {type(network).__name__} has {len(parts)} {kind.removeprefix("last_")} '
            'below its head. Lower the number, or set FREEZE = "none" to train all of them.'
        )
    return {parameter for part in parts[-count:] for parameter in part}


def layers_of(network: nn.Module, head: set[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The parameters of each layer below the head, from input to output: a convolution, a normalisation, a linear map.

    A layer is a module with parameters of its own; the network itself is the first, where it has some (as position
    embeddings are).
    """
    own = [list(module.parameters(recurse=False)) for module in network.modules()]
    return [part for part in ([p for p in layer if p not in head] for layer in own) if part]


def blocks_of(network: nn.Module, head: set[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The parameters of each block below the head, from input to output: a residual block, a transformer block.

    As timm groups them; where it does not know the network, its direct parts, sequences of them taken apart.
    """
    matcher: Any = getattr(network, "group_matcher", None)
    if matcher is not None:
        of_name: dict[str, int] = group_parameters(network, matcher(coarse=False), reverse=True)
    else:
        of_name = _direct_parts(network)
    blocks: dict[int, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter not in head:
            blocks.setdefault(of_name[name], []).append(parameter)
    return [blocks[number] for number in sorted(blocks)]


def _direct_parts(network: nn.Module) -> dict[str, int]:
    """The number of the part that each parameter belongs to, by the parameter's name."""
    numbers: dict[str, int] = {}
    found = {}
    for name, _ in network.named_parameters():
        first, *rest = name.split(".")
        part = f"{first}.{rest[0]}" if isinstance(getattr(network, first), nn.Sequential) else first
        found[name] = numbers.setdefault(part, len(numbers))
    return found
