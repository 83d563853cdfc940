"""Promises about BatchNorm over several processes: alone it is torch's, and what it cannot do is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d, EvoNorm2dB0
from torch import nn

from fer.machine.processes import ALONE, Processes
from fer.networks.synced_batch_norm import _SyncedBatchNorm, refuse_unsynced
from utils import InputError


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.BatchNorm2d(5), (6, 5, 3, 3)), (nn.BatchNorm1d(5, momentum=None), (6, 5)), (BatchNormAct2d(5), (6, 5, 3, 3)),
     (nn.BatchNorm2d(5, affine=False, track_running_stats=False), (6, 5, 3, 3))],
    ids=["2d", "1d", "timm", "plain"],
)  # fmt: skip
def test_of_one_process_it_is_torchs(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """Answers, gradients and running statistics, with the activation that timm keeps inside."""
    torch.manual_seed(0)
    layer, other = copy.deepcopy(layer), copy.deepcopy(layer)
    values = torch.randn(shape) * 0.1 + 3  # a mean far from 0
    turn = torch.randn(shape)
    found = []
    for module, mode in ((layer, None), (other, _SyncedBatchNorm(ALONE))):
        given = values.clone().requires_grad_()
        if mode is None:
            answer = module(given)
        else:
            with mode:
                answer = module(given)
        (answer * turn).sum().backward()
        parameters = [parameter.grad for parameter in module.parameters()]
        found.append([answer, given.grad, *parameters, *module.buffers()])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours.float(), theirs.float(), atol=1e-4, rtol=1e-4)


def test_while_it_does_not_train_it_uses_the_running_statistics() -> None:
    layer = nn.BatchNorm2d(3).eval()
    values = torch.randn(2, 3, 4, 4)
    with _SyncedBatchNorm(Processes(0, 2)):  # would wait for the other one
        assert torch.allclose(layer(values), values, atol=1e-4)  # still 0 and 1


def test_norms_that_cannot_be_synchronised_are_refused_by_name() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), EvoNorm2dB0(4))
    with pytest.raises(InputError, match="EvoNorm2dB0"):
        refuse_unsynced(network, Processes(0, 2), True)
    refuse_unsynced(network, Processes(0, 2), False)
    refuse_unsynced(network, ALONE, True)
    refuse_unsynced(nn.Sequential(nn.BatchNorm2d(4), BatchNormAct2d(4)), Processes(0, 2), True)
