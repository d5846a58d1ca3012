"""Features and thumbnails of a chunk of pictures, each looked at once."""

import hashlib
import io
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from ml.errors import LearningCancelledError, LearningError
from ml.images.decoding import decode_thumbnails
from ml.images.pictures import decode_pictures
from ml.runtime.device import Device
from ml.thumbnails.backbones.efficientnet_lite import EfficientNetLite0
from ml.thumbnails.backbones.embeddings import embed
from ml.thumbnails.backbones.weights import TENSORFLOW
from ml.thumbnails.features.catalogue import measure_all
from ml.thumbnails.features.extractor import FeatureExtractor, can_measure

CPU = Device("cpu", torch.float32)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return EfficientNetLite0(TENSORFLOW).eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def pictures():
    made = {}
    sizes = [(320, 180), (480, 360), (640, 480), (1280, 720), (200, 400)]
    for seed, (size, kind) in enumerate(zip(sizes * 2, ["JPEG", "PNG"] * 5, strict=True)):
        pixels = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize(size)
        if seed % 3 == 0:
            image.paste("black", (0, 0, size[0], size[1] // 8))
            image.paste("black", (0, size[1] * 7 // 8, *size))
        buffer = io.BytesIO()
        image.save(buffer, kind)
        made[hashlib.sha256(buffer.getvalue()).hexdigest()] = buffer.getvalue()
    return made


@pytest.fixture
def extractor(tmp_path, weights):
    return FeatureExtractor(tmp_path, weights=weights, timm_name="tf_efficientnet_lite0", maps=True)


def test_one_call_gives_what_several_give_and_reads_once(extractor, network, pictures):
    reads = Counter()

    def read(name):
        reads[name] += 1
        return pictures[name]

    names = [*pictures, next(iter(pictures))]
    images, features = extractor.extract_with_thumbnails(names, read)
    assert reads == Counter(list(pictures))
    np.testing.assert_array_equal(images, decode_thumbnails(names, pictures.get))
    expected = embed(decode_pictures(names, pictures.get), network, CPU)
    np.testing.assert_allclose(features.embeddings, expected, rtol=2e-3, atol=2e-3)
    assert features.maps.shape[0] == len(names)
    if can_measure():
        frames = decode_thumbnails(names, pictures.get, size=(320, 180))
        measured = measure_all(list(frames)).astype(np.float16)
        np.testing.assert_array_equal(features.measurements, measured.astype(np.float64))
    again, kept = extractor.extract_with_thumbnails(names, read)
    np.testing.assert_array_equal(again, images)
    np.testing.assert_array_equal(kept.embeddings, features.embeddings)
    plain = extractor.extract(names, pictures.get)
    np.testing.assert_array_equal(plain.embeddings, features.embeddings)
    np.testing.assert_array_equal(plain.maps, features.maps)


def test_what_is_kept_is_not_read_again(extractor, pictures):
    names = list(pictures)
    extractor.extract(names, pictures.get)

    def refuse(name):
        raise AssertionError(name)

    assert len(extractor.extract(names, refuse)) == len(names)


def test_nothing_is_asked_of_an_empty_chunk(extractor):
    images, features = extractor.extract_with_thumbnails([], dict.get)
    assert images.shape == (0, 90, 160, 3)
    assert len(features) == 0


def test_an_unreadable_picture_is_named(extractor, pictures):
    name = "0" * 64
    with pytest.raises(LearningError, match=name) as caught:
        extractor.extract_with_thumbnails([*pictures, name], {**pictures, name: b"no"}.get)
    assert caught.value.reason == "imageUnreadable"


def test_it_can_be_stopped(extractor, pictures):
    with pytest.raises(LearningCancelledError):
        extractor.extract([*pictures], pictures.get, cancelled=lambda: True)


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="no onnxruntime here")
def test_weights_are_read_once_for_all_processes(
    extractor, pictures, tmp_path, monkeypatch, weights
):
    extractor.extract([*pictures][:2], pictures.get)
    monkeypatch.setattr(
        "ml.thumbnails.features.extractor.load_backbone",
        lambda *_args, **_kwargs: pytest.fail("the weights were loaded"),
    )
    later = FeatureExtractor(tmp_path, weights=weights, timm_name="tf_efficientnet_lite0")
    later.extract([*pictures], pictures.get)


def test_missing_weights_say_so(tmp_path):
    with pytest.raises(LearningError, match="cannot be used"):
        FeatureExtractor(tmp_path, weights=tmp_path / "none.pth")


def test_who_looks_at_no_measurements_leaves_them_out(tmp_path, weights, pictures):
    plain = FeatureExtractor(
        tmp_path, weights=weights, timm_name="tf_efficientnet_lite0", measures=False
    )
    names = [*pictures][:2]
    assert plain.extract(names, pictures.get).measurements is None
    assert not list(tmp_path.glob("measurements-*"))
