"""Thumbnails from bytes to one array, of 160 by 90 pixels unless another size is asked for.

JPEGs are decoded by libjpeg-turbo at a fraction of their size where that is enough (the discrete
cosine transform gives halves, quarters and eighths nearly for free); everything else goes through
Pillow. Images of another shape lose their margins, never their proportions: the 4:3 variants of
YouTube carry letterbox bars there.
"""

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import simplejpeg
from PIL import Image

from ml.arrays import ImageArray
from ml.errors import LearningError

WIDTH, HEIGHT = 160, 90
MAX_PIXELS = 20_000_000
"""Larger images are refused before decoding; YouTube's largest thumbnail has 8.3 million pixels."""
FORMATS = ("JPEG", "PNG", "WEBP")
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
_QUEUED = 4_096
"""Thumbnails handed to the pool at a time: what waits there takes a kilobyte each."""
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
    try:
        pixels = _decode_jpeg(data, size) if data.startswith(b"\xff\xd8") else None
        image = _open(data) if pixels is None else Image.fromarray(pixels)
        return _fit(image, size)
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
    """Decode many thumbnails on a thread pool, (N, height, width, 3) in the order of ``names``.

    Args:
        names: One name (SHA-256) a row; a name that occurs twice is decoded once.
        read: Returns the encoded bytes of a name; called from the pool's threads.
        workers: How many threads; the decoders release the interpreter lock.
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

    distinct = list(rows)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for start in range(0, len(distinct), _QUEUED):
            for _ in pool.map(fill, distinct[start : start + _QUEUED]):
                pass
    return images


def _decode_jpeg(data: bytes, size: Size) -> ImageArray | None:
    """Decode at the smallest scale that still covers the target; None: leave it to Pillow."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height)
        if colours in {"CMYK", "YCCK"}:
            return None
        # Twice the target where there is that much, except at exact multiples: halving by the
        # transform is as good as a filter, but only then is no second resampling needed.
        pixels: ImageArray = simplejpeg.decode_jpeg(
            data, colorspace="RGB", min_height=size[1], min_width=size[0]
        )
    except ValueError as error:
        if isinstance(error, _TooLargeError):
            raise
        return None
    return pixels


def _open(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    _check_size(*image.size)
    if image.mode in {"RGBA", "LA", "P", "PA"}:
        opaque = Image.new("RGBA", image.size, "black")
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


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
