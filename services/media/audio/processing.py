"""From a fetched file to what is stored: the compact original and its segments, as files."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from db.queries.speech.clips import StoredSegment
from ml.runtime.files import file_sha256
from services.errors import BlockedError, PermanentError
from services.media.audio.trimming import beginning

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml.audio import AudioFacts

AUDIO_PER_SPEECH = 2
"""So many seconds of audio are kept for each second of speech wanted: half may be pauses, music."""
LEEWAY = 1.1
"""A file that is no longer than this times what is kept is kept as it came."""


@dataclass(frozen=True)
class ProcessedAudio:
    """What a file came to; the files lie in the folder it was made in.

    Attributes:
        original: The compact original.
        sha256: Of the original's bytes.
        byte_size: The original's.
        facts: What it says of itself.
        duration_s: Seconds that decode.
        segments: Its speech, in order.
        flacs: A file for each segment.
        cutting_version: How it was cut: the version of the method and the seconds wanted.
    """

    original: Path
    sha256: str
    byte_size: int
    facts: "AudioFacts"
    duration_s: float
    segments: tuple[StoredSegment, ...]
    flacs: tuple[Path, ...]
    cutting_version: str

    @property
    def kept_s(self) -> float:
        """Seconds in its segments."""
        return sum(segment.length_s for segment in self.segments)


def audio_seconds(seconds_wanted: int) -> int:
    """Return how much audio is kept of a video of which so many seconds of speech are wanted."""
    return seconds_wanted * AUDIO_PER_SPEECH


def prepared(
    path: Path,
    folder: Path,
    *,
    seconds_wanted: int,
    is_whole: bool,
    check: "Callable[[], None]" = lambda: None,
) -> ProcessedAudio:
    """Trim a file where it is longer than needed, and cut its speech.

    Args:
        path: The file as it came.
        folder: Where to write.
        seconds_wanted: Seconds of speech.
        is_whole: Whether all of it came; a mere beginning does not hold what its header says.
        check: Called between the steps; what it raises ends them.

    Raises:
        PermanentError: It holds no audio that can be used; reasons as ``ml.audio.AudioError``.
        BlockedError: A part of the installation is missing: no other file would fare better.
    """
    from ml import audio  # noqa: PLC0415 - PyAV and onnxruntime are extras
    from ml.errors import LearningError  # noqa: PLC0415

    try:
        facts = audio.probe(path)
        most = audio_seconds(seconds_wanted)
        if not is_whole or facts.duration_s is None or facts.duration_s > most * LEEWAY:
            trimmed = folder / f"{path.stem}.mka"
            beginning(path, trimmed, seconds=most)
            path, facts = trimmed, audio.probe(trimmed)
        check()
        duration_s, segments, flacs = _cut(path, folder, seconds_wanted, check)
    except audio.AudioError as error:
        raise PermanentError(str(error).partition(": ")[2], reason=error.reason) from error
    except LearningError as error:
        raise BlockedError(str(error), reason=error.reason) from error
    return ProcessedAudio(
        original=path,
        sha256=file_sha256(path),
        byte_size=path.stat().st_size,
        facts=facts,
        duration_s=duration_s,
        segments=tuple(segments),
        flacs=tuple(flacs),
        cutting_version=f"{audio.CUT_VERSION}-{seconds_wanted}s",
    )


def _cut(
    path: Path, folder: Path, seconds_wanted: int, check: "Callable[[], None]"
) -> tuple[float, list[StoredSegment], list[Path]]:
    """Return the seconds that decode, the segments, and a file for each."""
    from ml import audio  # noqa: PLC0415 - see above

    segments: list[StoredSegment] = []
    flacs: list[Path] = []
    # A segment that is longer than all that is wanted would be left out.
    longest_s = min(audio.CutPolicy.longest_s, float(seconds_wanted))
    policy = audio.CutPolicy(seconds_wanted=float(seconds_wanted), longest_s=longest_s)
    cutting = audio.cut(path, policy)
    check()
    for found in cutting:
        content = audio.flac(found.samples)
        file = folder / f"{len(flacs)}.flac"
        file.write_bytes(content)
        flacs.append(file)
        segments.append(
            StoredSegment(
                **vars(found.segment),
                flac_sha256=hashlib.sha256(content).hexdigest(),
                byte_size=len(content),
            )
        )
        check()
    return cutting.activity.length_s, segments, flacs
