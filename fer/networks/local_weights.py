"""Does a local file of weights fit a network? What of it was filled, and which parameters kept their random start."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils import InputError, log

ENOUGH = 0.9  # of the parameters below the head must come from the file; less is another network's file
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")  # where training programs put the tensors, as timm


def tensors_of(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a state dict, also where a training program wrapped it or a parallel one named them "module.…"."""
    inner = next((state[name] for name in WRAPPERS if isinstance(state.get(name), dict)), state)
    found = {name: value for name, value in inner.items() if torch.is_tensor(value)}
    return {name.removeprefix("module."): value for name, value in found.items()}


def fill(network: nn.Module, state: dict[str, torch.Tensor], head: set[str]) -> None:
    """Copy what has the same name and shape into `network`, except into the parameters named in `head`."""
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in state.items()
        if name in own and name not in head and value.shape == own[name].shape
    }
    network.load_state_dict(fitting, strict=False)


def refuse_unfilled(
    network: nn.Module, start: dict[str, torch.Tensor], state: dict[str, torch.Tensor], head: set[str], file: Path
) -> None:
    """Raise InputError when less than ENOUGH of the parameters below the head came from `file`.

    `start`: the same network before it was filled; `state`: the file's tensors. A parameter was filled when it is
    no longer what it was, or is in the file as it is. (Names alone do not tell: timm renames those of old files.)
    """
    below = {name: value.detach() for name, value in network.named_parameters() if name not in head}
    missing = [
        name
        for name, value in below.items()
        if torch.equal(value, start[name]) and not (name in state and _same(value, state[name]))
    ]
    filled = 1 - _count(below[name] for name in missing) / max(_count(below.values()), 1)
    if filled < ENOUGH:
        raise InputError(
            f"{file} is not of this network: {filled:.0%} of its parameters below the head came from the file, "
            f"{ENOUGH:.0%} are needed. {_mismatches(missing, below, state)} Name the file of this architecture."
        )
    if missing:
        log.warning("%s fills %.1f %% of the network. %s", file, 100 * filled, _mismatches(missing, below, state))


def _same(value: torch.Tensor, stored: torch.Tensor) -> bool:
    return value.shape == stored.shape and torch.equal(value, stored.to(value.dtype))


def _count(tensors: Iterable[torch.Tensor]) -> int:
    return sum(math.prod(tensor.shape) for tensor in tensors)


def _mismatches(missing: list[str], below: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> str:
    """The first parameters without a value in the file, and the first names of the file the network has not."""
    wanted = [
        f"{name} {tuple(below[name].shape)}"
        + (f" (the file has {tuple(state[name].shape)})" if name in state else " (not in the file)")
        for name in missing[:3]
    ]
    unknown = [name for name in state if name not in below][:3]
    left = f" The file begins with {', '.join(list(state)[:3])}." if unknown else ""
    return f"Not filled: {'; '.join(wanted)}{' …' if len(missing) > 3 else ''}.{left}"
