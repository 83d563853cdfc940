"""A convolutional network for beginners, to be read from top to bottom: `"simple_cnn"` in MODEL_CONFIG.

A picture goes through four stages. Each looks at 3×3 neighbourhoods (convolution), brings the numbers to one scale
(batch norm), keeps what is positive (ReLU), lets attention weigh it where asked for, and halves the side (max pooling).
What is left, 3×3 places with 256 numbers each, goes through 512 neurons to one number per class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import register_model
from torch import nn


class SqueezeExcitation(nn.Module):
    """Weighs the channels: which of them matter in this picture as a whole (Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps [B, C, H, W], each channel times a number from 0 to 1."""
        weights = self.weigh(x.mean((2, 3)))
        return x * weights[:, :, None, None]


class ChannelAndPlaceAttention(nn.Module):
    """Weighs the channels, then the places of the picture (CBAM, Woo et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.weigh_channels = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels),
        )
        self.weigh_places = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps [B, C, H, W], each channel and each place times a number from 0 to 1."""
        mean, largest = self.weigh_channels(x.mean((2, 3))), self.weigh_channels(x.amax((2, 3)))
        x = x * torch.sigmoid(mean + largest)[:, :, None, None]
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.weigh_places(summary))


ATTENTION: dict[str, type[nn.Module]] = {"se": SqueezeExcitation, "cbam": ChannelAndPlaceAttention}


class SimpleCNN(nn.Module):
    """The network of this file. Input [B, in_chans, S, S] for any S of at least 16; output logits [B, num_classes]."""

    def __init__(self, num_classes: int, in_chans: int, drop_rate: float, attention: str | None, widths: Sequence[int]):
        super().__init__()
        if attention is not None and attention not in ATTENTION:
            raise ValueError(f'attention "{attention}" is not one of {", ".join(ATTENTION)}, None')
        self.stages = nn.Sequential()
        for width in widths:
            self.stages.append(_stage(in_chans, width, attention))
            in_chans = width
        self.pool = nn.AdaptiveAvgPool2d(3)  # to 3×3 places, whatever the side of the picture
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(in_chans * 3 * 3, 512), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(drop_rate)
        self.head = nn.Linear(512, num_classes)

    def get_classifier(self) -> nn.Module:
        """The last layer, as timm's models have it."""
        return self.head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, num_classes] of pictures [B, in_chans, S, S]."""
        return self.head(self.dropout(self.hidden(self.pool(self.stages(x)))))


def _stage(inputs: int, outputs: int, attention: str | None) -> nn.Sequential:
    """One stage: the side is halved, the channels become `outputs`."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
    if attention is not None:
        layers.append(ATTENTION[attention](outputs))
    return nn.Sequential(*layers, nn.MaxPool2d(2))


@register_model
def simple_cnn(
    pretrained: bool = False,
    pretrained_cfg: Any = None,  # this and the next two: timm hands them to every network
    pretrained_cfg_overlay: Any = None,
    cache_dir: Any = None,
    num_classes: int = 7,
    in_chans: int = 3,
    drop_rate: float = 0.0,
    attention: str | None = None,
    widths: Sequence[int] = (32, 64, 128, 256),
) -> SimpleCNN:
    """Options `attention`: "se", "cbam" or None; `widths`: channels of each stage, with attention 16 or more."""
    return SimpleCNN(num_classes, in_chans, drop_rate, attention, widths)
