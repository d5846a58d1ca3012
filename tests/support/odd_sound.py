"""Sound files that are whole and yet look broken: stray tags, wrong headers, samples of nothing."""

import struct
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.stream import Disposition

from tests.support.sound import RATE, write_wav


def mp3(path, samples, *, kbit, xing=True, rate=RATE):
    """Write an MP3 of a constant bit rate, with or without the frame that counts the others."""
    options = {"write_xing": str(int(xing)), "id3v2_version": "0"}
    with av.open(str(path), "w", format="mp3", container_options=options) as file:
        stream = file.add_stream("libmp3lame", rate=rate, layout="mono", format="fltp")
        stream.bit_rate = kbit * 1000
        frame = AudioFrame.from_ndarray(
            np.asarray(samples, dtype=np.float32)[np.newaxis], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(
            format="fltp", layout="mono", rate=rate, frame_size=stream.frame_size or 576
        )
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def joined_mp3(path, first, second, *, xing):
    """Write 32 kbit/s and then 128 kbit/s: whoever reckons from the first is far off."""
    low = mp3(path.with_suffix(".low"), first, kbit=32, xing=xing).read_bytes()
    high = mp3(path.with_suffix(".high"), second, kbit=128, xing=xing).read_bytes()
    path.write_bytes(low + high)
    return path


def with_cover_at_the_end(path, samples, *, cover=400_000):
    """Write an MP3 with a large picture in an APEv2 tag behind the sound."""
    picture = b"cover.jpg\0" + bytes(cover)
    item = struct.pack("<II", len(picture), 2) + b"Cover Art (Front)\0" + picture
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, 0) + bytes(8)
    data = mp3(path, samples, kbit=64, xing=False).read_bytes()
    path.write_bytes(data + item + footer)
    return path


def with_stray_wav_tag(path, samples):
    """Write a WAV whose title is Latin-1 and no UTF-8."""
    data = write_wav(path, samples).read_bytes()
    tag = b"INFOINAM" + struct.pack("<I", 8) + b"caf\xe9 \xff\xfe\0"
    chunk = b"LIST" + struct.pack("<I", len(tag)) + tag
    size = struct.pack("<I", len(data) - 8 + len(chunk))
    path.write_bytes(data[:4] + size + data[8:12] + chunk + data[12:])
    return path


def with_stray_mp3_tag(path, samples):
    """Write an MP3 whose ID3v2.4 title says to be UTF-8 and is not."""
    text = b"\x03" + b"abc\xff\xfe\xe9"
    frame = b"TIT2" + bytes([0, 0, 0, len(text)]) + b"\0\0" + text
    head = b"ID3\x04\0\0" + bytes([0, 0, 0, len(frame)])
    path.write_bytes(head + frame + mp3(path, samples, kbit=64).read_bytes())
    return path


def with_wrong_byte_rate(path, samples):
    """Write a WAV whose header gives a twentieth of its bytes a second."""
    data = bytearray(write_wav(path, samples).read_bytes())
    data[28:32] = struct.pack("<I", RATE * 2 // 20)
    path.write_bytes(data)
    return path


def float_wav(path, samples, *, rate=RATE):
    """Write 32-bit floats as they are, numbers or not."""
    data = np.asarray(samples, dtype="<f4").tobytes()
    form = struct.pack("<IHHIIHH", 16, 3, 1, rate, min(rate * 4, 2**32 - 1), 4, 32)
    head = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data))
    path.write_bytes(b"RIFF" + struct.pack("<I", len(head) + len(data)) + head + data)
    return path


def with_holes(path, samples, *, holes):
    """Write floats of which some, evenly spread, are no numbers."""
    samples = np.asarray(samples, dtype=np.float32).copy()
    samples[np.linspace(0, len(samples) - 1, holes).astype(int)] = np.resize(
        [np.nan, np.inf, -np.inf, 1e30], holes
    )
    return float_wav(path, samples)


def with_tracks(path, tracks, *, codec="flac", default=0, rate=RATE):
    """Write a Matroska file with several audio tracks, one of which is marked as the default."""
    with av.open(str(path), "w", format="matroska") as file:
        streams = [file.add_stream(codec, rate=rate, layout="mono") for _ in tracks]
        for number, stream in enumerate(streams):
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for stream, samples in zip(streams, tracks, strict=True):
            if not len(samples):
                continue
            frame = AudioFrame.from_ndarray(
                np.asarray(samples, dtype=np.float32)[np.newaxis], format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            resampler = av.AudioResampler(
                format=stream.format, layout="mono", rate=rate, frame_size=4096
            )
            for part in (*resampler.resample(frame), *resampler.resample(None)):
                file.mux(stream.encode(part))
            file.mux(stream.encode(None))
    return path
