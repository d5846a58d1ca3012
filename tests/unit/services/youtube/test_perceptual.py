"""The perceptual hash: still under re-encoding, far apart for different pictures."""

import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.emulator.drawing import draw_thumbnail
from services.youtube.perceptual import SAME_PICTURE_BITS, is_same_picture, perceptual_hash


def encoded(
    content: bytes, *, quality: int = 80, width: int | None = None, kind: str = "JPEG"
) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        picture = image.convert("RGB")
    if width is not None:
        picture = picture.resize((width, width * 9 // 16), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, kind, quality=quality)
    return out.getvalue()


def plain(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (320, 180), colour).save(out, "JPEG", quality=90)
    return out.getvalue()


@given(st.integers(0, 2**31), st.integers(30, 95))
def test_encoding_again_is_no_change(seed: int, quality: int):
    picture = draw_thumbnail(seed, 0.3)
    assert is_same_picture(
        perceptual_hash(picture), perceptual_hash(encoded(picture, quality=quality))
    )


@pytest.mark.parametrize("width", [160, 480, 1280])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_another_size_or_format_is_no_change(width: int, kind: str):
    for seed in range(10):
        picture = draw_thumbnail(seed, -0.5)
        other = encoded(picture, width=width, kind=kind)
        assert is_same_picture(perceptual_hash(picture), perceptual_hash(other))


def test_different_pictures_are_different():
    hashes = [perceptual_hash(draw_thumbnail(seed, 0.0)) for seed in range(120)]
    assert all(0 <= h < 2**63 for h in hashes)
    for one, other in itertools.combinations(hashes, 2):
        assert not is_same_picture(one, other)


def test_noise_decides_nothing_in_a_plain_picture():
    assert perceptual_hash(plain((7, 7, 7))) == perceptual_hash(plain((9, 8, 7)))


@pytest.mark.shared_data
def test_the_threshold_holds_on_real_thumbnails(shared_data):
    files = sorted((shared_data / "youtube" / "thumbnails").glob("*.jpg"))
    if not files:
        pytest.skip("no recorded thumbnails")
    pictures = list({f.read_bytes(): None for f in files[:150]})
    hashes = np.array([perceptual_hash(p) for p in pictures], dtype=np.uint64)
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None, :])[np.triu_indices(len(hashes), 1)]
    assert distances.min() > SAME_PICTURE_BITS
    for picture, known in zip(pictures, hashes, strict=True):
        assert is_same_picture(int(known), perceptual_hash(encoded(picture, quality=50)))
