"""A small time delay network on bands and pitch, trained on balanced and augmented clips."""

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from ml.speech.frontend.windows import WindowConfig
from ml.speech.models.base import SpeechModelSpec
from ml.speech.models.network import SpeechNet
from ml.speech.models.network_model import NetworkModel
from ml.speech.models.sampling import SamplingConfig
from ml.speech.models.training import SpeechConfig

TDNN_WIDTH = 96
EMBEDDING = 64


class Tdnn(SpeechNet):
    """Time delay layers with squeeze-excitation, attentive statistics pooling.

    ECAPA-TDNN (Desplanques, Thienpondt & Demuynck 2020) in small: a few thousand clips do not
    feed six million weights.
    """

    def __init__(self, columns: int) -> None:
        super().__init__(EMBEDDING)
        width = TDNN_WIDTH
        self.stem = nn.Sequential(
            *_convolution(columns, width, 5, stride=2), *_convolution(width, width, 5, stride=2)
        )
        self.layers = nn.ModuleList(_TdnnLayer(width, dilation) for dilation in (1, 2, 3))
        self.attention = nn.Sequential(nn.Conv1d(width, 32, 1), nn.Tanh(), nn.Conv1d(32, width, 1))
        self.bottleneck = nn.Sequential(
            nn.BatchNorm1d(2 * width),
            nn.Linear(2 * width, EMBEDDING, bias=False),
            nn.BatchNorm1d(EMBEDDING),
            nn.ReLU(inplace=True),
        )

    def embed(self, windows: Tensor) -> Tensor:
        """Return the bottleneck over the attended mean and deviation."""
        hidden = self.stem(windows.transpose(1, 2))
        for layer in self.layers:
            hidden = layer(hidden)
        with torch.autocast(windows.device.type, enabled=False):
            hidden = hidden.float()
            share = self.attention(hidden).softmax(dim=2)
            mean = (hidden * share).sum(dim=2)
            variance = (hidden**2 * share).sum(dim=2) - mean**2
            pooled = torch.cat([mean, variance.clamp(min=1e-4).sqrt()], dim=1)
            return cast("Tensor", self.bottleneck(pooled))


class _TdnnLayer(nn.Module):
    """A dilated convolution, squeeze-excitation, residual."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Sequential(*_convolution(width, width, 3, dilation=dilation))
        self.squeeze = nn.Sequential(
            nn.Linear(width, 24), nn.ReLU(inplace=True), nn.Linear(24, width), nn.Sigmoid()
        )

    def forward(self, hidden: Tensor) -> Tensor:
        change = self.convolution(hidden)
        share = self.squeeze(change.mean(dim=2))
        return cast("Tensor", hidden + change * share[:, :, None])


def _convolution(
    before: int, after: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.Conv1d(before, after, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm1d(after),
        nn.ReLU(inplace=True),
    ]


class TdnnModel(NetworkModel):
    """A small TDNN on bands and pitch, with clips drawn in balance and augmented."""

    spec: ClassVar[SpeechModelSpec] = SpeechModelSpec(
        "tdnn", "a small TDNN on bands and pitch", robust=True
    )
    architecture: ClassVar[type[SpeechNet]] = Tdnn
    default: ClassVar[SpeechConfig] = SpeechConfig(
        network="tdnn",
        windows=WindowConfig(normalise_variance=True, pitch=True, shorten_pauses=True),
        sampling=SamplingConfig(variants=2, balanced=True, bilingual_weight=2.0),
        averaged=0.3,
    )
