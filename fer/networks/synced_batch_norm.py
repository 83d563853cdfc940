"""BatchNorm over the pictures of all processes that train together (SYNC_BATCH_NORM).

torch.nn.SyncBatchNorm does the same, but on GPUs alone, and replacing layers by it loses the activations that timm
keeps inside its norms. Here layers stay as they are: while a network is called, another function answers for torch's
`batch_norm`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from fer.machine.processes import Processes
from utils import InputError


def batch_norms_of_all(processes: Processes, synced: bool) -> AbstractContextManager:
    """While it is entered, BatchNorm that trains normalises by all processes' pictures; alone, or unless `synced`, no.

    Every process has to call the same network, and to go backward through it.
    """
    return _SyncedBatchNorm(processes) if synced and processes.count > 1 else nullcontext()


def refuse_unsynced(network: nn.Module, processes: Processes, synced: bool) -> None:
    """Raise InputError where a network has a norm over the batch that is not torch's and would not be synchronised."""
    if not synced or processes.count == 1:
        return
    kinds = {
        type(module).__name__
        for module in network.modules()
        if hasattr(module, "running_var") and not isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
    if kinds := {kind for kind in kinds if not kind.startswith("Frozen")}:
        raise InputError(
            f"{type(network).__name__} normalises batches by {', '.join(sorted(kinds))}, which is known within one "
            "process only. Start python main.py in one process, or set SYNC_BATCH_NORM = False (another run)."
        )


class _SyncedBatchNorm(TorchFunctionMode):
    def __init__(self, processes: Processes):
        super().__init__()
        self.processes = processes

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        named = named or {}
        if function is functional.batch_norm and named["training"]:
            return self._batch_norm(*given, **named)
        return function(*given, **named)

    def _batch_norm(
        self,
        pixels: torch.Tensor,
        running_mean: torch.Tensor | None,
        running_var: torch.Tensor | None,
        weight: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        training: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> torch.Tensor:
        """As torch.nn.functional.batch_norm of [B, C, ...], B counting the pictures of all processes."""
        values = pixels.float()
        mean, variance, count = self._statistics(values)
        with torch.no_grad():
            if running_mean is not None:
                running_mean.lerp_(mean, momentum)
            if running_var is not None:
                running_var.lerp_(variance * count / (count - 1), momentum)
        scale = (variance + eps).rsqrt() if weight is None else weight * (variance + eps).rsqrt()
        shift = -mean * scale if bias is None else bias - mean * scale
        shape = (1, -1, *[1] * (pixels.ndim - 2))
        return (values * scale.view(shape) + shift.view(shape)).to(pixels.dtype)

    def _statistics(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean and variance per channel [C] over all processes, and how many values a channel has there, [].

        The variance is summed from each process's own and the distance of its mean: a mean of squares less a squared
        mean would lose digits where means are large.
        """
        own_variance, own_mean = torch.var_mean(values, [0, *range(2, values.ndim)], correction=0)
        own = values.new_full((1,), values.numel() / values.shape[1])
        sums = self._sum(torch.cat([own * own_mean, own]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        variance = self._sum(own * (own_variance + (own_mean - mean) ** 2)) / count
        return mean, variance, count

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        return _Sum.apply(tensor, self.processes)  # type: ignore[no-any-return, unused-ignore]


class _Sum(torch.autograd.Function):
    """The sum over processes, and of its gradients on the way back: each process's loss depends on all of them."""

    @staticmethod
    def forward(context: Any, tensor: torch.Tensor, processes: Processes) -> torch.Tensor:
        context.processes = processes
        return processes.sum(tensor.clone())

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return context.processes.sum(gradients[0].contiguous().clone()), None
