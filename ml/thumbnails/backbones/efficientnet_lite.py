"""EfficientNet-Lite0: a small convolutional network with published ImageNet weights.

EfficientNet-B0 (Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
Networks", table 1) without squeeze-and-excitation and with ReLU6 in place of swish, as Google
published it for small devices in 2020. Written from the table; the weights come from elsewhere
(:mod:`ml.thumbnails.backbones.weights`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
CLASSES = 1000


@dataclass(frozen=True)
class _StageShape:
    """One row of the table: how its blocks look."""

    kernel: int
    blocks: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    _StageShape(kernel=3, blocks=1, stride=1, expansion=1, channels=16),
    _StageShape(kernel=3, blocks=2, stride=2, expansion=6, channels=24),
    _StageShape(kernel=5, blocks=2, stride=2, expansion=6, channels=40),
    _StageShape(kernel=3, blocks=3, stride=2, expansion=6, channels=80),
    _StageShape(kernel=5, blocks=3, stride=1, expansion=6, channels=112),
    _StageShape(kernel=5, blocks=4, stride=2, expansion=6, channels=192),
    _StageShape(kernel=3, blocks=1, stride=1, expansion=6, channels=320),
)
STAGE_CHANNELS = (*(shape.channels for shape in STAGES), HEAD_CHANNELS)
"""Channels of each stage's output; the head's 1 by 1 convolution counts as the last stage."""


@dataclass(frozen=True)
class Flavour:
    """What a set of weights was trained with; another choice spoils them quietly.

    Attributes:
        same_padding: Pads as TensorFlow does: as much as the output size asks for, one more at the
            right and the bottom. Else half a kernel on every side.
        epsilon: Of batch normalisation.
        mean: Of each colour, in units of 0 to 1.
        deviation: Of each colour, likewise.
    """

    same_padding: bool
    epsilon: float
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Build a flavour from ``dataclasses.asdict`` of one, lists in place of tuples."""
        colours = {name: tuple(content[name]) for name in ("mean", "deviation")}
        return cls(**{**content, **colours})


class EfficientNetLite0(nn.Module):
    """Stem, seven stages of inverted bottlenecks, head; 4.65 million parameters with classifier.

    Input (N, 3, H, W) in [0, 255]; normalisation is part of the network because it belongs to the
    weights. The names of the parameters are timm's.
    """

    def __init__(self, flavour: Flavour) -> None:
        super().__init__()
        self.flavour = flavour
        self.conv_stem = _Convolution(3, STEM_CHANNELS, 3, 2, 1, flavour)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS, eps=flavour.epsilon)
        before, stages = STEM_CHANNELS, []
        for shape in STAGES:
            blocks: list[nn.Module] = []
            for number in range(shape.blocks):
                stride = shape.stride if number == 0 else 1
                if shape.expansion == 1:
                    blocks.append(_Separable(before, shape, stride, flavour))
                else:
                    blocks.append(_Bottleneck(before, shape, stride, flavour))
                before = shape.channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(before, HEAD_CHANNELS, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(HEAD_CHANNELS, eps=flavour.epsilon)
        self.classifier = nn.Linear(HEAD_CHANNELS, CLASSES)
        # Buffers that no state holds: they come with the flavour.
        self.register_buffer("mean", _colours(flavour.mean), persistent=False)
        self.register_buffer("deviation", _colours(flavour.deviation), persistent=False)

    def maps(self, images: Tensor, *, stages: int | None = None) -> list[Tensor]:
        """Return each stage's output and last the head's, as (N, ``STAGE_CHANNELS[i]``, h, w).

        Args:
            images: (N, 3, H, W).
            stages: Stop after so many and leave the head out.
        """
        hidden = (images - cast("Tensor", self.mean)) / cast("Tensor", self.deviation)
        hidden = functional.relu6(self.bn1(self.conv_stem(hidden)))
        result: list[Tensor] = []
        for stage in list(self.blocks)[:stages]:
            hidden = stage(hidden)
            result.append(hidden)
        if stages is not None:
            return result
        return [*result, functional.relu6(self.bn2(self.conv_head(hidden)))]

    def pooled(self, images: Tensor, stages: Sequence[int] = (-1,)) -> Tensor:
        """Return the means of some stages over the image, (N, sum of their channels), float32."""
        maps = self.maps(images)
        means = [maps[stage].float().mean(dim=(2, 3)) for stage in stages]
        return torch.cat(means, dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of ImageNet's classes, (N, 1000)."""
        return cast("Tensor", self.classifier(self.pooled(images)))


class _Separable(nn.Module):
    """A depthwise and a pointwise convolution: the first stage, where nothing is expanded."""

    def __init__(self, before: int, shape: _StageShape, stride: int, flavour: Flavour) -> None:
        super().__init__()
        self.conv_dw = _Convolution(before, before, shape.kernel, stride, before, flavour)
        self.bn1 = nn.BatchNorm2d(before, eps=flavour.epsilon)
        self.conv_pw = nn.Conv2d(before, shape.channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(shape.channels, eps=flavour.epsilon)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = functional.relu6(self.bn1(self.conv_dw(hidden)))
        return cast("Tensor", self.bn2(self.conv_pw(hidden)))


class _Bottleneck(nn.Module):
    """Expand, convolve by channel, project; with a shortcut where the shape stays the same."""

    def __init__(self, before: int, shape: _StageShape, stride: int, flavour: Flavour) -> None:
        super().__init__()
        wide = before * shape.expansion
        self.conv_pw = nn.Conv2d(before, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide, eps=flavour.epsilon)
        self.conv_dw = _Convolution(wide, wide, shape.kernel, stride, wide, flavour)
        self.bn2 = nn.BatchNorm2d(wide, eps=flavour.epsilon)
        self.conv_pwl = nn.Conv2d(wide, shape.channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(shape.channels, eps=flavour.epsilon)
        self.shortcut = stride == 1 and before == shape.channels

    def forward(self, hidden: Tensor) -> Tensor:
        inner = functional.relu6(self.bn1(self.conv_pw(hidden)))
        inner = functional.relu6(self.bn2(self.conv_dw(inner)))
        inner = self.bn3(self.conv_pwl(inner))
        return hidden + inner if self.shortcut else cast("Tensor", inner)


class _Convolution(nn.Conv2d):
    """A spatial convolution without bias, padded as the flavour says."""

    def __init__(
        self, before: int, after: int, kernel: int, stride: int, groups: int, flavour: Flavour
    ) -> None:
        padding = 0 if flavour.same_padding else kernel // 2
        super().__init__(
            before, after, kernel, stride=stride, padding=padding, groups=groups, bias=False
        )
        self.same = flavour.same_padding

    def forward(self, hidden: Tensor) -> Tensor:
        if self.same:
            across = missing_padding(hidden.shape[3], self.kernel_size[1], self.stride[1])
            down = missing_padding(hidden.shape[2], self.kernel_size[0], self.stride[0])
            hidden = functional.pad(
                hidden, (across // 2, across - across // 2, down // 2, down - down // 2)
            )
        return super().forward(hidden)


def missing_padding(size: int, kernel: int, stride: int) -> int:
    """Return how many rows or columns have to be added for ceil(size / stride) outputs."""
    outputs = -(-size // stride)
    return max((outputs - 1) * stride + kernel - size, 0)


def _colours(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).reshape(1, 3, 1, 1) * 255
