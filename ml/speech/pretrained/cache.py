"""Encodings of many clips, kept like features: the encoder is slow, the head is not."""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml.errors import LearningError
from ml.speech.augmentation import augmented
from ml.speech.cache import (
    AUGMENTED,
    CLEAN,
    CODEC,
    CachedFeatures,
    Decode,
    FeatureCache,
    decoded_file,
)
from ml.speech.codecs import CODECS, Waveform, round_trip
from ml.speech.manifest import Clip, Manifest
from ml.speech.pretrained.encoder import COLUMNS, SpeechEncoder


class EncodingCache(FeatureCache):
    """Encodings by variant and clip, in a folder; used wherever features are.

    Args:
        directory: Created if needed. One process at a time may fill it.
        decode: How to get a clip's samples; its file is decoded if left out.
        encoder: That of the wheel if left out. Another one gets other files.
    """

    def __init__(
        self,
        directory: Path,
        decode: Decode | None = None,
        *,
        encoder: SpeechEncoder | None = None,
    ) -> None:
        self.encoder = encoder or SpeechEncoder()
        self._decode = decode or decoded_file
        self._directory = directory / f"encodings-{self.encoder.sha256[:12]}"
        self._directory.mkdir(parents=True, exist_ok=True)

    def read(self, manifest: Manifest, variant: str = CLEAN) -> list[CachedFeatures]:
        """Return each clip's encoding, (windows, COLUMNS), computing what is missing.

        Raises:
            LearningError: As :meth:`ensure`.
        """
        self.ensure(manifest, [variant])
        entries = self._entries(variant)
        if not len(manifest):
            return []
        data = np.memmap(self._data(variant), dtype=np.float16, mode="r").reshape(-1, COLUMNS)
        size = COLUMNS * data.itemsize
        starts = [(entries[c.clip_id][0] // size, entries[c.clip_id][1]) for c in manifest]
        return [data[start : start + windows] for start, windows in starts]

    def _compute(self, clip: Clip, variant: str) -> npt.NDArray[np.float16]:
        waveform = self._waveform(self._decode(clip), clip, variant)
        return self.encoder.encode(waveform).astype(np.float16)

    def _waveform(self, clean: Waveform, clip: Clip, variant: str) -> Waveform:
        if variant == CLEAN:
            return clean
        if variant.startswith(AUGMENTED):
            digest = hashlib.sha256(f"{variant}\0{clip.clip_id}".encode()).digest()
            return augmented(clean, np.random.default_rng(list(digest[:8])))
        if variant.startswith(CODEC):
            return round_trip(clean, CODECS[variant.removeprefix(CODEC)])
        raise LearningError(f"there is no variant {variant!r}", reason="unknownVariant")
