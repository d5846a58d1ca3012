"""Features of many clips in one memory-mapped file, so that training waits for no decoder.

A cache holds *variants* of each clip: ``clean``, ``augmented-1``, ``augmented-2`` … and
``codec-mp3`` and so on. It fills in what is missing when it is asked for it; a clip's bytes never
depend on which other clips are there, so nothing leaks from a test clip into a training clip.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ml.errors import LearningCancelledError, LearningError
from ml.speech.augmentation.codecs import CODECS, SAMPLE_RATE, Waveform, round_trip
from ml.speech.augmentation.waveform import augmented
from ml.speech.data.lines import append_line, read_lines
from ml.speech.data.manifest import Clip, Manifest
from ml.speech.frontend.features import COLUMNS, FrontEnd, features
from ml.training.callbacks import Cancelled, Progress

CLEAN = "clean"
AUGMENTED = "augmented-"
CODEC = "codec-"

Decode = Callable[[Clip], Waveform]
"""Gives a clip's samples: mono, 16 kHz."""
CachedFeatures = npt.NDArray[np.float16]


def augmented_variants(count: int) -> list[str]:
    """Name ``count`` augmented variants."""
    return [f"{AUGMENTED}{number}" for number in range(1, count + 1)]


def codec_variants() -> list[str]:
    """Name the variants that test clips are degraded to, one for each codec."""
    return [f"{CODEC}{name}" for name in CODECS]


class FeatureCache:
    """Features by variant and clip, in a folder.

    Args:
        directory: Created if needed. One process at a time may fill it.
        decode: How to get a clip's samples; its file is decoded if left out.
    """

    columns: ClassVar[int] = COLUMNS

    def __init__(self, directory: Path, decode: Decode | None = None) -> None:
        # Another front end gets other files: old features never reach a new model.
        self._directory = directory / self._front_end()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._decode = decode or decoded_file

    def _front_end(self) -> str:
        return hashlib.sha256(json.dumps(asdict(FrontEnd())).encode()).hexdigest()[:12]

    def _extract(self, waveform: Waveform) -> CachedFeatures:
        return features(waveform).astype(np.float16)

    def ensure(
        self,
        manifest: Manifest,
        variants: Sequence[str],
        *,
        workers: int = 2,
        progress: Progress = lambda _step, _total, _message: None,
        cancelled: Cancelled = lambda: False,
    ) -> None:
        """Compute whatever is missing.

        Raises:
            LearningError: A clip that cannot be decoded, or a variant of no known kind.
            LearningCancelledError: ``cancelled`` said so; what was computed is kept.
        """
        missing = {variant: self._missing(manifest, variant) for variant in variants}
        total, done = sum(map(len, missing.values())), 0
        for variant, clips in missing.items():
            with (
                ThreadPoolExecutor(workers) as pool,
                self._data(variant).open("ab") as data,
            ):
                for start in range(0, len(clips), 4 * workers):
                    if cancelled():
                        raise LearningCancelledError
                    part = clips[start : start + 4 * workers]
                    computed = pool.map(lambda clip: self._compute(clip, variant), part)  # noqa: B023 - used up within the turn
                    for clip, values in zip(part, computed, strict=True):
                        offset = data.tell()
                        data.write(values.tobytes())
                        data.flush()
                        # The line comes after its bytes, so a line is a promise.
                        entry = {"clip": clip.clip_id, "at": offset, "frames": len(values)}
                        append_line(self._index(variant), entry)
                        done += 1
                        progress(done, total, f"computing features: {variant}")

    def read(self, manifest: Manifest, variant: str = CLEAN) -> list[CachedFeatures]:
        """Return views of each clip's features, (frames, columns), computing what is missing.

        Raises:
            LearningError: As :meth:`ensure`.
        """
        self.ensure(manifest, [variant])
        entries = self._entries(variant)
        if not len(manifest):
            return []
        data = np.memmap(self._data(variant), dtype=np.uint8, mode="r")
        return [self._view(data, *entries[clip.clip_id]) for clip in manifest]

    def _missing(self, manifest: Manifest, variant: str) -> list[Clip]:
        entries = self._entries(variant)
        return [clip for clip in manifest if clip.clip_id not in entries]

    def _entries(self, variant: str) -> dict[str, tuple[int, int]]:
        entries = read_lines(self._index(variant))
        return {entry["clip"]: (entry["at"], entry["frames"]) for entry in entries}

    def _compute(self, clip: Clip, variant: str) -> CachedFeatures:
        waveform = self._decode(clip)
        if variant.startswith(AUGMENTED):
            digest = hashlib.sha256(f"{variant}\0{clip.clip_id}".encode()).digest()
            waveform = augmented(waveform, np.random.default_rng(list(digest[:8])))
        elif variant.startswith(CODEC):
            waveform = round_trip(waveform, CODECS[variant.removeprefix(CODEC)])
        elif variant != CLEAN:
            raise LearningError(f"there is no variant {variant!r}", reason="unknownVariant")
        return self._extract(waveform)

    def _view(self, data: npt.NDArray[np.uint8], at: int, frames: int) -> CachedFeatures:
        size = frames * self.columns * np.dtype(np.float16).itemsize
        return data[at : at + size].view(np.float16).reshape(frames, self.columns)

    def _data(self, variant: str) -> Path:
        return self._directory / f"{variant}.f16"

    def _index(self, variant: str) -> Path:
        return self._directory / f"{variant}.jsonl"


def decoded_file(clip: Clip) -> Waveform:
    """Decode a clip's file to mono, 16 kHz.

    Raises:
        AudioError: It holds no audio that can be used.
    """
    from ml.audio.decoding import decoded  # noqa: PLC0415 - needs the extra `speech`

    return np.concatenate([*decoded(Path(clip.path), sample_rate=SAMPLE_RATE)] or [_NOTHING])


_NOTHING = np.zeros(0, np.float32)
