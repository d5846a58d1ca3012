"""What comes of fetching a video's audio, and what may be said while it is fetched."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from services.errors import TransientError


@dataclass(frozen=True, slots=True)
class FetchedAudio:
    """One audio file, as it came, and what yt-dlp said about it.

    What is said is not checked: only decoding tells what is in the file. None: not said.

    Attributes:
        video_id: Whose audio it is.
        path: The file; its name is made of the id and the container, never of a title.
        sha256: Of the bytes, in hex.
        byte_size: The file's, > 0.
        is_whole: False where only the beginning was taken, enough for the seconds wanted.
        container: Such as ``webm`` or ``m4a``.
        codec: Such as ``opus`` or ``mp4a.40.2``.
        abr_kbps: Average bit rate in kbit/s.
        duration_s: Of the whole video, in seconds.
        language: Of the audio track, such as ``en`` or ``zh-CN``.
        title: Of the video.
        format_id: Which of the formats on offer; YouTube's number for it.
        source_url: The page it was taken from.
    """

    video_id: str
    path: Path
    sha256: str
    byte_size: int
    is_whole: bool
    container: str
    codec: str | None
    abr_kbps: float | None
    duration_s: float | None
    language: str | None
    title: str | None
    format_id: str
    source_url: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is, in bytes; ``total_bytes`` is None where the server does not say."""

    done_bytes: int
    total_bytes: int | None


OnProgress = Callable[[Progress], object]
"""Called at least every 64 KiB. Whatever it raises ends the transfer and leaves ``fetch``."""


class NotYetError(TransientError):
    """A video that is announced or on air: its audio is there later.

    Attributes:
        not_before: The earliest moment worth asking again (UTC), or None where nothing is known.
    """

    def __init__(
        self, message: str, *, reason: str, not_before: datetime | None, hint: str | None = None
    ) -> None:
        super().__init__(message, reason=reason, hint=hint)
        self.not_before = not_before
