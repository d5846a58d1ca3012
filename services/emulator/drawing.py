"""Thumbnails drawn from a seed, with one visual latent that can be planted into the views.

Each picture has a quiet background, clutter, sometimes a face and lines of text, and one vivid
main object. Its colour carries the latent: cold blue at the low end, warm orange at the high end.
Everything else varies independently, so only the object's colour tells about the latent.
"""

import math
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 320, 180
# The latent is uniform with mean 0 and variance 1, so it ends at ±√3.
LATENT_LIMIT = math.sqrt(3.0)

_COLD = np.array([40.0, 90.0, 225.0])
_WARM = np.array([245.0, 95.0, 25.0])
JPEG_QUALITY = 88

_Rgb = tuple[int, int, int]


def draw_thumbnail(seed: int, appeal: float, *, quality: int = JPEG_QUALITY) -> bytes:
    """Return a 320x180 JPEG; the same arguments give the same bytes.

    Args:
        seed: Decides everything but the main object's colour.
        appeal: The latent, in [-√3, √3].
        quality: Of the JPEG, up to 95: another one gives other bytes that look the same.
    """
    rng = np.random.default_rng(seed)
    image = _background(rng)
    canvas = ImageDraw.Draw(image)
    for _ in range(rng.integers(2, 6)):
        _shape(canvas, rng, _quiet_colour(rng), radius=rng.uniform(8, 34), centre=_anywhere(rng))
    if rng.random() < 0.4:  # noqa: PLR2004 - a face on two thumbnails in five
        _face(canvas, rng)
    _main_object(canvas, rng, appeal)
    if rng.random() < 0.6:  # noqa: PLR2004 - text on three in five
        _text_bars(canvas, rng)
    encoded = BytesIO()
    image.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def _background(rng: np.random.Generator) -> Image.Image:
    """Return a gradient between four quiet colours, one a corner."""
    corners = np.array([[_quiet_colour(rng) for _ in range(2)] for _ in range(2)], np.uint8)
    # Stretched by Pillow in C: the same in numpy floats took longer than all the rest together.
    return Image.fromarray(corners).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)


def _quiet_colour(rng: np.random.Generator) -> _Rgb:
    """Return any hue at low saturation, so that clutter says nothing about the latent."""
    level = rng.uniform(35, 225)
    red, green, blue = (int(value) for value in level + rng.uniform(-16, 16, 3))
    return red, green, blue


def _anywhere(rng: np.random.Generator) -> tuple[float, float]:
    return rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT)


def _main_object(canvas: ImageDraw.ImageDraw, rng: np.random.Generator, appeal: float) -> None:
    warmth = (np.clip(appeal, -LATENT_LIMIT, LATENT_LIMIT) + LATENT_LIMIT) / (2 * LATENT_LIMIT)
    light = rng.uniform(0.85, 1.1)
    colour = np.clip((_COLD + warmth * (_WARM - _COLD)) * light, 0, 255).astype(int)
    centre = rng.uniform(0.3, 0.7) * WIDTH, rng.uniform(0.35, 0.65) * HEIGHT
    fill = (int(colour[0]), int(colour[1]), int(colour[2]))
    _shape(canvas, rng, fill, radius=rng.uniform(42, 66), centre=centre, outlined=True)


def _shape(
    canvas: ImageDraw.ImageDraw,
    rng: np.random.Generator,
    fill: _Rgb,
    *,
    radius: float,
    centre: tuple[float, float],
    outlined: bool = False,
) -> None:
    """Draw an ellipse, a box or a polygon of three to nine corners around ``centre``."""
    x, y = centre
    stretch = rng.uniform(0.75, 1.35)
    outline = (255, 255, 255) if outlined else None
    kind = rng.integers(0, 3)
    box = (x - radius * stretch, y - radius, x + radius * stretch, y + radius)
    if kind == 0:
        canvas.ellipse(box, fill=fill, outline=outline, width=3)
    elif kind == 1:
        canvas.rounded_rectangle(box, radius=radius / 4, fill=fill, outline=outline, width=3)
    else:
        corners, turn = rng.integers(3, 10), rng.uniform(0, 2 * math.pi)
        angles = turn + np.arange(corners) * (2 * math.pi / corners)
        points = [
            (x + radius * stretch * math.cos(angle), y + radius * math.sin(angle))
            for angle in angles
        ]
        canvas.polygon(points, fill=fill, outline=outline, width=3)


def _face(canvas: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Draw a schematic head with eyes and a mouth."""
    tone = rng.uniform(70, 225)
    skin = (int(tone), int(tone * 0.88), int(tone * 0.8))
    x, y, size = rng.uniform(30, WIDTH - 30), rng.uniform(40, HEIGHT - 30), rng.uniform(18, 34)
    canvas.ellipse((x - size * 0.8, y - size, x + size * 0.8, y + size), fill=skin)
    eye = size * 0.12
    for side in (-0.35, 0.35):
        left, top = x + side * size - eye, y - size * 0.25 - eye
        canvas.ellipse((left, top, left + 2 * eye, top + 2 * eye), fill=(20, 20, 20))
    mouth = (x - size * 0.4, y + size * 0.1, x + size * 0.4, y + size * 0.6)
    canvas.arc(mouth, 10, 170, fill=(60, 30, 30), width=2)


def _text_bars(canvas: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Draw one or two lines of bars that look like bold lettering."""
    bright = rng.random() < 0.7  # noqa: PLR2004 - light lettering is the commoner one
    ink, edge = ((250, 250, 245), (15, 15, 15)) if bright else ((15, 15, 15), (250, 250, 245))
    height = rng.uniform(12, 20)
    top = rng.choice([6.0, HEIGHT - 2.4 * height - 6.0])
    for line in range(rng.integers(1, 3)):
        x, y = rng.uniform(8, 60), top + line * height * 1.25
        for width in rng.uniform(6, 26, rng.integers(4, 10)):
            canvas.rectangle((x, y, x + width, y + height), fill=ink, outline=edge)
            x += width + 4
