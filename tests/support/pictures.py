"""Drawn pictures of 320 by 180 whose text, colours and bars are known."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 320, 180


def plain(colour=(90, 120, 150)):
    return np.full((HEIGHT, WIDTH, 3), colour, dtype=np.uint8)


def noisy(seed):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def blotchy(seed):
    """Soft colours all over, as a photograph out of focus has them."""
    small = np.random.default_rng(seed).integers(40, 216, (5, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))


def with_text(
    image, words="BIG NEWS", size=40, at=(30, 60), colour=(255, 255, 255), edge=(0, 0, 0)
):
    drawn = Image.fromarray(image)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(drawn).text(at, words, font=font, fill=colour, stroke_width=2, stroke_fill=edge)
    return np.asarray(drawn)


def with_bars(image, *, rows=0, columns=0):
    """Squeeze an image between black bars without changing its proportions' visible part."""
    framed = np.zeros_like(image)
    inner = Image.fromarray(image).resize((WIDTH - 2 * columns, HEIGHT - 2 * rows))
    framed[rows : HEIGHT - rows, columns : WIDTH - columns] = np.asarray(inner)
    return framed
