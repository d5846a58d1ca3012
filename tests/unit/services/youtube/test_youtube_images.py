import io
import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.errors import PermanentError
from services.youtube.images import MOST_SCANS, inspect_thumbnail


def picture(width=320, height=180, form="JPEG", **options) -> bytes:
    """Draw noise, so that the compressed bytes fill all of the picture."""
    noise = random.Random(width).randbytes(width * height * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), noise).save(out, form, **options)
    return out.getvalue()


def reason(content: bytes, variant: str = "mqdefault") -> str:
    with pytest.raises(PermanentError) as caught:
        inspect_thumbnail(content, variant)
    return caught.value.reason


@pytest.mark.parametrize(
    ("content", "width", "height", "form"),
    [
        (picture(), 320, 180, "jpeg"),
        (picture(progressive=True), 320, 180, "jpeg"),
        (picture(480, 360), 480, 360, "jpeg"),
        (picture(1280, 720), 1280, 720, "jpeg"),
        (picture(180, 320), 180, 320, "jpeg"),
        (picture(form="PNG"), 320, 180, "png"),
        (picture(form="WEBP"), 320, 180, "webp"),
        (picture() + b"trailing bytes", 320, 180, "jpeg"),
    ],
)
def test_a_picture_is_known_by_its_bytes(content, width, height, form):
    facts = inspect_thumbnail(content, "mqdefault")
    assert (facts.width, facts.height, facts.format) == (width, height, form)


def test_a_grey_jpeg_is_a_picture_too():
    out = io.BytesIO()
    Image.new("L", (320, 180), 7).save(out, "JPEG")
    assert inspect_thumbnail(out.getvalue(), "mqdefault").width == 320


def test_the_placeholder_is_no_thumbnail():
    assert reason(picture(120, 90)) == "thumbnailMissing"
    assert reason(picture(120, 90), "maxresdefault") == "thumbnailMissing"


def test_the_default_variant_is_that_size_in_truth():
    assert inspect_thumbnail(picture(120, 90), "default").width == 120


@pytest.mark.parametrize(("width", "height"), [(1, 1), (120, 400), (320, 90), (119, 89)])
def test_tiny_pictures_are_refused(width, height):
    assert reason(picture(width, height)) == "imageTooSmall"


@pytest.mark.parametrize(
    "content",
    [b"", b"<html><body>404</body></html>", b"GIF89a" + bytes(50), b"\xff\xd8\xff", b"%PDF-1.7"],
)
def test_what_is_no_picture_is_refused(content):
    assert reason(content) == "notAnImage"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated_pictures_are_refused(form, kept):
    content = picture(form=form)
    assert reason(content[: int(len(content) * kept)]) in {"brokenImage", "notAnImage"}


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [4_001, 10_000, 20_000, 60_000])
def test_decompression_bombs_are_refused_before_they_are_decoded(side):
    assert reason(png_that_claims(side, side)) == "imageTooLarge"


def test_a_jpeg_of_endless_scans_is_refused():
    assert reason(picture() + b"\xff\xda" * MOST_SCANS) == "imageTooLarge"


@given(st.binary(), st.integers(0, 400), st.integers(0, 255))
def test_damaged_pictures_end_in_facts_or_a_permanent_error(tail, at, value):
    content = bytearray(picture(160, 120))
    content[at] = value
    for damaged in (bytes(content), bytes(content[:at]) + tail):
        try:
            facts = inspect_thumbnail(damaged, "mqdefault")
        except PermanentError:
            continue
        assert facts.width > 0
