"""Is this a thumbnail? Bytes from the network, checked by decoding them."""

from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from ml.images.opening import FORMATS, open_picture, orientation_of, shown_size
from services.errors import PermanentError
from services.youtube.perceptual import DRAFT, hash_of

PLACEHOLDER_SIZE = (120, 90)
"""YouTube's grey picture in place of a missing one; also the true size of ``default``."""
MOST_PIXELS = 16_000_000
"""Twice YouTube's largest variant, 3840x2160."""
MOST_SCANS = 64
"""A progressive JPEG has about ten; each scan costs a pass over all pixels."""
_START_OF_SCAN = b"\xff\xda"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a picture is.

    Attributes:
        width: In pixels, as it is shown.
        height: Likewise.
        format: ``jpeg``, ``png`` or ``webp``, by the bytes themselves: what the database knows.
        perceptual_hash: What it looks like, in 63 bits.
    """

    width: int
    height: int
    format: str
    perceptual_hash: int


def inspect_thumbnail(content: bytes, variant: str) -> ImageFacts:
    """Decode a thumbnail and return what it is. Bytes after the picture's end are tolerated.

    It is decoded once, for the check and for its perceptual hash. A JPEG is decoded at a part of
    its size: every compressed byte is read, as for the whole picture, for a fraction of the time.

    Raises:
        PermanentError: ``notAnImage``, ``brokenImage``, ``imageTooLarge``, ``imageTooSmall``,
            or ``thumbnailMissing`` for the placeholder.
    """
    try:
        with open_picture(content) as image:
            (width, height), format_ = image.size, FORMATS[str(image.format)]
            _check_size(width, height, format_, content, variant)
            image.draft("L", DRAFT)
            width, height = shown_size((width, height), orientation_of(image))
            facts = ImageFacts(width, height, format_, hash_of(image))
    except PermanentError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PermanentError("The picture is too large.", reason="imageTooLarge") from None
    except UnidentifiedImageError:
        raise PermanentError(
            "The file is neither JPEG, PNG nor WebP.", reason="notAnImage"
        ) from None
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile bytes
        raise PermanentError(
            f"The picture cannot be decoded ({type(error).__name__}).", reason="brokenImage"
        ) from None
    return facts


def _check_size(width: int, height: int, format_: str, content: bytes, variant: str) -> None:
    if width * height > MOST_PIXELS or (
        format_ == "jpeg" and content.count(_START_OF_SCAN) > MOST_SCANS
    ):
        raise PermanentError("The picture is too large.", reason="imageTooLarge")
    if variant == "default":
        return
    if (width, height) == PLACEHOLDER_SIZE:
        raise PermanentError("There is no such thumbnail.", reason="thumbnailMissing")
    if width <= PLACEHOLDER_SIZE[0] or height <= PLACEHOLDER_SIZE[1]:
        raise PermanentError(f"{width} by {height} pixels are too small.", reason="imageTooSmall")
