"""Which networks and pretrained weights there are, and where these lie: asked before anything is read or built."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from fer.settings.settings import ModelRow
from utils import InputError

# The names timm looks for in a repository of the Hugging Face hub, in this order.
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


class UnavailableWeightsError(InputError):
    """Pretrained weights that are neither on this machine nor to be fetched. `names`: which ones."""

    def __init__(self, names: Sequence[str], reason: str):
        self.names = tuple(names)
        super().__init__(
            f"The pretrained weights {', '.join(names)} are not on this machine and cannot be fetched ({reason}). "
            "Three ways out: connect this machine to the network once; download the file elsewhere and name it as "
            '"weights_file" in MODEL_CONFIG; or set PRETRAINED = False to train from scratch.'
        )


@dataclass(frozen=True)
class WeightsSource:
    """Pretrained weights: `name` is "<network>.<tag>", `url` where they are fetched, `here`: no need to."""

    name: str
    url: str
    here: bool


@lru_cache(maxsize=1)
def own_networks() -> frozenset[str]:
    """The networks of networks/small_networks.py, read from its text: importing it costs seconds of torch and timm."""
    tree = ast.parse(Path(__file__).with_name("small_networks.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return frozenset(
        node.name
        for node in functions
        if any(isinstance(mark, ast.Name) and mark.id == "register_model" for mark in node.decorator_list)
    )


def fetched_tag(row: ModelRow, pretrained: bool) -> str | None:
    """The tag of the weights a row starts from; None from scratch and from a file."""
    return row.weights if pretrained and row.weights_file is None else None


def network_problem(name: str, row: ModelRow, pretrained: bool) -> str | None:
    """Why a row of MODEL_CONFIG names no network, or no pretrained weights of it; None when it does.

    Imports timm (and torchvision where timm lacks the name) unless the network is one of the project's own.
    """
    architecture, tag = row.architecture or name, row.weights if pretrained else None
    library, tags = "this project", []
    if architecture not in own_networks():
        import timm

        if timm.is_model(architecture):
            library, tags = "timm", [found.split(".", 1)[1] for found in timm.list_pretrained(f"{architecture}.*")]
        else:
            from torchvision import models

            if architecture not in models.list_models():
                near = difflib.get_close_matches(architecture, [*timm.list_models(), *models.list_models()], n=3)
                return f'MODEL_CONFIG "{name}": no network "{architecture}" in timm or torchvision. Nearest: {near}'
            library, tags = "torchvision", [weights.name for weights in models.get_model_weights(architecture)]
    if tag is not None and tag not in tags:
        return f'MODEL_CONFIG "{name}": no weights "{tag}". {library} has: {", ".join(tags) or "none"}'
    return None


def weights_source(architecture: str, tag: str) -> WeightsSource:
    """Where the weights `tag` of a network come from. Both must exist (see `network_problem`)."""
    import timm

    name = f"{architecture}.{tag}"
    if not timm.is_model(architecture):
        from torchvision import models

        return _from_url(name, models.get_model_weights(architecture)[tag].url)
    config: Any = timm.get_pretrained_cfg(name)
    return _from_hub(name, config) if config.hf_hub_id else _from_url(name, config.url)


def _from_hub(name: str, config: Any) -> WeightsSource:
    from huggingface_hub import hf_hub_url, try_to_load_from_cache

    repository, _, revision = config.hf_hub_id.partition("@")
    files = [config.hf_hub_filename] if config.hf_hub_filename else HUB_FILES
    cached = [try_to_load_from_cache(repository, file, revision=revision or None) for file in files]
    url = hf_hub_url(repository, files[0], revision=revision or None)
    return WeightsSource(name, url, any(isinstance(path, str) for path in cached))


def _from_url(name: str, url: str) -> WeightsSource:
    from torch.hub import get_dir

    file = Path(get_dir()) / "checkpoints" / PurePosixPath(urlsplit(url).path).name
    return WeightsSource(name, url, file.is_file())
