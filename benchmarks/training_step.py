"""Where the time of a small network's training step goes on this CPU, and what other ways of doing it bring.

    python benchmarks/training_step.py

First table: whole steps (forward, backward, SGD) of one ready batch, each way against the first, which is the
pipeline's on this computer. Second table, under "layers" of the JSON file and printed after it: every kind of layer
alone, forward and backward, as a share of all layers together, and what share of this computer's peak the
convolutions reach: the FLOP/s of one large matrix product in the same precision and with the same threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
import timm
import torch
from torch import nn

import fer.networks.small_networks  # noqa: F401  (registers them)
from fer.machine.precision import autocast_dtype, resolved_precision

PEAK_SIDE = 2048  # of the matrices whose product stands for the peak
PASSES = 3  # a training step does a convolution's work three times: forward, and by input and weights backward


def network_of(options: dict[str, Any], **different: Any) -> nn.Module:
    """The network under test; `different`: arguments of timm.create_model."""
    return timm.create_model(options["network"], num_classes=7, in_chans=1, drop_rate=0.3, **different).train()


def step(options: dict[str, Any], **how: Any) -> Callable[[], int]:
    """One training step as a function; `how` names what differs from the pipeline's way."""
    together = torch.channels_last if how.get("channels_last", True) else torch.contiguous_format
    network = network_of(options, **how.get("different", {})).to(memory_format=together)
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, 0.9, nesterov=True)
    forward = torch.compile(network) if how.get("compiled") else network
    precision = how.get("precision", resolved_precision("auto", "cpu", options["network"]))
    dtype = autocast_dtype(precision)
    count, side = how.get("batch", options["batch"]), how.get("side", options["side"])
    pixels = torch.randn(count, 1, side, side).contiguous(memory_format=together)
    labels = torch.arange(count) % 7

    def work() -> int:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            logits = forward(pixels)
        torch.nn.functional.cross_entropy(logits.float(), labels, label_smoothing=0.1).backward()
        optimizer.step()
        return count

    return work


def ways(options: dict[str, Any]) -> dict[str, Callable[[], int]]:
    """The ways of doing a step that are compared; the first is the pipeline's."""
    batch = options["batch"]
    found = {
        "as the pipeline does it": step(options),
        "fp32": step(options, precision="fp32"),
        "channels apart": step(options, channels_last=False),
        f"batches of {batch // 2}": step(options, batch=batch // 2),
        f"batches of {batch * 2}": step(options, batch=batch * 2),
        "a third smaller side": step(options, side=options["side"] * 2 // 3),
    }
    if options["network"] == "resnet9":
        for widths in ((30, 60, 120, 240), (36, 72, 144, 288), (48, 96, 192, 384)):
            found["widths " + ", ".join(map(str, widths))] = step(options, different={"widths": widths})
    if options["compiled"]:
        found["torch.compile"] = step(options, compiled=True)
    return found


def run(options: dict[str, Any]) -> list[harness.Row]:
    """A row for each way of doing the step, then one for each kind of layer."""
    found = harness.in_turn(ways(options), options["rounds"])
    first = next(iter(found))
    names = {"ours/s": "pictures/s", "times": "times the first", "times by CPU": "times by CPU", "n": "n"}
    rows = []
    for name, rounds in found.items():
        row = harness.compared(rounds, found[first])
        rows.append({"what": name} | {new: row[old] for old, new in names.items()})
    return rows + layers(options)


# ---------------------------------------------------------------- layer by layer


def layers(options: dict[str, Any]) -> list[harness.Row]:
    """Every layer alone, forward and backward: its share of all, and a convolution's share of the peak."""
    precision = resolved_precision("auto", "cpu", options["network"])
    dtype = autocast_dtype(precision) or torch.float32
    peak = _peak(dtype, options["rounds"])
    inputs = _inputs(network_of(options).to(memory_format=torch.channels_last), options)
    seconds = {name: _alone(layer, shape, dtype, options["rounds"]) for name, (layer, shape) in inputs.items()}
    total = sum(seconds.values())
    rows = []
    for name, (layer, shape) in inputs.items():
        row: harness.Row = {"what": f"{name}: {type(layer).__name__}", "share of the layers": seconds[name] / total}
        if isinstance(layer, nn.Conv2d):
            row["share of the peak"] = PASSES * _flops(layer, shape) / seconds[name] / peak
        rows.append(row)
    return rows


def _inputs(network: nn.Module, options: dict[str, Any]) -> dict[str, tuple[nn.Module, torch.Size]]:
    """Each layer without parts, with the shape of what it receives in a step."""
    found: dict[str, tuple[nn.Module, torch.Size]] = {}
    hooks = [
        layer.register_forward_hook(lambda one, given, _, name=name: found.update({name: (one, given[0].shape)}))
        for name, layer in network.named_modules()
        if not list(layer.children()) and not isinstance(layer, nn.Identity)
    ]
    with torch.no_grad():
        network(torch.randn(options["batch"], 1, options["side"], options["side"]))
    for hook in hooks:
        hook.remove()
    return found


def _alone(layer: nn.Module, shape: torch.Size, dtype: torch.dtype, rounds: int) -> float:
    """CPU seconds of one forward and backward pass of a layer, the least of several."""
    given = torch.randn(shape, dtype=dtype)
    if len(shape) == 4:
        given = given.contiguous(memory_format=torch.channels_last)
    # an in-place layer must not change a leaf: it receives what a free operation hands on
    given.requires_grad_()

    def work() -> None:
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            result = layer(given.view_as(given).clone() if getattr(layer, "inplace", False) else given)
        result.backward(torch.ones_like(result))

    return _least(work, rounds)


def _flops(layer: nn.Conv2d, shape: torch.Size) -> float:
    """Floating-point operations of one forward pass: two for each multiply-add."""
    side = (shape[-1] + 2 * int(layer.padding[0]) - layer.kernel_size[0]) // layer.stride[0] + 1
    return 2.0 * shape[0] * side * side * layer.weight.numel()


def _peak(dtype: torch.dtype, rounds: int) -> float:
    """FLOP/s of a large matrix product, by CPU time."""
    one, other = torch.randn(2, PEAK_SIDE, PEAK_SIDE).to(dtype)
    return 2.0 * PEAK_SIDE**3 / _least(lambda: one @ other, rounds)


def _least(work: Callable[[], Any], rounds: int) -> float:
    work()
    return min(harness.timed(work)[1].cpu for _ in range(3 * rounds))


def main() -> None:
    """The command."""
    title = "Training step of {network}, {batch} pictures of {side} px gray"
    harness.command("training_step", __doc__, title, run, network="resnet9", batch=128, side=48, rounds=5, compiled=0)


if __name__ == "__main__":
    main()
