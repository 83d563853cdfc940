"""torchvision's networks for classification, where timm has none of that name: options, weights, a new head."""

from __future__ import annotations

from typing import Any

from torch import nn

from fer.networks.names import UnavailableWeightsError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what torchvision's weights were trained with


def torchvision_names() -> list[str]:
    """Names of torchvision's networks for classification of single pictures."""
    from torchvision import models

    return models.list_models(module=models)


def torchvision_tags(name: str) -> list[str]:
    """Names of the pretrained weights torchvision has for a network."""
    from torchvision import models

    return [weights.name for weights in models.get_model_weights(name)]


def create_torchvision(
    name: str, weights: str | None, size: int, options: dict[str, Any], channels: int = 3
) -> nn.Module:
    """The network with its own head, for pictures of `size` pixels.

    Raises InputError when the weights cannot be fetched, and TypeError or ValueError for options it has not.
    """
    from torchvision import models

    try:
        return models.get_model(name, weights=weights, **_defaults(name, size, channels) | options)
    except OSError as error:
        raise UnavailableWeightsError([f"{name}.{weights}"], type(error).__name__) from error


def _defaults(name: str, size: int, channels: int) -> dict[str, Any]:
    """What a network must be told: GoogLeNet's side heads answer in tuples; with weights it rescales its colours."""
    if name == "googlenet":
        return {"aux_logits": False, "transform_input": channels == 3}
    if name.startswith("vit_"):
        return {"image_size": size}
    return {"input_size": (size, size)} if name == "maxvit_t" else {}


def head_of(network: nn.Module) -> tuple[str, nn.Module]:
    """Name and module of the classifying layer: the last linear one; SqueezeNet has none and classifies by 1×1."""
    modules = list(network.named_modules())
    linear = [one for one in modules if isinstance(one[1], nn.Linear)]
    return (linear or [one for one in modules if isinstance(one[1], nn.Conv2d)])[-1]


def input_statistics(name: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of [0, 1] colours that a network's weights were trained with."""
    rescaled = name == "googlenet" and channels == 1  # of three channels it does that itself
    return ((0.5,) * 3, (0.5,) * 3) if rescaled else (MEAN, STD)


def gray_input(network: nn.Module) -> None:
    """Let the first convolution take one channel, its weights the sum over colours: gray pictures answer as before."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == 3, "pictures go elsewhere first"
    first.in_channels = 1
    first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))


def replace_head(network: nn.Module, classes: int, dropout: float) -> None:
    """Exchange the classifying layer for `classes` outputs after dropout, and those of side heads."""
    for side in side_heads(network):
        last = [name for name, module in side.named_modules() if isinstance(module, nn.Linear)][-1]
        setattr(side, last, nn.Linear(getattr(side, last).in_features, classes))
    name, last = head_of(network)
    if isinstance(last, nn.Linear):
        layer: nn.Module = nn.Linear(last.in_features, classes)
    else:
        assert isinstance(last, nn.Conv2d)
        layer = nn.Conv2d(last.in_channels, classes, 1)
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Sequential(nn.Dropout(dropout), layer))


def made_for(name: str) -> int:
    """The side in pixels that the weights of a network were trained for; 224 where it has none."""
    from torchvision import models

    return next((weights.transforms().crop_size[0] for weights in models.get_model_weights(name)), 224)


def side_heads(network: nn.Module) -> list[nn.Module]:
    """The heads in the middle of GoogLeNet and Inception, which train its early layers; empty where there are none."""
    found = [getattr(network, name, None) for name in ("aux1", "aux2", "AuxLogits")]
    return [head for head in found if isinstance(head, nn.Module)]
