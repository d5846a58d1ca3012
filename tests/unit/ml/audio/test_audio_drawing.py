"""Spectrograms for people: loud where there is sound, at its pitch and its time."""

import io

import numpy as np
import pytest
from PIL import Image

from ml.audio.drawing import HEIGHT, WIDTH, Spectrogram


def tone(hertz: float, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(16_000 * seconds)) / 16_000).astype("f4")


def seen(drawn: Spectrogram) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(drawn.jpeg())).convert("L"), dtype=float)


def test_a_stretch_is_drawn_where_it_lies_and_the_rest_is_dark():
    drawn = Spectrogram(10.0)
    drawn.add(5.0, tone(1000, 2.5))
    picture = seen(drawn)
    assert picture.shape == (HEIGHT, WIDTH)
    loud = np.flatnonzero(picture.max(axis=0) > 128)
    assert (loud.min(), loud.max()) == (pytest.approx(480, abs=8), pytest.approx(719, abs=8))


def test_a_higher_tone_is_drawn_higher():
    rows = []
    for hertz in (200, 1000, 5000):
        drawn = Spectrogram(1.0)
        drawn.add(0.0, tone(hertz, 1.0))
        rows.append(int(seen(drawn)[:, 100:-100].mean(axis=1).argmax()))
    assert rows == sorted(rows, reverse=True)
    assert rows[0] - rows[2] > HEIGHT / 3


@pytest.mark.parametrize("samples", [0, 1, 100, 512])
def test_stretches_of_any_length_and_silence_can_be_drawn(samples: int):
    drawn = Spectrogram(0.0)
    drawn.add(0.0, np.zeros(samples, "f4"))
    assert seen(drawn).max() < 30
