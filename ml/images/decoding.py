"""Thumbnails from bytes to one array, of 160 by 90 pixels unless another size is asked for.

JPEGs are decoded by libjpeg-turbo at a fraction of their size where that is enough (the discrete
cosine transform gives halves, quarters and eighths nearly for free); everything else goes through
Pillow, and all through :mod:`ml.images.opening`. Images of another shape lose their margins, never
their proportions: the 4:3 variants of YouTube carry letterbox bars there.
"""

from collections.abc import Callable, Sequence

import numpy as np
import simplejpeg
from PIL import Image

from ml.arrays import ImageArray
from ml.errors import LearningError
from ml.images.opening import (
    as_rgb,
    open_picture,
    orientation_in,
    orientation_of,
    shown_size,
    upright,
)
from ml.runtime.pools import decoding

WIDTH, HEIGHT = 160, 90
MAX_PIXELS = 20_000_000
"""Larger images are refused before decoding; YouTube's largest thumbnail has 8.3 million pixels."""
UNDECODABLE = (
    OSError,
    ValueError,
    SyntaxError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises for bytes that are no whole image."""
PREPROCESSING = {
    "width": WIDTH,
    "height": HEIGHT,
    "colour": "RGB",
    "crop": "centre 16:9",
    "resize": "jpeg dct scaling, then bilinear",
}
"""What a model's weights rely on; stored with them."""
Size = tuple[int, int]
"""Width and height in pixels."""


def decode_thumbnail(data: bytes, *, name: str, size: Size = (WIDTH, HEIGHT)) -> ImageArray:
    """Decode one JPEG, PNG or WebP into (height, width, 3) RGB.

    Args:
        data: The encoded image.
        name: What to call it in an error, such as its SHA-256.
        size: Width and height wanted.

    Raises:
        LearningError: Not an image of these formats, truncated, or larger than 20 megapixels.
    """
    (image,) = decode_sizes(data, name=name, sizes=(size,))
    return image


def decode_sizes(data: bytes, *, name: str, sizes: Sequence[Size]) -> list[ImageArray]:
    """Decode one JPEG, PNG or WebP in several sizes, each as :func:`decode_thumbnail` makes it.

    A JPEG is decoded for each size, at the scale that is enough for it; whatever else there is,
    once.

    Raises:
        LearningError: As :func:`decode_thumbnail`.
    """
    try:
        scaled = _decode_jpeg(data, sizes) if data.startswith(b"\xff\xd8") else None
        if scaled is None:
            whole = _open(data)
            return [_fit(whole, size) for size in sizes]
        return [_fit(image, size) for image, size in zip(scaled, sizes, strict=True)]
    except UNDECODABLE as error:
        raise LearningError(
            f"thumbnail {name} ({len(data)} bytes) cannot be decoded: {error}",
            reason="imageUnreadable",
        ) from error


def decode_thumbnails(
    names: Sequence[str],
    read: Callable[[str], bytes],
    *,
    workers: int = 2,
    size: Size = (WIDTH, HEIGHT),
) -> ImageArray:
    """Decode many thumbnails side by side, (N, height, width, 3) in the order of ``names``.

    Args:
        names: One name (SHA-256) a row; a name that occurs twice is decoded once.
        read: Returns the encoded bytes of a name; called from the pool's threads.
        workers: How many threads at most; the decoders release the interpreter lock.
        size: Width and height wanted.

    Raises:
        LearningError: As :func:`decode_thumbnail`, naming the image.
    """
    images = np.empty((len(names), size[1], size[0], 3), dtype=np.uint8)
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)

    def fill(name: str) -> None:
        images[rows[name]] = decode_thumbnail(read(name), name=name, size=size)

    decoding().each(fill, rows, width=workers)
    return images


def _decode_jpeg(data: bytes, sizes: Sequence[Size]) -> list[Image.Image] | None:
    """Decode at the smallest scales that still cover the sizes; None: leave it to Pillow."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height)
        if colours in {"CMYK", "YCCK"}:
            return None
        orientation = orientation_in(data)
        return [_scaled(data, shown_size(size, orientation), orientation) for size in sizes]
    except ValueError as error:
        if isinstance(error, _TooLargeError):
            raise
        return None


def _scaled(data: bytes, least: Size, orientation: int) -> Image.Image:
    # Twice the target where there is that much, except at exact multiples: halving by the
    # transform is as good as a filter, but only then is no second resampling needed.
    pixels: ImageArray = simplejpeg.decode_jpeg(
        data, colorspace="RGB", min_height=least[1], min_width=least[0]
    )
    return upright(Image.fromarray(pixels), orientation)


def _open(data: bytes) -> Image.Image:
    image = open_picture(data)
    _check_size(*image.size)
    return as_rgb(image, orientation_of(image))


class _TooLargeError(ValueError):
    """More pixels than any thumbnail has."""


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _TooLargeError(f"{width} by {height} pixels are more than {MAX_PIXELS}")


def _fit(image: Image.Image, size: Size) -> ImageArray:
    if image.size != size:
        box = _centre(*image.size, size)
        image = image.resize(size, Image.Resampling.BILINEAR, box=box)
    return np.asarray(image)


def _centre(width: int, height: int, size: Size) -> tuple[float, float, float, float]:
    """Return the largest box of the wanted shape in the middle: left, upper, right, lower."""
    scale = min(width / size[0], height / size[1])
    across, down = size[0] * scale, size[1] * scale
    left, upper = (width - across) / 2, (height - down) / 2
    return left, upper, left + across, upper + down
