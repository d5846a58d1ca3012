"""The reference: a plain CNN on spectrograms."""

from typing import ClassVar, cast

from torch import Tensor

from ml.speech.models.base import SpeechModelSpec
from ml.speech.models.network import CNN_WIDTHS, SpeechNet, picture, spectrogram_blocks
from ml.speech.models.network_model import NetworkModel
from ml.speech.models.training import SpeechConfig


class SpectrogramCnn(SpeechNet):
    """Four blocks of convolution, batch normalisation and max-pooling, averaged over the image."""

    def __init__(self, columns: int) -> None:
        del columns  # the picture of the bands is all it looks at
        super().__init__(CNN_WIDTHS[-1])
        self.blocks = spectrogram_blocks()

    def embed(self, windows: Tensor) -> Tensor:
        """Return the mean over time and bands."""
        hidden = self.blocks(picture(windows))
        return cast("Tensor", hidden.float().mean(dim=(2, 3)))


class SpectrogramCnnModel(NetworkModel):
    """The plain CNN: clean clips as they come, mean-normalised, SpecAugment. The reference."""

    spec: ClassVar[SpeechModelSpec] = SpeechModelSpec(
        "spectrogram_cnn",
        "a plain CNN on spectrograms, the reference",
        reference=True,
        in_detail=True,
    )
    architecture: ClassVar[type[SpeechNet]] = SpectrogramCnn
    default: ClassVar[SpeechConfig] = SpeechConfig(network="cnn")
