"""Measurements that are kept to seven digits."""

import hashlib
import io
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from ml.images.decoding import decode_thumbnails
from ml.thumbnails.features.catalogue import measure_all
from ml.thumbnails.features.kept import Measurements, as_kept

pytestmark = pytest.mark.skipif(
    not all(find_spec(name) for name in ("cv2", "rapidocr", "onnxruntime")),
    reason="the extra pictures is not installed",
)


def test_each_picture_is_measured_once_and_to_seven_digits(tmp_path):
    contents = {}
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((320, 180)).save(buffer, "PNG")
        contents[hashlib.sha256(buffer.getvalue()).hexdigest()] = buffer.getvalue()
    names, told = [*contents, next(iter(contents))], []
    exact = measure_all(list(decode_thumbnails(names, contents.get, size=(320, 180))))
    found = Measurements(tmp_path).of(names, contents.get, lambda *step: told.append(step[:2]))
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-7)
    assert np.abs(found - exact.astype(np.float16)).max() > 1e-3
    np.testing.assert_array_equal(found, [as_kept(row) for row in exact])
    assert told == [(3, 3)]
    # Nothing is read a second time.
    np.testing.assert_array_equal(Measurements(tmp_path).of(names, {}.__getitem__, print), found)
