"""Which clips there are, who speaks in them, and where they come from.

Speaker, microphone and codec go with the source of a recording, so a model that has seen a source
knows its channel. Splits are therefore by speaker *and* source, and :func:`assert_disjoint` holds
every evaluation to it.
"""

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.arrays import IntArray
from ml.errors import LearningError

LANGUAGES = ("en", "zh")
"""In the order of every probability array."""
MIN_CLIPS = 8
"""Fewer teach a model nothing."""


@dataclass(frozen=True)
class Clip:
    """One stretch of speech.

    Attributes:
        clip_id: Unique within a manifest; names the clip's features in the cache, so it must name
            the content too (a SHA-256, or a path that is never rewritten).
        path: The file to decode, or an empty string where the caller decodes by id.
        language: ``en`` or ``zh``.
        speaker: Who speaks; unique over sources.
        source: The corpus or channel that it was taken from.
        recording: The recording that it was cut from.
        codec: How it was encoded, such as ``mp3 64k``.
        seconds: Its length.
        snr: Estimated signal-to-noise ratio in decibels; NaN where not estimated.
    """

    clip_id: str
    path: str
    language: str
    speaker: str
    source: str
    recording: str
    codec: str
    seconds: float
    snr: float = float("nan")


@dataclass(frozen=True)
class Manifest:
    """N clips in a fixed order.

    Raises:
        LearningError: A clip twice (``duplicateClip``) or another language (``unknownLanguage``).
    """

    clips: tuple[Clip, ...]

    def __post_init__(self) -> None:
        if len({clip.clip_id for clip in self.clips}) != len(self.clips):
            raise LearningError("the manifest names a clip twice", reason="duplicateClip")
        others = sorted({clip.language for clip in self.clips} - set(LANGUAGES))
        if others:
            raise LearningError(
                f"the manifest has clips in {', '.join(others)}; the labels are"
                f" {' and '.join(LANGUAGES)}",
                reason="unknownLanguage",
            )

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    @property
    def labels(self) -> IntArray:
        """Index into ``LANGUAGES`` of each clip, shape (N,)."""
        return np.array([LANGUAGES.index(clip.language) for clip in self.clips], dtype=np.int64)

    @property
    def speakers(self) -> list[str]:
        """The speaker of each clip."""
        return [clip.speaker for clip in self.clips]

    @property
    def sources(self) -> list[str]:
        """The source of each clip."""
        return [clip.source for clip in self.clips]

    @property
    def sha256(self) -> str:
        """Names the content: the same clips with the same labels in the same order."""
        digest = hashlib.sha256()
        for clip in self.clips:
            digest.update(f"{clip.clip_id}\0{clip.language}\0{clip.speaker}\n".encode())
        return digest.hexdigest()

    def where(self, keep: Callable[[Clip], bool]) -> "Manifest":
        """Return the clips that ``keep`` accepts."""
        return Manifest(tuple(clip for clip in self.clips if keep(clip)))

    def take(self, rows: Sequence[int] | IntArray) -> "Manifest":
        """Return the clips at the given positions."""
        return Manifest(tuple(self.clips[row] for row in rows))

    @classmethod
    def from_csv(cls, index: Path) -> "Manifest":
        """Read an index with the columns of a ``clips.csv``; paths are relative to its folder.

        The columns are clip_file, language, speaker_id, source, original_encoding and duration_s.

        Raises:
            LearningError: The file or a column is missing (``manifestUnreadable``).
        """
        try:
            with index.open(newline="", encoding="utf-8") as file:
                clips = tuple(_clip(row, index.parent) for row in csv.DictReader(file))
        except (OSError, KeyError, ValueError) as error:
            raise LearningError(
                f"{index} cannot be read as an index of clips: {error!r}",
                reason="manifestUnreadable",
            ) from error
        return cls(clips)


def assert_disjoint(training: Manifest, test: Manifest) -> None:
    """Hold a split to its promise: no speaker, recording or clip on both sides.

    Raises:
        LearningError: ``leakSpeaker``, ``leakRecording`` or ``leakClip``, naming what is shared.
    """
    kinds: tuple[tuple[str, str, Callable[[Clip], str]], ...] = (
        ("leakClip", "clip", lambda clip: clip.clip_id),
        ("leakRecording", "recording", lambda clip: clip.recording),
        ("leakSpeaker", "speaker", lambda clip: clip.speaker),
    )
    for reason, kind, key in kinds:
        shared = sorted({key(clip) for clip in training} & {key(clip) for clip in test})
        if shared:
            raise LearningError(
                f"{len(shared)} {kind}s are on both sides of the split, {shared[0]!r} among them:"
                " what is measured would be memory; split by speaker and source",
                reason=reason,
            )


def assert_sources_disjoint(training: Manifest, test: Manifest) -> None:
    """Hold a split to more: no source on both sides either.

    Raises:
        LearningError: As :func:`assert_disjoint`, or ``leakSource``.
    """
    assert_disjoint(training, test)
    shared = sorted(set(training.sources) & set(test.sources))
    if shared:
        raise LearningError(
            f"the sources {', '.join(shared)} are on both sides of the split", reason="leakSource"
        )


def check_trainable(manifest: Manifest) -> None:
    """See that there is something to learn.

    Raises:
        LearningError: ``tooFewClips`` or ``oneLanguage``.
    """
    if len(manifest) < MIN_CLIPS:
        raise LearningError(
            f"{len(manifest)} clips are too few to learn from; at least {MIN_CLIPS} are needed",
            reason="tooFewClips",
        )
    if len(set(manifest.labels.tolist())) < len(LANGUAGES):
        raise LearningError(
            f"all {len(manifest)} clips are in one language; label clips in both",
            reason="oneLanguage",
        )


def _clip(row: dict[str, str], folder: Path) -> Clip:
    return Clip(
        clip_id=row["clip_file"],
        path=str(folder / row["clip_file"]),
        language=row["language"],
        speaker=row["speaker_id"],
        source=row["source"],
        recording=row["clip_file"],
        codec=row["original_encoding"],
        seconds=float(row["duration_s"]),
    )
