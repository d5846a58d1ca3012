"""What a file states exactly of its own length, in seconds or bytes; no estimate is among it.

A bit rate times a size, the length of a film beside the sound and what an encoder meant to write
are hints: whether anything is missing at the end is not told by them.
"""

from pathlib import Path
from typing import BinaryIO

from av.audio.stream import AudioStream
from av.container import InputContainer

_COUNTED = frozenset({"aiff", "ape", "au", "flac", "mov", "tta", "wv"})
"""Formats whose header or table counts samples, and of which FFmpeg tells that count."""
_HEAD_BYTES = 4_096
_WAVE_UNKNOWN_FROM = 0x7FFF0000
"""Who writes to a pipe cannot know the size and puts in the largest."""
_MOST_CHUNKS = 1_000
_SEGMENT = 0x18538067
_ID3_HEAD = 10
_MPEG1_FROM_HZ = 32_000
_XING_COUNTS_FRAMES = 1


def stated_s(path: Path, container: InputContainer, stream: AudioStream) -> float | None:
    """Return the seconds that the file counts out; None where it does not."""
    formats = container.format.name.split(",")
    if "mp3" in formats:
        return _mp3_s(path, stream.codec_context.sample_rate)
    if _COUNTED.isdisjoint(formats) or stream.duration is None or stream.time_base is None:
        return None
    return float(stream.duration * stream.time_base)


def share_there(path: Path) -> float:
    """Return which share of the bytes that the file says to have is there, 0 to 1."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        found = None
        if head[:4] in {b"RIFF", b"RF64"} and head[8:] == b"WAVE":
            found = _wave_data(file, size)
        elif head.startswith(b"\x1aE\xdf\xa3"):
            found = _matroska_segment(file)
    if found is None:
        return 1.0
    start, length = found
    return min(1.0, max(0, size - start) / length) if length else 1.0


def _wave_data(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Return where the samples begin and how many bytes they are said to be."""
    at, large = 12, None
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            length = large if large is not None else length
            return None if large is None and length > _WAVE_UNKNOWN_FROM else (at + 8, length)
        if head[:4] == b"ds64":
            large = int.from_bytes(file.read(16)[8:], "little") or None
        at += 8 + length + length % 2
        if len(head) < 8 or at >= size:  # noqa: PLR2004 - a chunk's head
            break
    return None


def _matroska_segment(file: BinaryIO) -> tuple[int, int] | None:
    """Return where the segment, which holds everything, begins and its bytes."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return None
    file.seek(header, 1)
    if int.from_bytes(file.read(4), "big") != _SEGMENT:
        return None
    length = _vint(file)
    return None if length is None else (file.tell(), length)


def _vint(file: BinaryIO) -> int | None:
    """Return a size as EBML writes it; None for one that is not known."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    mask = (1 << (7 - more)) - 1
    value = int.from_bytes(bytes([first[0] & mask]) + rest, "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value


def _mp3_s(path: Path, rate: int) -> float | None:
    """Return what the frame that Xing or VBRI describes says; None where there is none."""
    with path.open("rb") as file:
        at = 0
        head = file.read(_ID3_HEAD)
        while head.startswith(b"ID3") and len(head) == _ID3_HEAD:
            at += _ID3_HEAD + sum((head[6 + n] & 0x7F) << (21 - 7 * n) for n in range(4))
            file.seek(at)
            head = file.read(_ID3_HEAD)
        file.seek(at)
        frame = file.read(_HEAD_BYTES).lstrip(b"\0")
    first = next(
        (n for n in range(len(frame) - 1) if frame[n] == 0xFF and frame[n + 1] & 0xE0 == 0xE0),  # noqa: PLR2004
        None,
    )
    if first is None:
        return None
    frame = frame[first : first + 200]
    frames = 0
    found = max(frame.find(b"Xing"), frame.find(b"Info"))
    if found > 0 and frame[found + 7 : found + 8] and frame[found + 7] & _XING_COUNTS_FRAMES:
        frames = int.from_bytes(frame[found + 8 : found + 12], "big")
    elif (found := frame.find(b"VBRI")) > 0:
        frames = int.from_bytes(frame[found + 14 : found + 18], "big")
    return frames * (1152 if rate >= _MPEG1_FROM_HZ else 576) / rate or None
