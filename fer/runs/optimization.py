"""How a run's weights move: the optimizer over groups of parameters, and the schedule of its learning rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from fer.networks.freezing import blocks_of
from fer.runs.run import Hyperparameters
from model_utils import head_parameters

WARMUP_START = 0.01  # of the learning rate, in the first step of a warm-up


def make_optimizer(network: nn.Module, hyper: Hyperparameters, learning_rate: float) -> torch.optim.Optimizer:
    """The optimizer over what of `network` trains; torch's own for the three usual ones, else timm's of that name."""
    groups = parameter_groups(network, hyper, learning_rate)
    if hyper.optimizer == "sgd":
        return torch.optim.SGD(groups, learning_rate, hyper.momentum, nesterov=hyper.momentum > 0)
    if hyper.optimizer in ("adam", "adamw"):
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[hyper.optimizer]
        return kind(groups, learning_rate)
    from timm.optim import create_optimizer_v2

    return create_optimizer_v2(groups, hyper.optimizer, learning_rate, hyper.weight_decay, filter_bias_and_bn=False)


def parameter_groups(network: nn.Module, hyper: Hyperparameters, learning_rate: float) -> list[dict[str, Any]]:
    """The parameters that train, grouped by their own learning rate and weight decay, in the network's order.

    With `layer_decay` below 1 each block has that times the rate of the one after it, and the head the whole rate
    (BEiT, Bao et al. 2022, as timm does it).
    """
    scales, spared = _scales(network, hyper.layer_decay), _spared(network, hyper)
    head_decay = hyper.weight_decay if hyper.head_weight_decay is None else hyper.head_weight_decay
    decays = dict.fromkeys(head_parameters(network), head_decay) | dict.fromkeys(spared, 0.0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            key = (scales.get(parameter, 1.0), decays.get(parameter, hyper.weight_decay))
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "lr": learning_rate * scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]


def _scales(network: nn.Module, layer_decay: float) -> dict[nn.Parameter, float]:
    """What each parameter's learning rate is multiplied by; those left out by 1."""
    if layer_decay == 1:
        return {}
    blocks = blocks_of(network, head_parameters(network))
    return {
        parameter: layer_decay ** (len(blocks) - number) for number, block in enumerate(blocks) for parameter in block
    }


def _spared(network: nn.Module, hyper: Hyperparameters) -> set[nn.Parameter]:
    """What weight decay leaves alone: norms and biases, which have one dimension, and what timm says of a network."""
    if hyper.weight_decay_on == "all":
        return set()
    ask: Any = getattr(network, "no_weight_decay", tuple)
    named = ask()
    return {parameter for name, parameter in network.named_parameters() if parameter.ndim <= 1 or name in named}


# ---------------------------------------------------------------- the schedule


def make_scheduler(
    optimizer: torch.optim.Optimizer, hyper: Hyperparameters, epochs: int, steps: int
) -> lr_scheduler.LRScheduler:
    """The schedule over `epochs` of `steps` batches each: of the whole run, or of one of its stages."""
    rates = [group["lr"] for group in optimizer.param_groups]
    if hyper.schedule == "onecycle":
        cycled = bool({"momentum", "betas"} & optimizer.defaults.keys())
        return lr_scheduler.OneCycleLR(optimizer, rates, epochs=epochs, steps_per_epoch=steps, cycle_momentum=cycled)
    if hyper.schedule == "cosine":
        return _cosine(optimizer, hyper.warmup_epochs * steps, epochs * steps)
    if hyper.schedule == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=hyper.plateau_factor, patience=hyper.plateau_patience)
    return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)


def _cosine(optimizer: torch.optim.Optimizer, warmup: int, steps: int) -> lr_scheduler.LRScheduler:
    """Half a cosine down to zero over all `steps` (Loshchilov and Hutter 2017), after a linear rise over `warmup`."""
    fall = lr_scheduler.CosineAnnealingLR(optimizer, max(steps - warmup, 1))
    if not warmup:
        return fall
    rise = lr_scheduler.LinearLR(optimizer, WARMUP_START, total_iters=warmup)
    return lr_scheduler.SequentialLR(optimizer, [rise, fall], [warmup])


STEPPED_BY_BATCH = ("onecycle", "cosine")  # the others are stepped once an epoch, or never
