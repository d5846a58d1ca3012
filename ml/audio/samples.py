"""Samples as they are stored: 16-bit, 16 kHz, mono; their level, their slices, their FLAC.

Levels and slices are pydub's. The FLAC is PyAV's: pydub starts an ffmpeg process for each export,
which takes longer than cutting the segment, and whose version would decide about the bytes.
"""

import io
import warnings
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame

from ml.audio.arrays import PcmArray, SampleArray
from ml.audio.decoding import SAMPLE_RATE
from ml.errors import LearningError

with warnings.catch_warnings():
    # It imports audioop, which leaves the standard library with 3.13, and looks for a system
    # ffmpeg, which nothing here needs.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message="'audioop'")
    warnings.filterwarnings("ignore", category=RuntimeWarning, message="Couldn't find ff")
    # Its regular expressions are plain strings with backslashes.
    warnings.filterwarnings("ignore", category=SyntaxWarning, module="pydub")
    warnings.filterwarnings("ignore", category=DeprecationWarning, message="invalid escape")
    from pydub import AudioSegment

FULL_SCALE = 32_767
QUIETEST_DBFS = -120.0
"""What digital silence counts as: below the rounding noise of 16 bits."""
_FLAC_FRAME = 4_096


def pcm(samples: SampleArray) -> PcmArray:
    """Round to 16 bits; what exceeds full scale is clipped."""
    scaled = np.rint(samples * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE)
    return scaled.astype(np.int16)


def floats(samples: PcmArray) -> SampleArray:
    """Return the samples with full scale ±1, as models want them."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def level_dbfs(samples: PcmArray) -> float:
    """Return the root mean square in dB below full scale, at least ``QUIETEST_DBFS``."""
    return max(QUIETEST_DBFS, float(_segment(samples).dBFS))


def sliced(samples: PcmArray, start: int, end: int) -> PcmArray:
    """Return the samples from ``start`` up to, not including, ``end``, or to where they end."""
    part = _segment(samples).get_sample_slice(start, end)
    return np.frombuffer(part.raw_data, dtype=np.int16)


def is_silent(samples: PcmArray, *, below_dbfs: float = -60.0) -> bool:
    """Tell whether nothing in the samples is as loud as ``below_dbfs``, by their peak."""
    return not len(samples) or float(_segment(samples).max_dBFS) < below_dbfs


def flac(samples: PcmArray) -> bytes:
    """Encode as FLAC, 16 kHz mono; the same samples always give the same bytes.

    There is no encoder's name and no date in it, so that the SHA-256 stands for the sound.
    """
    if not len(samples):
        raise LearningError("no samples to encode", reason="zeroSeconds")
    buffer = io.BytesIO()
    options = {"fflags": "+bitexact", "metadata_header_padding": "0"}
    with av.open(buffer, mode="w", format="flac", container_options=options) as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono", format="s16")
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"flags": "+bitexact"}
        for first in range(0, len(samples), _FLAC_FRAME):
            part = np.ascontiguousarray(samples[np.newaxis, first : first + _FLAC_FRAME])
            frame = AudioFrame.from_ndarray(part, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            frame.pts, frame.time_base = first, Fraction(1, SAMPLE_RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def read_flac(data: bytes) -> PcmArray:
    """Decode what :func:`flac` made, shape (N,).

    Raises:
        LearningError: ``segmentUnreadable``: not FLAC, damaged, or not 16 kHz mono of 16 bits.
    """
    try:
        with av.open(io.BytesIO(data), mode="r", format="flac") as container:
            stream = container.streams.audio[0]
            codec = stream.codec_context
            if (codec.sample_rate, codec.channels) != (SAMPLE_RATE, 1):
                raise LearningError(
                    "a segment that is not 16 kHz mono FLAC", reason="segmentUnreadable"
                )
            codec.thread_count = 1
            frames = [frame.to_ndarray()[0] for frame in container.decode(stream)]
            declared = stream.duration
    except (av.FFmpegError, IndexError) as error:
        raise LearningError(
            f"a segment that does not decode as FLAC: {error}", reason="segmentUnreadable"
        ) from error
    samples = np.concatenate(frames) if frames else np.zeros(0, np.int16)
    if len(samples) != declared:
        raise LearningError(
            f"a segment with {len(samples)} of {declared} samples", reason="segmentUnreadable"
        )
    return samples


def _segment(samples: PcmArray) -> AudioSegment:
    return AudioSegment(
        samples.astype("<i2", copy=False).tobytes(),
        sample_width=2,
        frame_rate=SAMPLE_RATE,
        channels=1,
    )
