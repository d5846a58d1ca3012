"""The networks: windows of features in, two logits and an embedding out."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ml.speech.frontend.features import BANDS

CNN_WIDTHS = (8, 16, 32, 64)
GRU_WIDTH = 48
TDNN_WIDTH = 96
EMBEDDING = 64


class SpeechNet(nn.Module):
    """Base: a body that turns (N, T, columns) into an embedding (N, E), and a linear head.

    Attributes:
        embedding: E.
    """

    embedding: int

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.head = nn.Linear(embedding, 2)

    def embed(self, windows: Tensor) -> Tensor:
        """Return the embedding, (N, E), in float32."""
        raise NotImplementedError

    def forward(self, windows: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logits (N, 2) and the embedding (N, E).

        Args:
            windows: (N, T, columns), normalised.
            kept: Dropout's factors for the embedding, (N, E); None keeps all.
        """
        embedding = self.embed(windows)
        with torch.autocast(windows.device.type, enabled=False):
            return self.head(embedding if kept is None else embedding * kept), embedding


class SpectrogramCnn(SpeechNet):
    """Four blocks of convolution, batch normalisation and max-pooling, averaged over the image."""

    def __init__(self, columns: int) -> None:
        del columns  # the picture of the bands is all it looks at
        super().__init__(CNN_WIDTHS[-1])
        before = (1, *CNN_WIDTHS[:-1])
        self.blocks = nn.Sequential(
            *(_block(a, b, (2, 2)) for a, b in zip(before, CNN_WIDTHS, strict=True))
        )

    def embed(self, windows: Tensor) -> Tensor:
        """Return the mean over time and bands."""
        hidden = self.blocks(_picture(windows))
        return cast("Tensor", hidden.float().mean(dim=(2, 3)))


class Crnn(SpeechNet):
    """The same blocks, then a bidirectional GRU over time (Bartz et al. 2017)."""

    def __init__(self, columns: int) -> None:
        del columns
        super().__init__(2 * GRU_WIDTH)
        before = (1, *CNN_WIDTHS[:-1])
        self.blocks = nn.Sequential(
            *(_block(a, b, (2, 2)) for a, b in zip(before, CNN_WIDTHS, strict=True))
        )
        self.gru = nn.GRU(
            CNN_WIDTHS[-1] * (BANDS // 16), GRU_WIDTH, batch_first=True, bidirectional=True
        )

    def embed(self, windows: Tensor) -> Tensor:
        """Return the mean of the GRU's states over time."""
        hidden = self.blocks(_picture(windows))
        # (N, C, T, F) → (N, T, C × F)
        steps = hidden.permute(0, 2, 1, 3).flatten(2)
        with torch.autocast(windows.device.type, enabled=False):
            states, _ = self.gru(steps.float())
        return cast("Tensor", states.mean(dim=1))


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
        gate = self.squeeze(change.mean(dim=2))
        return cast("Tensor", hidden + change * gate[:, :, None])


def _convolution(
    before: int, after: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.Conv1d(before, after, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm1d(after),
        nn.ReLU(inplace=True),
    ]


def _picture(windows: Tensor) -> Tensor:
    """Return the bands as a picture with one channel, (N, 1, T, BANDS)."""
    return windows[:, None, :, :BANDS].contiguous(memory_format=torch.channels_last)


def _block(before: int, after: int, pool: tuple[int, int]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(pool),
    )


NETWORKS: dict[str, Callable[[int], SpeechNet]] = {
    "cnn": SpectrogramCnn,
    "crnn": Crnn,
    "tdnn": Tdnn,
}
"""Networks by name; each takes the number of input columns."""
