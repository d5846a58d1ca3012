"""The spectrogram CNN with a recurrent layer over time."""

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from ml.speech.frontend.features import BANDS
from ml.speech.models.base import SpeechModelSpec
from ml.speech.models.network import CNN_WIDTHS, SpeechNet, picture, spectrogram_blocks
from ml.speech.models.network_model import NetworkModel
from ml.speech.models.training import SpeechConfig

GRU_WIDTH = 48


class Crnn(SpeechNet):
    """The blocks of the spectrogram CNN, then a bidirectional GRU over time (Bartz et al. 2017)."""

    def __init__(self, columns: int) -> None:
        del columns
        super().__init__(2 * GRU_WIDTH)
        self.blocks = spectrogram_blocks()
        self.gru = nn.GRU(
            CNN_WIDTHS[-1] * (BANDS // 16), GRU_WIDTH, batch_first=True, bidirectional=True
        )

    def embed(self, windows: Tensor) -> Tensor:
        """Return the mean of the GRU's states over time."""
        hidden = self.blocks(picture(windows))
        # (N, C, T, F) → (N, T, C × F)
        steps = hidden.permute(0, 2, 1, 3).flatten(2)
        with torch.autocast(windows.device.type, enabled=False):
            states, _ = self.gru(steps.float())
        return cast("Tensor", states.mean(dim=1))


class CrnnModel(NetworkModel):
    """What the spectrogram CNN is, with a bidirectional GRU over time."""

    spec: ClassVar[SpeechModelSpec] = SpeechModelSpec(
        "crnn", "the same with a recurrent layer over time", in_detail=True
    )
    architecture: ClassVar[type[SpeechNet]] = Crnn
    default: ClassVar[SpeechConfig] = SpeechConfig(network="crnn")
