"""Encoding sound as YouTube does: Opus in WebM, AAC in M4A."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream

from ml.runtime.files import replaced


@dataclass(frozen=True, slots=True)
class Encoding:
    """An audio format.

    Attributes:
        format_id: YouTube's number for it.
        suffix: Of the file's name.
        media_type: As HTTP says it.
        codecs: As a manifest says it.
        kbps: Bit rate asked for, in kbit/s.
    """

    format_id: str
    suffix: str
    media_type: str
    codecs: str
    kbps: int


ENCODINGS = (
    Encoding("249", "webm", "audio/webm", "opus", 50),
    Encoding("251", "webm", "audio/webm", "opus", 128),
    Encoding("140", "m4a", "audio/mp4", "mp4a.40.2", 128),
)
"""What every invented video is offered in."""

# The fast ways: how good an encoder's choices are is not what is tested with invented speech.
_CODECS = {
    "webm": ("webm", "libopus", 24_000, {"compression_level": "2", "vbr": "constrained"}),
    "m4a": ("ipod", "aac", 22_050, {"aac_coder": "fast", "aac_tns": "0", "aac_pns": "0"}),
}


def encode(blocks: Iterable[np.ndarray], rate: int, path: Path, encoding: Encoding) -> None:
    """Write mono sound to a file, block by block; the same blocks give the same bytes.

    Args:
        blocks: int16, each of shape (n,).
        rate: Samples a second, in Hz.
        path: Where; a file that is there is replaced once all is written.
        encoding: One of ``ENCODINGS``.
    """
    container_name, codec, encoded_rate, tuned = _CODECS[encoding.suffix]
    # The index before the sound, as YouTube has it, and no date or random id inside.
    options = {"movflags": "+faststart"} if encoding.suffix == "m4a" else {}
    with (
        replaced(path) as partial,
        av.open(
            str(partial), "w", format=container_name, options={"fflags": "+bitexact", **options}
        ) as container,
    ):
        stream = container.add_stream(codec, rate=encoded_rate, layout="mono", options=tuned)
        assert isinstance(stream, AudioStream)
        stream.bit_rate = encoding.kbps * 1000
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=encoded_rate, frame_size=stream.frame_size
        )
        start = 0
        for samples in blocks:
            block = np.ascontiguousarray(samples).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate = rate
            frame.pts = start
            start += len(samples)
            for piece in resampler.resample(frame):
                container.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


@cache
def silence() -> bytes:
    """Return a WebM file that is in order and holds no second of sound."""
    file = BytesIO()
    with av.open(file, "w", format="webm", options={"fflags": "+bitexact"}) as container:
        container.add_stream("libopus", rate=48_000, layout="mono")
        container.start_encoding()
    return file.getvalue()
