"""The sound of each video, as files in several formats, made when somebody asks."""

import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.emulator.encoding import ENCODINGS, encode
from services.emulator.labels import language_of
from services.emulator.videos import Video
from services.emulator.voices import SAMPLE_RATE, speak, voice_of

_FILES_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """One of the formats in which a video's sound is offered.

    Attributes:
        format_id: YouTube's number for it, or ``original``.
        suffix: Of the file's name, without the dot.
        media_type: As HTTP says it.
        codecs: As a manifest says it; "" where there is no word for it.
        kbps: Bit rate in kbit/s.
    """

    format_id: str
    suffix: str
    media_type: str
    codecs: str
    kbps: float


class Sound(Protocol):
    """Where the sound of a catalogue's videos comes from."""

    def seconds(self, video: Video) -> float:
        """Return how long the sound is."""
        ...

    def formats(self, video: Video) -> Sequence[SoundFormat]:
        """Return the formats on offer, at least one."""
        ...

    def file(self, video: Video, offered: SoundFormat) -> Path:
        """Return the file in one of the formats; may take a while."""
        ...


class SpokenSound:
    """Invented speech; files stay in a folder that goes with the process."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._folder: Path | None = None
        self._kept: OrderedDict[str, Path] = OrderedDict()
        self._lock = threading.Lock()

    def seconds(self, video: Video) -> float:
        """Return the video's length, but no more than the longest that is spoken."""
        known = None if video.duration is None else video.duration.total_seconds()
        return min(known or self._longest_s, self._longest_s)

    def formats(self, video: Video) -> Sequence[SoundFormat]:  # noqa: ARG002 - all have the same
        """Return Opus in WebM, low and high, and AAC in M4A."""
        return _FORMATS

    def file(self, video: Video, offered: SoundFormat) -> Path:
        """Return the file; spoken and encoded if it is not kept from before."""
        name = f"{video.video_id}.{offered.format_id}.{offered.suffix}"
        # One at a time, speaking allows no more: who asks for the same file finds it made.
        with self._lock:
            if name not in self._kept:
                self._kept[name] = self._make(video, offered, name)
            self._kept.move_to_end(name)
            if len(self._kept) > _FILES_KEPT:
                self._kept.popitem(last=False)[1].unlink(missing_ok=True)
            return self._kept[name]

    def _make(self, video: Video, offered: SoundFormat, name: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tubegrader-sound-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        language = spoken_language(video)
        path = self._folder / name
        voice = voice_of(video.channel_id, language)
        seconds = self.seconds(video)
        with closing(speak(video.video_id, voice, language=language, seconds=seconds)) as speech:
            encode(speech, SAMPLE_RATE, path, _ENCODINGS[offered.format_id])
        return path


class RecordedSound:
    """Files as they lie in a folder, byte for byte."""

    def __init__(self, files: Mapping[str, tuple[Path, float]]) -> None:
        """``files`` gives path and length in seconds by video id."""
        self._files = files

    def seconds(self, video: Video) -> float:
        """Return the recorded length."""
        return self._files[video.video_id][1]

    def formats(self, video: Video) -> Sequence[SoundFormat]:
        """Return the one format in which it was recorded."""
        path, seconds = self._files[video.video_id]
        suffix = path.suffix[1:].lower()
        media_type, codecs = RECORDED_TYPES[suffix]
        kbps = path.stat().st_size * 8 / 1000 / seconds
        return (SoundFormat("original", suffix, media_type, codecs, kbps),)

    def file(self, video: Video, offered: SoundFormat) -> Path:  # noqa: ARG002 - there is one
        """Return the recorded file."""
        return self._files[video.video_id][0]


RECORDED_TYPES = {
    "flac": ("audio/flac", "flac"),
    "g722": ("audio/g722", ""),
    "gsm": ("audio/x-gsm", ""),
    "m4a": ("audio/mp4", "mp4a.40.2"),
    "mp3": ("audio/mpeg", "mp3"),
    "ogg": ("audio/ogg", ""),
    "opus": ("audio/ogg", "opus"),
    "wav": ("audio/wav", ""),
    "webm": ("audio/webm", "opus"),
}
"""Media type and codec by suffix."""


def spoken_language(video: Video) -> str:
    """Return what is really spoken, ``en`` or ``zh``, whatever the label says."""
    return video.spoken or language_of(video.title)


_FORMATS = tuple(
    SoundFormat(one.format_id, one.suffix, one.media_type, one.codecs, float(one.kbps))
    for one in ENCODINGS
)
_ENCODINGS = {one.format_id: one for one in ENCODINGS}
