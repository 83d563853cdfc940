"""Where a network looked: Grad-CAM (Selvaraju et al. 2017) of each face, for convolutions and for transformers.

The map is of the last layer that still has places: channels weighted by the gradient of one class's logit. It says
what moved that logit, not what a person would have looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fer.machine.extras import need_extra
from utils import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fer.inference.trained_model import TrainedModel

SHOWN_SIDE = 160  # pixels of a face on a strip
Reshape = Callable[["torch.Tensor"], "torch.Tensor"]


def grad_cam(model: TrainedModel, pixels: np.ndarray, classes: Sequence[int] | None = None) -> np.ndarray:
    """Heat of each face, float32 [N, S, S] in 0..1 at network size, for the class given or the most probable one.

    `pixels`: uint8 [N, S, S, C] as `Face.pixels`. Raises InputError when the extra `attention` is not installed, or
    the network has no layer with places.
    """
    need_extra("attention", "pytorch_grad_cam")
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    if not len(pixels):
        return np.empty((0, model.expected.size, model.expected.size), dtype=np.float32)
    seen = _as_seen(model, pixels)
    layer, reshape = layer_with_places(model.network, seen[:1])
    if classes is None:
        classes = model.probabilities(pixels).argmax(axis=1).tolist()
    with GradCAM(model.network, [layer], reshape_transform=reshape) as cam:
        return np.asarray(cam(seen, [ClassifierOutputTarget(number) for number in classes]), dtype=np.float32)


def _as_seen(model: TrainedModel, pixels: np.ndarray) -> torch.Tensor:
    import torch

    from data_loader import to_network_input

    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return to_network_input([(planes, torch.zeros(len(planes)))], model.expected, model.device)[0].contiguous()


def layer_with_places(network: nn.Module, picture: torch.Tensor) -> tuple[nn.Module, Reshape | None]:
    """The layer whose channels are weighed, and how its output becomes [N, C, h, w] (None: it is).

    Of a transformer the normalisation before its last attention, since behind it only the class token reaches the
    logits; of any other network the last layer in order of execution with more than one place.
    """
    block = _last_block(network)
    found = _outputs(network, picture)
    if block is not None and block in found:
        return block, _tokens_to_places(network, found[block])
    layers = [(layer, shape) for layer, shape in found.items() if len(shape) == 4]
    if getattr(network, "output_fmt", "NCHW") == "NHWC":  # Swin and its like
        layers = [(layer, shape) for layer, shape in layers if shape[1] == shape[2] > 1]
        if layers:
            return layers[-1][0], _channels_first
    layers = [(layer, shape) for layer, shape in layers if shape[2] * shape[3] > 1]
    if not layers:
        raise InputError(f"Grad-CAM: {type(network).__name__} has no layer with more than one place at this size.")
    return layers[-1][0], None


def _last_block(network: nn.Module) -> nn.Module | None:
    """The first normalisation of the last block of timm's or torchvision's ViT; None for other networks."""
    blocks = getattr(network, "blocks", None)
    if blocks is None:
        blocks = getattr(getattr(network, "encoder", None), "layers", None)
    last = list(blocks)[-1] if blocks is not None and len(list(blocks)) else None
    return getattr(last, "norm1", None) or getattr(last, "ln_1", None)


def _outputs(network: nn.Module, picture: torch.Tensor) -> dict[nn.Module, tuple[int, ...]]:
    """Shape of each layer's output, in the order in which the layers end; a layer used twice stands at its last use."""
    import torch

    found: dict[nn.Module, tuple[int, ...]] = {}

    def note(layer: nn.Module, _: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            found.pop(layer, None)
            found[layer] = tuple(output.shape)

    hooks = [layer.register_forward_hook(note) for layer in network.modules() if layer is not network]
    try:
        with torch.no_grad():
            network(picture)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _tokens_to_places(network: nn.Module, shape: tuple[int, ...]) -> Reshape | None:
    if len(shape) == 4:
        return None
    side = int(shape[1] ** 0.5)  # tokens before the places (class, register) are fewer than make another row
    extra = shape[1] - side * side

    def reshape(tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, extra:].reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)

    return reshape


def _channels_first(output: torch.Tensor) -> torch.Tensor:
    return output.permute(0, 3, 1, 2)


# ---------------------------------------------------------------- as a picture


def overlay(pixels: np.ndarray, heat: np.ndarray, side: int = SHOWN_SIDE) -> Image.Image:
    """A face, uint8 [S, S, C], under its heat [S, S]; red is where most of it is."""
    from pytorch_grad_cam.utils.image import show_cam_on_image

    face = np.asarray(face_picture(pixels, side), dtype=np.float32) / 255
    warm = np.asarray(Image.fromarray(heat).resize((side, side), Image.Resampling.BILINEAR)).clip(0, 1)
    return Image.fromarray(show_cam_on_image(face, warm, use_rgb=True))


def face_picture(pixels: np.ndarray, side: int = SHOWN_SIDE) -> Image.Image:
    """A face as the network is given it, in RGB and enlarged."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)


def strip(model: TrainedModel, pixels: np.ndarray) -> Image.Image:
    """Each face and, below it, the same under its heat; uint8 [N, S, S, C], N at least 1."""
    heats = grad_cam(model, pixels)
    sheet = Image.new("RGB", (SHOWN_SIDE * len(pixels), SHOWN_SIDE * 2))
    for number, (face, heat) in enumerate(zip(pixels, heats, strict=True)):
        sheet.paste(face_picture(face), (number * SHOWN_SIDE, 0))
        sheet.paste(overlay(face, heat), (number * SHOWN_SIDE, SHOWN_SIDE))
    return sheet
