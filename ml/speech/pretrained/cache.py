"""Encodings of many clips, kept like features: the encoder is slow, the head is not."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from ml.speech.augmentation.codecs import Waveform
from ml.speech.frontend.cache import CachedFeatures, Decode, FeatureCache
from ml.speech.pretrained.encoder import COLUMNS, SpeechEncoder


class EncodingCache(FeatureCache):
    """Encodings by variant and clip, in a folder; used wherever features are.

    Args:
        directory: Created if needed. One process at a time may fill it.
        decode: How to get a clip's samples; its file is decoded if left out.
        encoder: That of the wheel if left out. Another one gets other files.

    Raises:
        LearningError: The encoder is not installed (``encoderMissing``), or cannot be used.
    """

    columns: ClassVar[int] = COLUMNS

    def __init__(
        self,
        directory: Path,
        decode: Decode | None = None,
        *,
        encoder: SpeechEncoder | None = None,
    ) -> None:
        self.encoder = encoder or SpeechEncoder()
        super().__init__(directory, decode)

    def _front_end(self) -> str:
        return f"encodings-{self.encoder.sha256[:12]}"

    def _extract(self, waveform: Waveform) -> CachedFeatures:
        return self.encoder.encode(waveform).astype(np.float16)
