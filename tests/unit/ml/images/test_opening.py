"""However a picture is encoded, all that look at it see what a viewer sees."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from db.models.videos import Thumbnail
from ml.images.decoding import decode_thumbnail
from ml.images.opening import FORMATS
from services.youtube.images import inspect_thumbnail
from services.youtube.perceptual import is_same_picture
from tests.support.pictures import blotchy, with_text

QUALITY: dict[str, dict[str, int]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": 1}, "PNG": {}}
CASES = Path(__file__).resolve().parents[4].parent / "shared" / "cases"
AS_STORED = {  # what is done to the upright picture so that this orientation undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def drawn(width=640, height=360) -> Image.Image:
    return Image.fromarray(with_text(blotchy(3))).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, form="JPEG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def turned_by_exif(orientation: int, form: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(drawn().transpose(AS_STORED[orientation]), form, exif=exif, **QUALITY[form])


def difference(one: bytes, other: bytes) -> float:
    first, second = (decode_thumbnail(data, name="x").astype(int) for data in (one, other))
    return float(np.abs(first - second).mean())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", AS_STORED)
def test_a_picture_that_exif_turns_is_the_picture_that_lies_upright(orientation, form):
    turned, plain = turned_by_exif(orientation, form), saved(drawn(), form, **QUALITY[form])
    facts, upright = (inspect_thumbnail(data, "mqdefault") for data in (turned, plain))
    assert (facts.width, facts.height) == (640, 360)
    assert is_same_picture(facts.perceptual_hash, upright.perceptual_hash)
    assert difference(turned, plain) < 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's, on opening
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*"])
def test_exif_that_is_damaged_turns_nothing(exif):
    damaged, plain = saved(drawn(), exif=exif), saved(drawn())
    assert inspect_thumbnail(damaged, "mqdefault").width == 640
    assert difference(damaged, plain) == 0


def test_16_bit_grey_is_the_same_grey_in_8_bits():
    grey = np.asarray(drawn().convert("L"))
    deep = saved(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
    assert Image.open(io.BytesIO(deep)).mode == "I;16"
    plain = saved(Image.fromarray(grey), "PNG")
    assert difference(deep, plain) == 0
    assert (
        inspect_thumbnail(deep, "x").perceptual_hash
        == inspect_thumbnail(plain, "x").perceptual_hash
    )


def test_a_jpeg_of_two_pictures_is_its_first():
    two = saved(drawn(), "MPO", save_all=True, append_images=[Image.new("RGB", (640, 360))])
    assert Image.open(io.BytesIO(two)).format == "MPO"
    plain = saved(drawn())
    assert inspect_thumbnail(two, "mqdefault") == inspect_thumbnail(plain, "mqdefault")
    assert difference(two, plain) == 0


def test_of_damage_that_costs_nothing_nobody_is_warned(tmp_path):
    two = saved(drawn(), "MPO", save_all=True, append_images=[Image.new("RGB", (640, 360))])
    (tmp_path / "damaged.jpg").write_bytes(two.replace(b"MPF\0II*", b"MPF\0III", 1))
    code = (
        "import sys; from pathlib import Path; from ml.images.decoding import decode_thumbnail\n"
        "from ml.images.opening import open_picture\n"
        "data = Path(sys.argv[1]).read_bytes(); open_picture(data)\n"
        "print(decode_thumbnail(data, name='x').shape)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "damaged.jpg")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ran.stdout, ran.stderr) == ("(90, 160, 3)\n", "")


def test_every_format_that_is_taken_is_known_to_the_database():
    [known] = [
        str(check.sqltext)
        for check in Thumbnail.__table__.constraints
        if str(check.name).endswith("format_known")
    ]
    assert all(f"'{name}'" in known for name in FORMATS.values())


@pytest.mark.skipif(not CASES.is_dir(), reason="the collected cases are not there")
def test_the_cases_that_went_wrong():
    read = {name: (CASES / name).read_bytes() for name in ("gray16.png", "gray8_same_as_16.png")}
    assert difference(*read.values()) < 1
    assert difference(*((CASES / n).read_bytes() for n in ("plain.jpg", "exif-rotated.jpg"))) < 2
    assert inspect_thumbnail((CASES / "two-pictures-mpo.jpg").read_bytes(), "x").format == "jpeg"
