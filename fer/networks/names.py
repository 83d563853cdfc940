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

OWN_FILES = ("simple_cnn.py", "small_networks.py")
# Short names: of the network each stands for, and of the weights that are usual for it (None: there are none).
SHORT_NAMES: dict[str, tuple[str, str | None]] = {
    "resnet18": ("resnet18", "a1_in1k"),
    "resnet34": ("resnet34", "a1_in1k"),
    "resnet50": ("resnet50", "a1_in1k"),
    "resnet101": ("resnet101", "a1h_in1k"),
    "efficientnet_b0": ("efficientnet_b0", "ra_in1k"),
    "efficientnet_b1": ("efficientnet_b1", "ft_in1k"),
    "efficientnet_b2": ("efficientnet_b2", "ra_in1k"),
    "efficientnet_b3": ("efficientnet_b3", "ra2_in1k"),
    "efficientnet_b4": ("efficientnet_b4", "ra2_in1k"),
    "efficientnet_b5": ("efficientnet_b5", "sw_in12k_ft_in1k"),
    "tf_efficientnet_b6": ("tf_efficientnet_b6", "aa_in1k"),
    "tf_efficientnet_b7": ("tf_efficientnet_b7", "ra_in1k"),
    "tf_efficientnetv2_s": ("tf_efficientnetv2_s", "in21k_ft_in1k"),
    "tf_efficientnetv2_m": ("tf_efficientnetv2_m", "in21k_ft_in1k"),
    "efficientvit_b1": ("efficientvit_b1", "r224_in1k"),
    "vit_tiny": ("vit_tiny_patch16_224", "augreg_in21k_ft_in1k"),
    "vit_small": ("vit_small_patch16_224", "augreg_in21k_ft_in1k"),
    "vit_base": ("vit_base_patch16_224", "augreg2_in21k_ft_in1k"),
    "deit_small": ("deit_small_patch16_224", "fb_in1k"),
    "swin_tiny": ("swin_tiny_patch4_window7_224", "ms_in1k"),
    "convnext_tiny": ("convnext_tiny", "in12k_ft_in1k"),
    "densenet121": ("densenet121", "ra_in1k"),
    "vgg16": ("vgg16", "tv_in1k"),
    "vgg19": ("vgg19", "tv_in1k"),
    "inception_v3": ("inception_v3", "tv_in1k"),
    "googlenet": ("googlenet", "IMAGENET1K_V1"),
    "squeezenet1_1": ("squeezenet1_1", "IMAGENET1K_V1"),
    "mobilenetv3": ("mobilenetv3_large_100", "ra_in1k"),
    "mobilenetv4": ("mobilenetv4_conv_small", "e2400_r224_in1k"),
    "dinov2_small": ("vit_small_patch14_dinov2", "lvd142m"),
    "dinov3_small": ("vit_small_patch16_dinov3", "lvd1689m"),
    "simple_cnn": ("simple_cnn", None),
    "resnet9": ("resnet9", None),
    "small_residual": ("small_residual", None),
    "tiny_plain": ("tiny_plain", None),
    "tiny_residual": ("tiny_residual", None),
}
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
    """This project's networks, read from the text of their files: importing these costs seconds of torch and timm."""
    trees = [ast.parse(Path(__file__).with_name(file).read_text(encoding="utf-8")) for file in OWN_FILES]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return frozenset(
        node.name
        for node in functions
        if any(isinstance(mark, ast.Name) and mark.id == "register_model" for mark in node.decorator_list)
    )


def architecture_of(name: str, row: ModelRow) -> str:
    """The network a row of MODEL_CONFIG is of: what it says, else what its name stands for."""
    return row.architecture or SHORT_NAMES.get(name, (name, None))[0]


def fetched_tag(row: ModelRow, pretrained: bool) -> str | None:
    """The tag of the weights a row starts from; None from scratch and from a file."""
    return row.weights if pretrained and row.weights_file is None else None


def network_problem(name: str, row: ModelRow, pretrained: bool) -> str | None:
    """Why a row of MODEL_CONFIG names no network, or no pretrained weights of it; None when it does.

    Imports timm (and torchvision where timm lacks the name) unless the network is one of the project's own.
    """
    architecture, tag = architecture_of(name, row), row.weights if pretrained else None
    library, tags = "this project", []
    if architecture not in own_networks():
        import timm

        if timm.is_model(architecture):
            library, tags = "timm", [found.split(".", 1)[1] for found in timm.list_pretrained(f"{architecture}.*")]
        else:
            from torchvision import models

            if architecture not in models.list_models():
                near = difflib.get_close_matches(architecture, [*timm.list_models(), *models.list_models()], n=3)
                listed = "python main.py --models lists them."
                return (
                    f'MODEL_CONFIG "{name}": no network "{architecture}" in timm or torchvision. Nearest: {near}. '
                    f"{listed}"
                )
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
