"""Does a local file of weights fit a network? What of it was filled, and which tensors kept their random start."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils import InputError, log

ENOUGH = 0.9  # of the tensors below the head, and of their values, must come from the file; less is another network's
STATISTICS = ("running_mean", "running_var")  # of a BatchNorm: learnt too, though no parameters
# Where training programs put the tensors, as timm; the last two as DINO, whose teacher is the better network.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "teacher", "student")


def tensors_of(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors of a state dict, also where a training program wrapped it or a parallel one named them "module.…"."""
    inner = next((state[name] for name in WRAPPERS if isinstance(state.get(name), dict)), state)
    found = {name: value for name, value in inner.items() if torch.is_tensor(value)}
    return {name.removeprefix("module."): value for name, value in found.items()}


def named_as(state: dict[str, Any], own: Collection[str]) -> dict[str, torch.Tensor]:
    """The tensors of a state dict under the names of a network, of which `own` are all.

    Programs name them "backbone.…", "encoder_q.…", "model.backbone.…": the prefix is taken off behind which most of the
    network's names stand (of several alike the first), and what stands beside it, as projection heads, is left out.
    """
    tensors = tensors_of(state)
    found: Counter[str] = Counter()
    for name in tensors:
        places = [0, *(place + 1 for place, sign in enumerate(name) if sign == ".")]
        found.update(name[:place] for place in places if name[place:] in own)
    prefix = max(found, key=lambda one: (found[one], one == ""), default="")
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


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
    """Raise InputError when less than ENOUGH of the network below the head came from `file`; say what did.

    Also where a value in it now is not finite: its training would end at once, and blame the learning rate.

    `start`: the same network before it was filled; `state`: the file's tensors. A tensor was filled when it is no
    longer what it was, or is in the file as it is. (Names alone do not tell: timm renames those of old files.)
    """
    learnt = {name for name, _ in network.named_parameters() if name not in head}
    state_now = network.state_dict()
    below = {name: value for name, value in state_now.items() if name in learnt or name.endswith(STATISTICS)}
    missing = [
        name
        for name, value in below.items()
        if _same(value, start[name]) and not (name in state and _same(value, state[name]))
    ]
    values = 1 - _count(below[name] for name in missing) / max(_count(below.values()), 1)
    filled = min(values, 1 - len(missing) / max(len(below), 1))
    if filled < ENOUGH:
        raise InputError(
            f"{file} is not of this network: {filled:.0%} of it below the head came from the file, "
            f"{ENOUGH:.0%} are needed. {_mismatches(missing, below, state)} Name the file of this architecture."
        )
    if broken := [name for name, value in below.items() if not torch.isfinite(value).all()]:
        raise InputError(
            f"{file} holds values that are no numbers or infinite, first in {broken[0]}: the training that wrote it "
            "diverged. Name another file."
        )
    said = f"{len(below) - len(missing)} of {len(below)} tensors below the head came from {file}"
    if missing:
        log.warning("%s. %s", said, _mismatches(missing, below, state))
    else:
        log.info("%s", said)


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
