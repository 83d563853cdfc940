"""`python main.py --models [WORD]`: what networks there are, their size and cost, and whether their weights are here.

Read from a stored table, so that nothing is built and neither torch nor timm is imported.
"""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fer.networks.names import HUB_FILES, SHORT_NAMES
from utils import InputError

TABLE = Path(__file__).with_name("networks.csv")  # written by benchmarks/networks_table.py
CARDS = (16, 140)  # GB of memory, of a common and of a large GPU
USABLE = 0.85  # of a card's memory; the rest is the driver's and lies between blocks
WORKSPACE = 0.6e9  # bytes that convolutions work in, whatever the batch
WORKING = 1.3  # times what is saved for the backward pass: gradients of activations come and go beside it
LARGEST_BATCH = 512
OF_A_WEIGHT = 16  # bytes in float32: itself, its gradient, two moments of Adam


@dataclass(frozen=True)
class Network:
    """One row of the table. None where the meta device could not follow the network."""

    name: str
    library: str
    input_size: int
    parameters: int | None
    flops: int | None  # of one picture of `input_size`, two per multiply-add
    saved_mb: float | None  # what one picture of a training step keeps for the backward pass, float32
    tags: tuple[str, ...]

    def batch_size(self, gigabytes: int) -> int | None:
        """The largest power of two that a GPU of so much memory trains in float32 with Adam, at most LARGEST_BATCH."""
        if not self.saved_mb or self.parameters is None:
            return None
        room = gigabytes * 1e9 * USABLE - WORKSPACE - OF_A_WEIGHT * self.parameters
        pictures = int(room / (self.saved_mb * 1e6 * WORKING))
        return min(1 << max(pictures, 1).bit_length() - 1, LARGEST_BATCH)


@lru_cache(maxsize=1)
def networks() -> dict[str, Network]:
    """Every network of the table by its name."""
    with TABLE.open(encoding="utf-8", newline="") as stream:
        return {row["network"]: _network(row) for row in csv.DictReader(stream)}


def _network(row: dict[str, str]) -> Network:
    return Network(
        row["network"],
        row["library"],
        int(row["input_size"]),
        int(row["parameters"]) if row["parameters"] else None,
        int(row["flops"]) if row["flops"] else None,
        float(row["saved_mb"]) if row["saved_mb"] else None,
        tuple(row["tags"].split()),
    )


def matching(word: str) -> list[str]:
    """Names that hold `word`, short ones first; case does not matter. Raises InputError where none does."""
    every = [*SHORT_NAMES, *(name for name in networks() if name not in SHORT_NAMES)]
    found = [name for name in every if word.lower() in name.lower()]
    if not found:
        near = difflib.get_close_matches(word.lower(), every, n=3, cutoff=0.4)
        raise InputError(
            f"--models {word}: no name of a network holds it. Nearest: {', '.join(near) or 'none'}. "
            "Without a word it lists the usual ones."
        )
    return found


def network_of(name: str) -> Network:
    """The network that a name, short or not, stands for."""
    return networks()[SHORT_NAMES.get(name, (name, None))[0]]


# ---------------------------------------------------------------- weights at hand


def tags_here(network: Network) -> set[str]:
    """Tags of pretrained weights whose file lies on this computer, where the libraries look for it."""
    if network.library == "torchvision":
        files = list(_torch_checkpoints().glob(f"{network.name}-*.pth"))
        return {network.tags[0]} if files and network.tags else set()
    hub = _hub_cache()
    return {tag for tag in network.tags if _is_cached(hub / f"models--timm--{network.name}.{tag}")}


def _is_cached(repository: Path) -> bool:
    return any((snapshot / file).exists() for snapshot in repository.glob("snapshots/*") for file in HUB_FILES)


def _hub_cache() -> Path:
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _torch_checkpoints() -> Path:
    """As torch.hub.get_dir, without the seconds that importing torch takes."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser() / "hub" / "checkpoints"


# ---------------------------------------------------------------- as text


def model_lines(word: str | None) -> list[str]:
    """The list as text: the short names, or every name that holds `word`. Raises InputError where none does."""
    names = list(SHORT_NAMES) if word is None else matching(word)
    width = max(map(len, names))
    head = f"{'name':<{width}}  parameters     GFLOPs   px   batch at 16 / 140 GB   weights (* on this computer)"
    return [head, *(_line(name, width) for name in names), "", *_footer(names)]


def _line(name: str, width: int) -> str:
    network = network_of(name)
    here = tags_here(network)
    tags = sorted(network.tags, key=lambda tag: (tag not in here, tag != usual_tag(name)))
    shown = ", ".join(tag + "*" * (tag in here) for tag in tags[:3]) or "none"
    more = f" and {len(tags) - 3} more" if len(tags) > 3 else ""
    parameters = "?" if network.parameters is None else f"{network.parameters / 1e6:.1f} M"
    flops = "?" if network.flops is None else f"{network.flops / 1e9:.2f}"
    small, large = (network.batch_size(card) or "?" for card in CARDS)
    return (
        f"{name:<{width}}  {parameters:>10}  {flops:>9}  {network.input_size:>3}"
        f"  {f'{small} / {large}':>20}   {shown}{more}"
    )


def usual_tag(name: str) -> str | None:
    """The weights a short name usually starts from; for others the first there are."""
    if name in SHORT_NAMES:
        return SHORT_NAMES[name][1]
    return next(iter(network_of(name).tags), None)


def _footer(names: Iterable[str]) -> list[str]:
    """How a network of the list is written in config.py, and what the numbers mean."""
    name = next((one for one in names if usual_tag(one)), next(iter(names)))
    network, tag = network_of(name), usual_tag(name)
    row = {"batch_size": network.batch_size(CARDS[0]) or 32, "weights": tag, "input_size": network.input_size}
    written = ", ".join(f"{_quoted(key)}: {_quoted(value)}" for key, value in row.items())
    return [
        f"A row of MODEL_CONFIG is a network: {_quoted(name)}: {{{written}}},",
        f"FLOPs of one picture of px, two per multiply-add. Batches at px for GPUs of {CARDS[0]} and {CARDS[1]} GB: "
        f"float32, Adam, estimated.",
        f"{len(networks())} networks are known; --models WORD lists those whose name holds WORD.",
    ]


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
