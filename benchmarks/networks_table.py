"""Writes fer/networks/networks.csv: size, cost and memory of every network of timm, torchvision and this project.

    python benchmarks/networks_table.py [--missing]

Nothing is computed: networks are built on torch's meta device, where only shapes are followed. About half an hour on
one core for all of them; `--missing` adds those the table lacks (a new timm). Columns: `network`; `library`;
`input_size`, pixels a side it was made for; `parameters`; `flops` of one picture, two per multiply-add; `saved_mb`,
what one picture of a training step keeps for the backward pass, in float32; `tags` of its pretrained weights.
1000 classes, as shipped.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pandas as pd
import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fer.networks.catalogue import TABLE
from fer.networks.names import own_networks
from fer.networks.torchvision_networks import made_for, torchvision_names, torchvision_tags
from fer.settings.settings import ModelRow
from model_utils import build_network

SMALL = 48  # pixels, of this project's own networks
PICTURES = 2  # of a step: BatchNorm needs two


def measured(name: str) -> dict[str, Any]:
    """One row of the table; empty cells where the meta device cannot follow the network."""
    found = unmeasured(name)
    size = int(found["input_size"])
    row = ModelRow(batch_size=1, weights=None, input_size=size)
    parts: dict[str, Callable[[nn.Module], float]] = {
        "parameters": lambda network: sum(p.numel() for p in network.parameters()),
        "flops": lambda network: flops(network, size),
        "saved_mb": lambda network: round(saved_bytes(network, size) / 1e6, 1),
    }
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = build_network(name, row, 1000, False)[0]
            for part, measure in parts.items():
                found[part] = measure(network)
    except Exception as error:  # whatever a network of a library does that this device cannot follow
        print(name, type(error).__name__, str(error)[:80], flush=True)
    return found


def unmeasured(name: str) -> dict[str, Any]:
    """What is known of a network before it is built."""
    size, library = input_size(name)
    return {"network": name, "library": library, "input_size": size, "tags": tags(name, library)}


def input_size(name: str) -> tuple[int, str]:
    """The side a network was made for, and whose it is."""
    if name in own_networks():
        return SMALL, "this project"
    if timm.is_model(name):
        config = timm.get_pretrained_cfg(name)
        return (config.input_size[-1] if config is not None else 224), "timm"
    return made_for(name), "torchvision"


def tags(name: str, library: str) -> str:
    """Names of its pretrained weights, with blanks between; timm's and torchvision's usual ones first."""
    if library == "timm":
        usual = timm.get_pretrained_cfg(name)
        found = [one.split(".", 1)[1] for one in timm.list_pretrained(f"{name}.*")]
        return " ".join(sorted(found, key=lambda tag: usual is None or tag != usual.tag))
    return " ".join(torchvision_tags(name)) if library == "torchvision" else ""


def flops(network: nn.Module, size: int) -> int:
    """Of one picture, two per multiply-add."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(torch.zeros(1, 3, size, size))
    return counter.get_total_flops()


def saved_bytes(network: nn.Module, size: int) -> float:
    """What one picture of a training step keeps until its backward pass."""
    own = {p.untyped_storage()._cdata for p in network.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network.train()(torch.zeros(PICTURES, 3, size, size))
    return sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own) / PICTURES


def main() -> None:
    """Name them all, measure, and write after every twenty."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("names", nargs="*", help="these alone")
    told = parser.parse_args()
    stored = pd.read_csv(TABLE).to_dict("records") if TABLE.is_file() else []
    known = {str(row["network"]): row for row in stored if told.names or told.missing}
    names = list(dict.fromkeys([*sorted(own_networks()), *timm.list_models(), *torchvision_names()]))
    rows = {name: known.get(name) or unmeasured(name) for name in names}
    wanted = told.names or [name for name in names if pd.isna(rows[name].get("parameters"))]
    for number, name in enumerate(wanted):
        rows[name] = measured(name)
        if number % 20 == 0:
            write(list(rows.values()))
    write(list(rows.values()))


def write(rows: list[dict[str, Any]]) -> None:
    """The table, sorted by name, whole numbers as such."""
    table = pd.DataFrame(rows).sort_values("network")
    whole = {name: table[name].astype("Int64") for name in ("input_size", "parameters", "flops")}
    table.assign(**whole).to_csv(TABLE, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
