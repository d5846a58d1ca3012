"""The network as onnxruntime runs it, beside torch."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from ml.errors import LearningError
from ml.runtime.device import Device
from ml.thumbnails.backbones import compiled
from ml.thumbnails.backbones.compiled import CompiledNetwork, drawn_pictures
from ml.thumbnails.backbones.efficientnet_lite import EfficientNetLite0
from ml.thumbnails.backbones.embeddings import WIDTH, PictureNetwork, embed, frozen_maps
from ml.thumbnails.backbones.weights import FLAVOURS, TENSORFLOW, Backbone

pytestmark = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="no onnxruntime here")
CPU = Device("cpu", torch.float32)
NOISE = np.random.default_rng(5).integers(0, 256, (3, 180, 320, 3), dtype=np.uint8)


def drawn_network(flavour):
    """Draw weights, and batch norms that have something to fold."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = EfficientNetLite0(flavour).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.1, 0.5)
                torch.nn.init.normal_(module.bias)
    return network


@pytest.mark.parametrize("flavour", FLAVOURS.values(), ids=FLAVOURS)
def test_both_views_and_every_stage_are_torchs(flavour):
    # Not a symmetric picture: the enlarged view is mirrored.
    network = drawn_network(flavour)
    found = PictureNetwork("a" * 64, lambda: Backbone(network, "a" * 64), device=CPU).embed(NOISE)
    expected = embed(NOISE, network, CPU)
    assert found.shape == (3, WIDTH)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)
    assert np.abs(expected[:, WIDTH // 2 :] - expected[:, : WIDTH // 2]).max() > 0.01


def test_what_fine_tuning_begins_with_is_torchs():
    network = drawn_network(TENSORFLOW)
    runs = PictureNetwork("a" * 64, lambda: Backbone(network, "a" * 64), device=CPU)
    expected = frozen_maps(NOISE, network, CPU)
    np.testing.assert_allclose(runs.frozen_maps(NOISE), expected, rtol=2e-3, atol=2e-3)


def test_the_next_process_needs_no_weights(tmp_path):
    network = drawn_network(TENSORFLOW)
    first = PictureNetwork(
        "b" * 64, lambda: Backbone(network, "b" * 64), folder=tmp_path / "one", device=CPU
    )
    assert not first.ready
    made = first.embed(NOISE)
    # Another name for the folder: what a process has open it does not open again.
    (tmp_path / "one").rename(tmp_path / "two")

    def refuse():
        raise AssertionError("the weights were loaded")

    again = PictureNetwork("b" * 64, refuse, folder=tmp_path / "two", device=CPU)
    assert again.ready
    np.testing.assert_array_equal(again.embed(NOISE), made)


def test_a_damaged_graph_is_made_anew(tmp_path):
    network = drawn_network(TENSORFLOW)
    load = [lambda: Backbone(network, "c" * 64)]
    PictureNetwork("c" * 64, load[0], folder=tmp_path / "one", device=CPU).embed(NOISE[:1])
    (tmp_path / "one").rename(tmp_path / "two")
    (kept,) = (tmp_path / "two").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    PictureNetwork("c" * 64, load[0], folder=tmp_path / "two", device=CPU).embed(NOISE[:1])
    assert kept.read_bytes() == whole


def test_other_numbers_than_torchs_are_refused(tmp_path):
    network, other = (
        drawn_network(TENSORFLOW),
        drawn_network(replace(TENSORFLOW, mean=(0.49, 0.498, 0.498))),
    )
    from ml.thumbnails.backbones.export import embedding_graph

    graph = CompiledNetwork("embedding", "d" * 64, tmp_path)
    with pytest.raises(LearningError, match="computes other image features here") as caught:
        graph.open(lambda: embedding_graph(other), lambda pictures: embed(pictures, network, CPU))
    assert caught.value.reason == "runtimeDisagrees"
    assert not graph.kept
    assert not list(tmp_path.iterdir())


def test_without_the_runtime_torch_computes(monkeypatch):
    monkeypatch.setattr(compiled, "find_spec", lambda _name: None)
    network = drawn_network(TENSORFLOW)
    runs = PictureNetwork("e" * 64, lambda: Backbone(network, "e" * 64), device=CPU)
    assert not runs.ready
    np.testing.assert_array_equal(runs.embed(NOISE), embed(NOISE, network, CPU))


def test_pictures_that_runtimes_are_compared_on_are_all_different():
    pictures = drawn_pictures()
    assert pictures.shape == (3, 180, 320, 3)
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert not np.array_equal(pictures[0], pictures[0][:, ::-1])
