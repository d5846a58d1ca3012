"""What the networks share: windows of features in, two logits and an embedding out."""

import torch
from torch import Tensor, nn

from ml.speech.frontend.features import BANDS

CNN_WIDTHS = (8, 16, 32, 64)


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


def spectrogram_blocks() -> nn.Sequential:
    """Return four blocks of convolution, batch normalisation and max-pooling.

    They turn a picture (N, 1, T, BANDS) into (N, CNN_WIDTHS[-1], T // 16, BANDS // 16).
    """
    before = (1, *CNN_WIDTHS[:-1])
    return nn.Sequential(*(_block(a, b, (2, 2)) for a, b in zip(before, CNN_WIDTHS, strict=True)))


def picture(windows: Tensor) -> Tensor:
    """Return the bands as a picture with one channel, (N, 1, T, BANDS)."""
    return windows[:, None, :, :BANDS].contiguous(memory_format=torch.channels_last)


def _block(before: int, after: int, pool: tuple[int, int]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(pool),
    )
