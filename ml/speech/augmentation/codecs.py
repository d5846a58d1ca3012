"""Send a waveform through a lossy codec and back, in memory, through FFmpeg's encoders (PyAV).

Telephone codecs exist for English only and syllable lists for Chinese only in what one can get, so
a model may take a codec for a language. Sending both languages through all codecs takes that away,
and sending test clips through one tells what it costs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml.errors import LearningError

if TYPE_CHECKING:
    import av
    from av.audio.codeccontext import AudioCodecContext

SAMPLE_RATE = 16_000
Waveform = npt.NDArray[np.float32]
"""Mono samples in [-1, 1], shape (samples,), 16 kHz unless stated otherwise."""


@dataclass(frozen=True)
class Codec:
    """An encoder with its settings.

    Attributes:
        encoder: FFmpeg's name of it.
        sample_rate: That it works at, in Hz; 8,000 is the telephone's.
        bit_rate: In bits a second; 0 for codecs of one rate.
        decoder: FFmpeg's name of the decoder.
    """

    encoder: str
    sample_rate: int
    bit_rate: int
    decoder: str


CODECS = {
    "mp3": Codec("libmp3lame", 22_050, 32_000, "mp3float"),
    "opus": Codec("libopus", 48_000, 16_000, "libopus"),
    "aac": Codec("aac", 22_050, 32_000, "aac"),
    "g711": Codec("pcm_mulaw", 8_000, 0, "pcm_mulaw"),
    "amr": Codec("libopencore_amrnb", 8_000, 12_200, "libopencore_amrnb"),
}
"""What test clips are sent through; at the low bit rates where a codec is audible. AMR is the
mobile telephone's successor of GSM 06.10, for which FFmpeg's wheels carry a decoder only."""

TRAINING_CODECS = (
    *(
        Codec("libmp3lame", rate, bits, "mp3float")
        for rate, bits in [(16_000, 24_000), (22_050, 48_000), (44_100, 64_000), (44_100, 128_000)]
    ),
    *(Codec("libopus", 48_000, bits, "libopus") for bits in (10_000, 24_000, 48_000)),
    *(
        Codec("aac", rate, bits, "aac")
        for rate, bits in [(16_000, 24_000), (32_000, 48_000), (44_100, 96_000)]
    ),
    Codec("pcm_alaw", 8_000, 0, "pcm_alaw"),
    Codec("pcm_mulaw", 8_000, 0, "pcm_mulaw"),
    Codec("libopencore_amrnb", 8_000, 7_950, "libopencore_amrnb"),
    Codec("libopencore_amrnb", 8_000, 12_200, "libopencore_amrnb"),
    Codec("g722", 16_000, 0, "g722"),
)
"""What training clips are sent through, one drawn a clip."""


def round_trip(waveform: Waveform, codec: Codec) -> Waveform:
    """Encode and decode.

    Args:
        waveform: Mono, 16 kHz.
        codec: Through what.

    Returns:
        As many samples as went in, at 16 kHz; the codec's delay is not taken out.

    Raises:
        LearningError: This FFmpeg has no such encoder (``codecMissing``).
    """
    # Of the extra `speech`; which models there are is read without it.
    import av  # noqa: PLC0415
    from av.audio.codeccontext import AudioCodecContext  # noqa: PLC0415
    from av.audio.resampler import AudioResampler  # noqa: PLC0415

    try:
        encoder = av.CodecContext.create(codec.encoder, "w")
        decoder = av.CodecContext.create(codec.decoder, "r")
    except av.error.FFmpegError as error:
        raise LearningError(
            f"this build of FFmpeg cannot encode {codec.encoder}: {error}", reason="codecMissing"
        ) from error
    assert isinstance(encoder, AudioCodecContext)
    assert isinstance(decoder, AudioCodecContext)
    _configure(encoder, codec)
    decoder.sample_rate = codec.sample_rate
    decoder.layout = "mono"
    back = AudioResampler("flt", "mono", SAMPLE_RATE)
    parts: list[Waveform] = []
    opened = False
    for packet in _packets(waveform, encoder, codec):
        if not opened:
            # Known only once the encoder has run.
            decoder.extradata = encoder.extradata
            opened = True
        for frame in decoder.decode(packet):
            parts += [part.to_ndarray()[0] for part in back.resample(frame)]
    parts += [part.to_ndarray()[0] for part in back.resample(None)]
    return _fitted(np.concatenate(parts) if parts else np.zeros(0, np.float32), len(waveform))


def _configure(encoder: "AudioCodecContext", codec: Codec) -> None:
    encoder.sample_rate = codec.sample_rate
    encoder.layout = "mono"
    formats = encoder.codec.audio_formats
    assert formats
    encoder.format = formats[0].name
    encoder.time_base = Fraction(1, codec.sample_rate)
    if codec.bit_rate:
        encoder.bit_rate = codec.bit_rate


def _packets(
    waveform: Waveform, encoder: "AudioCodecContext", codec: Codec
) -> Iterator["av.Packet[Any]"]:
    import av  # noqa: PLC0415 - as above
    from av.audio.resampler import AudioResampler  # noqa: PLC0415

    encoder.open()
    assert encoder.format is not None
    resampler = AudioResampler(
        encoder.format.name, "mono", codec.sample_rate, frame_size=encoder.frame_size or 1024
    )
    frame = av.AudioFrame.from_ndarray(waveform[None], format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        yield from encoder.encode(part)
    yield from encoder.encode(None)


def _fitted(waveform: Waveform, samples: int) -> Waveform:
    kept = waveform[:samples]
    return np.pad(kept, (0, samples - len(kept)))
