"""Thumbnails and feeds that are bent, by the names of :mod:`services.emulator.odd`."""

from collections.abc import Callable
from io import BytesIO

from PIL import Image

from services.emulator.damage import huge_picture, tiny_picture
from services.emulator.pictures import placeholder

_PAGE = b"<!DOCTYPE html><html><body>Not a picture</body></html>"


def _encoded(data: bytes, kind: str, mode: str = "RGB") -> bytes:
    with Image.open(BytesIO(data)) as image:
        converted = image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)
        encoded = BytesIO()
        converted.save(encoded, kind)
    return encoded.getvalue()


def _of_two(data: bytes) -> bytes:
    with Image.open(BytesIO(data)) as image:
        encoded = BytesIO()
        second = image.convert("RGB").resize((160, 90))
        image.convert("RGB").save(encoded, "MPO", save_all=True, append_images=[second])
    return encoded.getvalue()


_PICTURES: dict[str, Callable[[bytes], bytes]] = {
    "pictureIsEmpty": lambda _data: b"",
    "pictureIsHtml": lambda _data: _PAGE,
    "pictureIsCut": lambda data: data[: len(data) // 2],
    "pictureIsZeros": lambda data: bytes(len(data)),
    "pictureIsGiant": lambda _data: huge_picture(),
    "pictureIsATinyOne": lambda _data: tiny_picture(),
    "pictureIsThePlaceholder": lambda _data: placeholder().data,
    "pictureIsATextFile": lambda _data: b"a picture of a cat",
    "pictureOfTwo": _of_two,
    "pictureIsGrey16": lambda data: _encoded(data, "PNG", "I;16"),
    "pictureIsWebp": lambda data: _encoded(data, "WEBP"),
    "pictureWithATail": lambda data: data + bytes(5_000),
}


def bent_picture(name: str, data: bytes) -> bytes | None:
    """Return the bytes of a bent thumbnail; None where it is not answered at all."""
    make = _PICTURES.get(name)
    return None if make is None else make(data)


_BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE feed [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">]>
<feed xmlns="http://www.w3.org/2005/Atom"><title>&d;&d;&d;&d;</title></feed>"""


def bent_feed(name: str, feed: bytes) -> bytes:
    """Return a bent feed."""
    if name == "feedIsBroken":
        return feed[: len(feed) // 2]
    if name == "feedOfAnotherNamespace":
        return feed.replace(b"http://www.w3.org/2005/Atom", b"urn:another")
    return _BOMB
