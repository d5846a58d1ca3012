"""Opening a file of unknown origin: what it says it is, and nothing else of the machine.

FFmpeg's playlist formats (HLS, concat, DASH, image sequences) make it read other files and
addresses. Only formats that carry their audio themselves are let through, under no protocol but
``file``.
"""

import string
from dataclasses import dataclass
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from ml.audio.errors import AudioError
from ml.audio.lengths import stated_s

FORMATS = (
    "aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "eac3", "flac", "flv", "g722",
    "gsm", "matroska", "mov", "mp3", "mpeg", "mpegts", "ogg", "tta", "w64", "wav", "wv",
)  # fmt: skip
"""Demuxers by FFmpeg's names; webm is matroska, mp4 and m4a are mov, opus comes in ogg."""
LONGEST_S = 12 * 3600.0
"""What is longer is refused; YouTube takes no upload of more than twelve hours."""
MOST_CHANNELS = 16
RATES = range(1_000, 1_000_001)
"""Samples a second; what says to have fewer or more is damaged, and would be stretched to hours."""
_RECKONED = frozenset({"aac", "ac3", "amr", "eac3", "g722", "gsm", "mp3", "mpeg", "mpegts"})
"""Formats whose duration may be reckoned from the file's size, and may be far off."""
_UNMARKED = frozenset({".722", ".g722"})
"""Formats without any mark in their bytes: only the name tells."""
_HEAD_BYTES = 512
_TEXT = string.printable.encode()
_TEXT_SHARE = 0.95


@dataclass(frozen=True)
class AudioFacts:
    """What a file says of itself, before anything is decoded.

    Attributes:
        duration_s: Seconds of the audio, as a hint; None where the file does not say.
        stated_s: Seconds of it that the file counts out; None where it only estimates.
        sample_rate: Samples a second and channel, in Hz.
        channels: How many.
        codec: FFmpeg's name, such as ``opus`` or ``pcm_s16le``.
        container: FFmpeg's name of the format, such as ``matroska,webm``.
        bit_rate: Bits a second of the audio; None where the file does not say.
        has_video: Whether there are moving pictures too (a cover is none).
        tracks: How many audio tracks there are.
        track: Which of them this is about, from 0.
        is_default_track: Whether a player would choose it.
    """

    duration_s: float | None
    stated_s: float | None
    sample_rate: int
    channels: int
    codec: str
    container: str
    bit_rate: int | None
    has_video: bool
    tracks: int
    track: int
    is_default_track: bool

    @property
    def duration_is_estimate(self) -> bool:
        """Whether the duration may be reckoned from the file's size, and be far off."""
        return self.stated_s is None and not _RECKONED.isdisjoint(self.container.split(","))


def probe(path: Path) -> AudioFacts:
    """Read what the file says of itself.

    Raises:
        AudioError: ``notFound``, ``notReadable``, ``empty``, ``notAudio``, ``truncated`` (its
            index is missing), ``noAudio``, ``zeroSeconds``, ``tooLong``, ``tooManyChannels``.
    """
    container, stream = opened(path)
    with container:
        return facts_of(path, container, stream)


def opened(path: Path, track: int | None = None) -> tuple[InputContainer, AudioStream]:
    """Open the file and choose an audio stream; the caller closes the container.

    Args:
        path: The file.
        track: Which of its audio streams, from 0; the default one if left out.

    Raises:
        AudioError: As :func:`probe`, without the limits.
    """
    head = _head(path)
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS)}
    try:
        container = av.open(
            # The prefix keeps a name such as "http:x" or "concat:a|b" a name.
            f"file:{path.resolve()}",
            mode="r",
            options=options,
            metadata_errors="ignore",  # tags may be in any encoding; none is used
        )
    except av.FFmpegError as error:
        raise _not_opened(path, head, error) from error
    except Exception as error:
        raise gave_up(path, error) from error
    if not container.streams.audio:
        has_video = bool(container.streams.video)
        container.close()
        if has_video:
            raise AudioError(path, "a video without sound", reason="noAudio")
        raise AudioError(path, "it holds no audio", reason="notAudio")
    chosen = _default_of(container) if track is None else container.streams.audio[track]
    if not _is_known(chosen):
        container.close()
        raise AudioError(path, "its codec is not known", reason="notAudio")
    for stream in container.streams:
        if stream.index != chosen.index:
            stream.discard = Discard.all
    chosen.codec_context.thread_count = 1
    return container, chosen


