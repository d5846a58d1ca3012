"""The one door for encoded pictures: what they are by their bytes, and how a viewer shows them.

A phone's photograph lies on its side in the file, and a word of its EXIF says how to turn it; a
JPEG may hold a second picture behind the first (MPO); a PNG may have 16 bits a channel. Whoever
looks at a picture takes it from here, so that all see the same.
"""

import io
import struct
import warnings
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image

# Of what is damaged and not needed Pillow warns on standard error, also in a worker's log. Not call
# by call: which warnings are shown is the whole process's affair, other threads' too.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

FORMATS: Mapping[str, str] = MappingProxyType(
    {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp"}
)
"""Pillow's names of what is taken, and ours: several pictures in a JPEG are its first one."""
_ORIENTATION, _SHORT = 0x0112, 3
_TURNED = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
_ON_ITS_SIDE = 5
"""From this orientation on, width and height change places."""


def open_picture(data: bytes) -> Image.Image:
    """Open a JPEG, PNG or WebP without decoding it.

    Raises:
        PIL.UnidentifiedImageError: It is none of them.
        OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError: Its header is damaged.
    """
    # An MPO is opened as the JPEG that it begins as.
    return Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP"))


def orientation_of(image: Image.Image) -> int:
    """Return how a picture is to be turned, as EXIF counts: 1 (not at all) to 8.

    Decodes a PNG, which may say so at its end. What is damaged turns nothing, as in a browser.
    """
    if image.format == "PNG":
        image.load()
    exif = image.info.get("exif")
    return _orientation(exif) if isinstance(exif, bytes) else 1


def orientation_in(jpeg: bytes) -> int:
    """Return how an encoded JPEG is to be turned, 1 to 8; at no cost where it does not say."""
    if b"Exif\0\0" not in jpeg:
        return 1
    try:
        return orientation_of(open_picture(jpeg))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1  # that it is no picture is for its decoder to say


def shown_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the width and height that a viewer sees, or from those the ones in the file."""
    return size if orientation < _ON_ITS_SIDE else (size[1], size[0])


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture as it is shown."""
    return image if orientation == 1 else image.transpose(_TURNED[orientation])


def eight_bits(image: Image.Image) -> Image.Image:
    """Return a picture of 8 bits a channel: the upper 8 of 16, as Pillow takes them of colours.

    Left to itself, Pillow makes white of every 16-bit grey above 255.
    """
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))


def as_rgb(image: Image.Image, orientation: int = 1) -> Image.Image:
    """Decode a picture as RGB, upright, on black where it is transparent."""
    image = eight_bits(image)
    if image.mode in {"RGBA", "LA", "P", "PA"}:
        opaque = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(opaque, image.convert("RGBA"))
    return upright(image.convert("RGB"), orientation)


def _orientation(exif: bytes) -> int:
    # Read by hand: Pillow warns of what is damaged, which a thread cannot keep from the user.
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, start)
        for at in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, at)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and value in _TURNED else 1
    except struct.error:
        pass
    return 1
