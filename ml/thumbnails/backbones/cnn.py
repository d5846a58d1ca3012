"""A small convolutional network from scratch for thumbnails of 160 by 90 pixels.

It has three outputs for each thumbnail: standardised log views per day, the logit of reaching the
threshold, and the standardised *residual* of log views per day after a regression on subscribers,
age, length and format. The last is what "beyond" asks for: most of the variance of views is the
channel's size, which a thumbnail can only guess, and a network trained on raw views spends its few
hundred rows on guessing it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.arrays import FloatArray
from ml.runtime.device import Device

OUTPUTS = 3
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class CnnConfig:
    """Hyperparameters of the network and its training.

    Attributes:
        widths: Channels of the stages; each but the first halves the resolution.
        epochs: Passes over a member's training rows.
        batch_size: Thumbnails a step.
        learning_rate: Peak of the one-cycle schedule (Smith & Topin 2017).
        weight_decay: Of AdamW, on convolution and head weights.
        dropout: On the pooled features.
        crop: Rows and columns that a random crop takes away while training.
        jitter: Largest relative change of brightness and contrast. Mild, because colour and
            contrast may be the very effect to find.
    """

    widths: tuple[int, ...] = (24, 32, 64, 96)
    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    dropout: float = 0.2
    crop: tuple[int, int] = (10, 16)
    jitter: float = 0.05


class ThumbnailNet(nn.Module):
    """Stages of convolutions; the head sees every stage's mean over the image.

    Pooling each stage, not just the last, hands colour and texture straight to the head, so that
    simple effects need few rows. Input (N, 3, 90, 160) in [-1, 1], output (N, 3).
    """

    def __init__(self, config: CnnConfig) -> None:
        super().__init__()
        first, *others = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 8, stride=4, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList(
            _Stage(before, after) for before, after in zip(config.widths, others, strict=False)
        )
        self.pooled = sum(config.widths)
        self.norm = nn.BatchNorm1d(self.pooled)
        self.head = nn.Linear(self.pooled, OUTPUTS)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return (N, 3): log views, over-threshold logit, residual.

        Args:
            images: (N, 3, H, W).
            kept: Dropout's factors for the pooled features, (N, ``pooled``); None keeps all.
        """
        hidden = self.stem(images)
        pooled = [_pool(hidden)]
        for stage in self.stages:
            hidden = stage(hidden)
            pooled.append(_pool(hidden))
        # The head is tiny and its batch statistics delicate: always in float32.
        with torch.autocast(images.device.type, enabled=False):
            features = self.norm(torch.cat(pooled, dim=1))
            return cast("Tensor", self.head(features if kept is None else features * kept))


class _Stage(nn.Module):
    """Halve the resolution, then one residual block."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        )
        self.block = nn.Sequential(
            nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.down(hidden)
        return functional.relu(hidden + self.block(hidden))


def _pool(hidden: Tensor) -> Tensor:
    """Return the mean over the image, (N, C), in float32."""
    return functional.adaptive_avg_pool2d(hidden, 1).flatten(1).float()


@dataclass(frozen=True)
class TrainedNetwork(ABC, Generic[Network]):
    """A network of an ensemble, whichever kind it is of, and the units of what it was taught.

    Attributes:
        network: In evaluation mode, on the CPU or the GPU.
        centre: Mean of log views per day and of the residual over its training rows, shape (2,).
        scale: Their standard deviations, shape (2,).
    """

    at_once: ClassVar[int]

    network: Network
    centre: FloatArray
    scale: FloatArray

    @staticmethod
    @abstractmethod
    def network_input(part: npt.NDArray[Any], device: Device) -> Tensor:
        """Turn at most ``at_once`` inputs into what the network takes."""

    def predict(self, inputs: npt.NDArray[Any], device: Device) -> FloatArray:
        """Return (N, 3): log10 views per day, over-threshold logit, residual in log10 units.

        Computed in float32 also where training was not: a score should not depend on which other
        thumbnails shared its batch.
        """
        outputs = np.empty((len(inputs), OUTPUTS))
        self.network.eval().to(device.torch_device)
        with torch.inference_mode():
            for start in range(0, len(inputs), self.at_once):
                part = inputs[start : start + self.at_once]
                found = self.network(self.network_input(part, device))
                outputs[start : start + len(part)] = found.cpu()
        outputs[:, [0, 2]] = outputs[:, [0, 2]] * self.scale + self.centre
        return outputs

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything learned as arrays by name."""
        weights = {key: value.cpu().numpy() for key, value in self.network.state_dict().items()}
        return weights | {"centre": self.centre, "scale": self.scale}

    @classmethod
    def filled(cls, network: Network, tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Build one from a network of its kind and :meth:`tensors`."""
        own = {"centre", "scale"}
        # A copy: arrays out of a file may be read-only, and 0-d ones lose their shape.
        network.load_state_dict({k: torch.tensor(v) for k, v in tensors.items() if k not in own})
        return cls(network.eval(), tensors["centre"], tensors["scale"])


class Member(TrainedNetwork[ThumbnailNet]):
    """A network from scratch; its inputs are thumbnails, (N, H, W, 3)."""

    at_once = 256

    @staticmethod
    def network_input(part: npt.NDArray[Any], device: Device) -> Tensor:
        """Turn thumbnails into what the network takes."""
        return network_input(torch.from_numpy(part).to(device.torch_device))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]], config: CnnConfig) -> Self:
        """Build a member from :meth:`tensors`."""
        return cls.filled(ThumbnailNet(config), tensors)


def network_input(
    images: Tensor, contrast: Tensor | float = 1, brightness: Tensor | float = 0
) -> Tensor:
    """Turn uint8 (N, H, W, 3) into what a network takes: float (N, 3, H, W), channels last.

    0..255 becomes -1..1, times the contrast, plus the brightness.
    """
    scaled = images.float().mul_(contrast / 127.5).add_(brightness - contrast)
    return scaled.permute(0, 3, 1, 2)