def _default_of(container: InputContainer) -> AudioStream:
    streams = [one for one in container.streams.audio if _is_known(one)]
    streams = streams or list(container.streams.audio)
    return next((one for one in streams if Disposition.default in one.disposition), streams[0])


def _is_known(stream: AudioStream) -> bool:
    # Of a codec that it does not know PyAV makes none, though it says otherwise.
    return getattr(stream, "codec_context", None) is not None


def gave_up(path: Path, error: Exception) -> AudioError:
    """Return the error of a file at which a library failed in a way that it does not promise."""
    what = f"the decoder gave up ({type(error).__name__})"
    return AudioError(path, what, reason="decoderFailed")


def check_rate(path: Path, rate: int) -> None:
    """Refuse a rate that no sound has.

    Raises:
        AudioError: ``notAudio``.
    """
    if rate not in RATES:
        raise AudioError(path, f"{rate} samples a second are no sound's rate", reason="notAudio")


def facts_of(
    path: Path, container: InputContainer, stream: AudioStream, *, longest_s: float = LONGEST_S
) -> AudioFacts:
    """Return the facts of an opened file, within the limits.

    Raises:
        AudioError: ``notAudio``, ``zeroSeconds``, ``tooLong``, ``tooManyChannels``.
    """
    codec = stream.codec_context
    if not codec.sample_rate or not codec.channels:
        raise AudioError(path, "its audio has no rate or no channels", reason="notAudio")
    check_rate(path, codec.sample_rate)
    if codec.channels > MOST_CHANNELS:
        raise AudioError(
            path,
            f"{codec.channels} channels are more than {MOST_CHANNELS}",
            reason="tooManyChannels",
        )
    facts = AudioFacts(
        duration_s=_duration_s(container, stream),
        stated_s=stated_s(path, container, stream),
        sample_rate=codec.sample_rate,
        channels=codec.channels,
        codec=codec.codec.canonical_name,
        container=container.format.name,
        bit_rate=codec.bit_rate or container.bit_rate or None,
        has_video=any(
            Disposition.attached_pic not in video.disposition for video in container.streams.video
        ),
        tracks=len(container.streams.audio),
        track=[audio.index for audio in container.streams.audio].index(stream.index),
        is_default_track=stream.index == _default_of(container).index,
    )
    if facts.duration_s is None or facts.duration_is_estimate:
        return facts
    if facts.duration_s > longest_s:
        raise AudioError(
            path,
            f"{facts.duration_s:.0f} s are more than the limit of {longest_s:.0f} s",
            reason="tooLong",
        )
    if facts.duration_s == 0:
        raise AudioError(path, "its audio lasts 0 seconds", reason="zeroSeconds")
    return facts


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError as error:
        raise AudioError(path, "there is no such file", reason="notFound") from error
    except OSError as error:
        raise AudioError(path, f"cannot be read: {error.strerror}", reason="notReadable") from error
    if not head:
        raise AudioError(path, "the file is empty", reason="empty")
    if path.suffix.lower() in _UNMARKED and _is_text(head):
        raise AudioError(path, "it is a text, whatever its name says", reason="notAudio")
    return head


def _is_text(head: bytes) -> bool:
    return sum(byte in _TEXT for byte in head) >= _TEXT_SHARE * len(head)


def _not_opened(path: Path, head: bytes, error: av.FFmpegError) -> AudioError:
    if head[4:8] in {b"ftyp", b"moov"}:
        # An MP4 keeps its index at the end unless written for streaming.
        return AudioError(path, "an MP4 file without its index", reason="truncated")
    problem = error.strerror or type(error).__name__
    what = f"no audio or video format that is read ({problem})"
    return AudioError(path, what, reason="notAudio")


def _duration_s(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return container.duration / av.time_base
    return None
