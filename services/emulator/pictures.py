"""The sizes of a thumbnail, derived from its 320x180 original when somebody asks."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO

from PIL import Image, ImageDraw

ORIGINAL = "mqdefault"
SIZES = {
    "default": (120, 90),
    ORIGINAL: (320, 180),
    "hqdefault": (480, 360),
    "sddefault": (640, 480),
    "maxresdefault": (1280, 720),
}
"""Width and height by name; the 4:3 ones carry black bars above and below."""

ALWAYS_THERE = frozenset({"default", ORIGINAL, "hqdefault"})

_ORIGINALS_KEPT, _DERIVED_KEPT = 20_000, 512


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG and the tag that changes with its bytes."""

    data: bytes
    etag: str


class Gallery:
    """Pictures by key and size, each made once while it stays in the cache."""

    def __init__(self, source: Callable[[str], bytes]) -> None:
        self._source = source
        self._original = lru_cache(_ORIGINALS_KEPT)(self._fetch)
        self._derived = lru_cache(_DERIVED_KEPT)(self._derive)

    def picture(self, key: str, size: str) -> Picture:
        """Return the picture; at ``mqdefault`` the source's bytes, untouched."""
        return self._original(key) if size == ORIGINAL else self._derived(key, size)

    def _fetch(self, key: str) -> Picture:
        return _tagged(self._source(key))

    def _derive(self, key: str, size: str) -> Picture:
        width, height = SIZES[size]
        with Image.open(BytesIO(self._original(key).data)) as original:
            scaled = original.convert("RGB").resize(
                (width, round(width * 9 / 16)), Image.Resampling.LANCZOS
            )
        frame = Image.new("RGB", (width, height))
        frame.paste(scaled, (0, (height - scaled.height) // 2))
        return _tagged(_jpeg(frame))


@cache
def placeholder() -> Picture:
    """Return the grey 120x90 picture that stands in for a missing one."""
    image = Image.new("RGB", SIZES["default"], (204, 204, 204))
    canvas = ImageDraw.Draw(image)
    for x in (44, 60, 76):
        canvas.ellipse((x - 5, 40, x + 5, 50), fill=(150, 150, 150))
    return _tagged(_jpeg(image))


def _jpeg(image: Image.Image) -> bytes:
    encoded = BytesIO()
    image.save(encoded, "JPEG", quality=88)
    return encoded.getvalue()


def _tagged(data: bytes) -> Picture:
    return Picture(data, f'"{hashlib.sha256(data).hexdigest()[:20]}"')
