import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ml.errors import LearningError
from ml.images.decoding import decode_thumbnail, decode_thumbnails


def encoded(size, form="JPEG", mode="RGB", colour=(200, 40, 90)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "size", [(320, 180), (1280, 720), (480, 360), (120, 90), (90, 160), (1, 1)]
)
def test_every_format_and_shape_becomes_160_by_90_of_its_colour(form, size):
    pixels = decode_thumbnail(encoded(size, form), name="x")
    assert pixels.shape == (90, 160, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - [200, 40, 90]).max() <= 6


@pytest.mark.parametrize(
    ("form", "mode"),
    [("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "LA")],
)
def test_other_colour_modes_become_rgb(form, mode):
    assert decode_thumbnail(encoded((320, 180), form, mode), name="x").shape == (90, 160, 3)


def test_letterbox_bars_of_the_four_by_three_variants_are_cut_off():
    image = Image.new("RGB", (480, 360), "black")
    image.paste((250, 250, 250), (0, 45, 480, 315))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    assert decode_thumbnail(buffer.getvalue(), name="x").min() > 200


def test_the_dct_scaled_picture_is_close_to_the_filtered_one():
    generator = np.random.default_rng(0)
    blobs = generator.integers(0, 255, size=(9, 16, 3), dtype=np.uint8)
    picture = Image.fromarray(blobs).resize((320, 180), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    filtered = np.asarray(picture.resize((160, 90), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(decode_thumbnail(buffer.getvalue(), name="x") - filtered).mean() < 3


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", encoded((320, 180))[:900], encoded((320, 180), "PNG")[:200], b"\xff\xd8\xff"],
    ids=["empty", "html", "truncated jpeg", "truncated png", "jpeg marker"],
)
def test_what_is_no_image_is_refused_by_name(data):
    with pytest.raises(LearningError, match="thumbnail abc123") as caught:
        decode_thumbnail(data, name="abc123")
    assert caught.value.reason == "imageUnreadable"


@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"]))
def test_no_bytes_do_anything_but_decode_or_raise_a_learning_error(data, magic):
    with contextlib.suppress(LearningError):
        assert decode_thumbnail(magic + data, name="x").shape == (90, 160, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_an_image_of_too_many_pixels_is_refused_before_decoding(form):
    bomb = io.BytesIO()
    Image.new("L", (8000, 8000)).save(bomb, form)
    with pytest.raises(LearningError, match="more than 20000000"):
        decode_thumbnail(bomb.getvalue(), name="x")


def test_many_are_decoded_in_order_and_a_repeated_name_once():
    colours = {"red": (250, 0, 0), "blue": (0, 0, 250)}
    asked = []

    def read(name):
        asked.append(name)
        return encoded((320, 180), "PNG", colour=colours[name])

    images = decode_thumbnails(["blue", "red", "blue"], read)
    assert sorted(asked) == ["blue", "red"]
    np.testing.assert_array_equal(images[:, 0, 0], [(0, 0, 250), (250, 0, 0), (0, 0, 250)])


def test_one_unreadable_image_among_many_is_named():
    images = {"good": encoded((320, 180)), "bad": b"nothing"}
    with pytest.raises(LearningError, match="thumbnail bad"):
        decode_thumbnails(["good", "bad"], images.__getitem__)
