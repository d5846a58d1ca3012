"""Is this a thumbnail? Bytes from the network, checked by decoding them."""

import io
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from services.errors import PermanentError

PLACEHOLDER_SIZE = (120, 90)
"""YouTube's grey picture in place of a missing one; also the true size of ``default``."""
MOST_PIXELS = 16_000_000
"""Twice YouTube's largest variant, 3840x2160."""
MOST_SCANS = 64
"""A progressive JPEG has about ten; each scan costs a pass over all pixels."""
_FORMATS = ("JPEG", "PNG", "WEBP")
_START_OF_SCAN = b"\xff\xda"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Width and height in pixels, and ``jpeg``, ``png`` or ``webp`` by the bytes themselves."""

    width: int
    height: int
    format: str


def inspect_thumbnail(content: bytes, variant: str) -> ImageFacts:
    """Decode a thumbnail and return what it is. Bytes after the picture's end are tolerated.

    A JPEG is decoded at an eighth of its size: every compressed byte is read, as for the whole
    picture, for a fraction of the time.

    Raises:
        PermanentError: ``notAnImage``, ``brokenImage``, ``imageTooLarge``, ``imageTooSmall``,
            or ``thumbnailMissing`` for the placeholder.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            facts = ImageFacts(image.width, image.height, str(image.format).lower())
            _check_size(facts, content, variant)
            image.draft("L", (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
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


def _check_size(facts: ImageFacts, content: bytes, variant: str) -> None:
    if facts.width * facts.height > MOST_PIXELS or (
        facts.format == "jpeg" and content.count(_START_OF_SCAN) > MOST_SCANS
    ):
        raise PermanentError("The picture is too large.", reason="imageTooLarge")
    if variant == "default":
        return
    if (facts.width, facts.height) == PLACEHOLDER_SIZE:
        raise PermanentError("There is no such thumbnail.", reason="thumbnailMissing")
    if facts.width <= PLACEHOLDER_SIZE[0] or facts.height <= PLACEHOLDER_SIZE[1]:
        raise PermanentError("The picture is too small.", reason="imageTooSmall")
