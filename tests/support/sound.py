"""Sound and files of sound, made on the spot."""

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

RATE = 16_000
FORMANTS = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)]
"""Of the vowels a, i, u and e: the first three resonances in Hz."""


def voiced(seconds, *, seed=0, rate=RATE):
    """Return something that an activity detector takes for speech: syllables of vowels.

    float64 samples of shape (seconds × rate,), peak about 0.5.
    """
    generator = np.random.default_rng(seed)
    found = np.zeros(0)
    while len(found) < seconds * rate:
        length = generator.uniform(0.12, 0.28)
        found = np.concatenate([found, _vowel(length, generator, rate), np.zeros(rate // 25)])
    found = found[: round(seconds * rate)]
    return found + generator.normal(0, 1e-4, len(found))


def noise(seconds, *, level=0.1, seed=0, rate=RATE):
    return np.random.default_rng(seed).normal(0, level, round(seconds * rate))


def chords(seconds, *, rate=RATE):
    """Return chords of decaying harmonics, one each half second."""
    times = np.arange(round(seconds * rate)) / rate
    since = times % 0.5
    found = np.zeros(len(times))
    for turn, root in enumerate((220.0, 174.6, 261.6, 196.0)):
        own = (times // 0.5).astype(int) % 4 == turn
        for interval in (1.0, 1.26, 1.5):
            for harmonic in range(1, 6):
                tone = np.sin(2 * np.pi * root * interval * harmonic * times) / harmonic**1.5
                found += own * tone * np.exp(-3 * since)
    return 0.3 * found / np.abs(found).max()


def silence(seconds, *, rate=RATE):
    return np.zeros(round(seconds * rate))


def write_wav(path, samples, *, rate=RATE, channels=1):
    """Write 16-bit PCM; every channel carries the same."""
    scaled = np.rint(np.clip(samples, -1, 1) * 32_767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(scaled, channels).tobytes())
    return Path(path)


def encode(path, samples, codec, *, rate=RATE, options=None, container=None, video=False):
    """Write the samples with one of FFmpeg's encoders, beside a moving picture if asked."""
    with av.open(str(path), "w", format=container, container_options=options or {}) as file:
        if samples is not None:
            _encode_audio(file, samples, codec, rate, video=video)
        else:
            _encode_video(file, 50)
    return Path(path)


def _encode_audio(file, samples, codec, rate, *, video):
    stream = file.add_stream(codec, rate=rate, layout="mono")
    pictures = _video_stream(file) if video else None
    frame = AudioFrame.from_ndarray(
        np.asarray(samples, dtype=np.float32)[np.newaxis], format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    resampler = av.AudioResampler(
        format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1024
    )
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        file.mux(stream.encode(part))
    file.mux(stream.encode(None))
    if pictures is not None:
        _encode_pictures(file, pictures, round(len(samples) / rate * 25))


def _encode_video(file, count):
    _encode_pictures(file, _video_stream(file), count)


def _video_stream(file):
    stream = file.add_stream("mpeg4" if "mp4" in file.format.name else "libvpx", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
    return stream


def _encode_pictures(file, stream, count):
    for number in range(count):
        picture = np.full((36, 64, 3), number % 256, dtype=np.uint8)
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def _vowel(seconds, generator, rate):
    """Return a buzz through three resonances, with a falling pitch."""
    count = round(seconds * rate)
    pitch = generator.uniform(100, 160) * np.linspace(1.1, 0.9, count)
    phase = np.cumsum(pitch) / rate
    formants = FORMANTS[generator.integers(len(FORMANTS))]
    found = np.zeros(count)
    for harmonic in range(1, 40):
        frequency = 120.0 * harmonic
        gain = sum(1 / (1 + ((frequency - formant) / 80) ** 2) for formant in formants)
        found += (gain + 0.01) / harmonic**0.5 * np.sin(2 * np.pi * harmonic * phase)
    return 0.5 * found / np.abs(found).max() * np.hanning(count) ** 0.3
