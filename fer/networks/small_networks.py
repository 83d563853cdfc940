"""The project's own small networks, for CPUs and small faces; registered with timm, so usable by name."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import DropPath
from timm.models import register_model
from torch import nn


def _convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class PooledNetwork(nn.Module):
    """`features`, global average pooling, `dropout` and one linear `head`, which the networks below fill."""

    features: nn.Sequential
    dropout: nn.Dropout
    head: nn.Linear

    def get_classifier(self) -> nn.Module:
        """The last layer, as timm's models have it."""
        return self.head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, num_classes] of pictures [B, in_chans, S, S]."""
        return self.head(self.dropout(self.features(x).mean((2, 3))))


class PlainNetwork(PooledNetwork):
    """3×3 convolutions with batch norm, global average pooling, dropout and one linear layer.

    `stages` lists the widths of each stage; every stage after the first starts with 2×2 max pooling.
    Input [B, in_chans, S, S] for any S of at least 2^(stages - 1); output logits [B, num_classes].
    """

    def __init__(self, stages: tuple[tuple[int, ...], ...], num_classes: int, in_chans: int, drop_rate: float):
        super().__init__()
        layers: list[nn.Module] = []
        for number, widths in enumerate(stages):
            if number:
                layers.append(nn.MaxPool2d(2))
            for width in widths:
                layers.append(_convolution(in_chans, width))
                in_chans = width
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(drop_rate)
        self.head = nn.Linear(in_chans, num_classes)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al. 2016); the shortcut is a 1×1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int, drop_path: float = 0.0):
        super().__init__()
        self.first = _convolution(inputs, outputs, stride)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.drop_path: nn.Module = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps [B, outputs, S / stride, S / stride]."""
        return torch.relu(self.drop_path(self.second(self.first(x))) + self.shortcut(x))


class ResidualNetwork(nn.Module):
    """A strided stem, one residual block per width (each after the first halves the side), average pooling, a head."""

    def __init__(self, widths: tuple[int, ...], num_classes: int, in_chans: int, drop_rate: float):
        super().__init__()
        self.stem = _convolution(in_chans, widths[0], stride=2)
        blocks = [ResidualBlock(widths[0], widths[0], 1)]
        blocks += [ResidualBlock(a, b, 2) for a, b in itertools.pairwise(widths)]
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(drop_rate)
        self.head = nn.Linear(widths[-1], num_classes)

    def get_classifier(self) -> nn.Module:
        """The last layer, as timm's models have it."""
        return self.head

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """What belongs together, as timm's models have it: the stem, and each block."""
        return {"stem": "^stem", "blocks": r"^blocks\.(\d+)"}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, num_classes] of pictures [B, in_chans, S, S]."""
        return self.head(self.dropout(self.blocks(self.stem(x)).mean((2, 3))))


class SmallResidual(PooledNetwork):
    """A cheap 5×5 strided stem, pooled stages and two identity blocks: 1.05 M parameters, 68 M multiply-adds at 48 px.

    Found by a search on FER2013's PublicTest for the best use of CPU minutes (docs/from_scratch.md).
    Most work happens at a quarter and an eighth of the side, where two CPU cores are fast.
    Input [B, in_chans, S, S] for any S of at least 8; output logits [B, num_classes].
    """

    def __init__(self, num_classes: int, in_chans: int, drop_rate: float, widths: tuple[int, int, int, int]):
        super().__init__()
        stem, early, middle, late = widths
        self.features = nn.Sequential(
            _convolution(in_chans, stem, stride=2, kernel=5),
            _convolution(stem, early),
            nn.MaxPool2d(2),
            _convolution(early, middle),
            ResidualBlock(middle, middle, 1),
            nn.MaxPool2d(2),
            _convolution(middle, late),
            ResidualBlock(late, late, 1),
        )
        self.dropout = nn.Dropout(drop_rate)
        self.head = nn.Linear(late, num_classes)


class ResNet9(PooledNetwork):
    """The ResNet-9 of DAWNBench (Page 2018) for small gray faces: 1.9 M parameters, 65 M multiply-adds at 48 px.

    A strided stem halves the side; each stage is a convolution, pooled before its BatchNorm so that norm and ReLU see
    a quarter of the pixels, and a residual block whose last norm starts at zero. On CPUs these cheap steps, not the
    convolutions, take most of the time of a small network (benchmarks/NOTES.md).
    Input [B, in_chans, S, S] for any S of at least 16; output logits [B, num_classes].
    """

    def __init__(
        self, num_classes: int, in_chans: int, drop_rate: float, widths: Sequence[int], drop_path_rate: float = 0.0
    ):
        super().__init__()
        stem = nn.Conv2d(in_chans, widths[0], 6, 2, 2, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        stages = list(itertools.pairwise(widths))
        for number, (inputs, outputs) in enumerate(stages, 1):
            convolution = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
            layers += [convolution, nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            block = ResidualBlock(outputs, outputs, 1, drop_path_rate * number / len(stages))
            nn.init.zeros_(block.second[1].weight)  # type: ignore[arg-type, unused-ignore]
            layers.append(block)
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(drop_rate)
        self.head = nn.Linear(widths[-1], num_classes)


# timm hands every network these beside its options; there are no pretrained weights to find with them.
_NoPretrained = Any


@register_model
def tiny_plain(
    pretrained: bool = False,
    pretrained_cfg: _NoPretrained = None,
    pretrained_cfg_overlay: _NoPretrained = None,
    cache_dir: _NoPretrained = None,
    num_classes: int = 7,
    in_chans: int = 3,
    drop_rate: float = 0.0,
) -> PlainNetwork:
    """Four convolutions, 0.1 M parameters: the demo's first network."""
    return PlainNetwork(((16,), (32,), (64,), (128,)), num_classes, in_chans, drop_rate)


@register_model
def tiny_residual(
    pretrained: bool = False,
    pretrained_cfg: _NoPretrained = None,
    pretrained_cfg_overlay: _NoPretrained = None,
    cache_dir: _NoPretrained = None,
    num_classes: int = 7,
    in_chans: int = 3,
    drop_rate: float = 0.0,
) -> ResidualNetwork:
    """Three residual blocks, 0.1 M parameters: the demo's second network."""
    return ResidualNetwork((24, 48, 72), num_classes, in_chans, drop_rate)


@register_model
def small_residual(
    pretrained: bool = False,
    pretrained_cfg: _NoPretrained = None,
    pretrained_cfg_overlay: _NoPretrained = None,
    cache_dir: _NoPretrained = None,
    num_classes: int = 7,
    in_chans: int = 1,
    drop_rate: float = 0.0,
    widths: Sequence[int] = (32, 48, 96, 192),
) -> SmallResidual:
    """The network of studies/architectures.py; option `widths`: channels of stem, early, middle and late stage."""
    return SmallResidual(num_classes, in_chans, drop_rate, tuple(widths))  # type: ignore[arg-type]


@register_model
def resnet9(
    pretrained: bool = False,
    pretrained_cfg: _NoPretrained = None,
    pretrained_cfg_overlay: _NoPretrained = None,
    cache_dir: _NoPretrained = None,
    num_classes: int = 7,
    in_chans: int = 1,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    widths: Sequence[int] = (32, 64, 128, 256),
) -> ResNet9:
    """Nine layers for small faces and CPUs; option `widths`: channels of the stem and of each stage after it."""
    return ResNet9(num_classes, in_chans, drop_rate, widths, drop_path_rate)
