"""Promises about optimizers and schedules: who learns how fast, what weight decay spares, the course of the rate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import timm
import torch
from test_runs import HYPER
from timm.optim import param_groups_layer_decay

from fer.runs.optimization import STEPPED_BY_BATCH, make_optimizer, make_scheduler, parameter_groups
from fer.settings.training_values import OPTIMIZERS


def tiny() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model("test_vit", num_classes=7, img_size=32)


def test_one_group_where_nothing_is_set() -> None:
    network = tiny()
    (group,) = parameter_groups(network, HYPER, 1e-4)
    assert group["params"] == list(network.parameters()) and (group["lr"], group["weight_decay"]) == (1e-4, 0.01)


@pytest.mark.parametrize("name", ["test_vit", "resnet18"])
def test_layer_decay_and_spared_weights_are_those_of_timm(name: str) -> None:
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=7)
    hyper = replace(HYPER, layer_decay=0.7, weight_decay_on="weights", weight_decay=0.05)
    skipped = network.no_weight_decay() if hasattr(network, "no_weight_decay") else ()
    theirs = param_groups_layer_decay(network, 0.05, skipped, layer_decay=0.7)
    of_theirs = {p: (g["lr_scale"], g["weight_decay"]) for g in theirs for p in g["params"]}
    of_ours = {p: (g["lr"], g["weight_decay"]) for g in parameter_groups(network, hyper, 1.0) for p in g["params"]}
    assert of_ours.keys() == of_theirs.keys()
    head = set(network.get_classifier().parameters())
    factor = {of_theirs[p][0] / of_ours[p][0] for p in of_ours.keys() - head}
    assert factor == {1.0} or factor == {pytest.approx(1 / 0.7)}  # where timm counts the last norm with the head
    assert all(of_ours[p][0] == 1 for p in head)
    assert all(of_ours[p][1] == of_theirs[p][1] for p in of_ours)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name: str) -> None:
    network = tiny()
    optimizer = make_optimizer(network, replace(HYPER, optimizer=name, weight_decay=0.0), 1e-3)
    pixels, truth = torch.randn(14, 3, 32, 32), torch.arange(14) % 7
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(pixels), truth)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def rates(epochs: int = 4, steps: int = 5, **changes: Any) -> list[float]:
    hyper = replace(HYPER, **changes)
    optimizer = make_optimizer(torch.nn.Linear(2, 2), hyper, 1.0)
    scheduler = make_scheduler(optimizer, hyper, epochs, steps)
    found = []
    for _ in range(epochs * steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if hyper.schedule in STEPPED_BY_BATCH:
            scheduler.step()
    return found


def test_cosine_rises_through_its_warm_up_and_falls_to_nothing() -> None:
    found = rates(schedule="cosine", warmup_epochs=1)
    assert found[0] == pytest.approx(0.01) and max(found) == found[5] == pytest.approx(1.0)
    assert found[:6] == sorted(found[:6]) and found[5:] == sorted(found[5:], reverse=True)
    middle = (1 + torch.cos(torch.tensor(torch.pi * 7 / 15))) / 2
    assert found[12] == pytest.approx(float(middle)) and found[-1] < 0.02
    assert rates(schedule="cosine")[0] == 1.0


def test_onecycle_works_with_optimizers_of_all_kinds() -> None:
    for name in ("sgd", "lion", "muon"):
        found = rates(schedule="onecycle", optimizer=name)
        assert max(found) == pytest.approx(1.0, rel=0.01) and found[-1] < 0.01
