"""The pretrained network as an ONNX graph: batch norms folded, paddings known, both views in one.

What torch does operation by operation, a runtime does in passes over the memory that it chooses
itself once it knows the whole graph. The mirrored view takes no mirrored picture: the network's
kernels are mirrored instead, and a mean over the picture does not know the difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from ml.arrays import FloatArray
from ml.images.pictures import HEIGHT, WIDTH
from ml.runtime.onnx_graph import OnnxGraph
from ml.thumbnails.backbones.efficientnet_lite import EfficientNetLite0, missing_padding

PICTURES, RESULT = "pictures", "result"
"""Names of a graph's input, (N, 180, 320, 3) of bytes, and of its output."""
VERSION = 1
"""Counts up whenever the same weights give another graph."""
_FROM, _TO = 5, 7
"""The enlarged view has seven rows and columns where the picture has five."""
_REACH = 2
"""Pixels on each side that a cubic takes."""
_SHARPNESS = -0.75
"""Of the cubic, as torch and OpenCV have it (Keys 1981)."""


def embedding_graph(network: EfficientNetLite0) -> bytes:
    """Return what makes embeddings of pictures, (N, 2 times 2064), as ONNX."""
    graph = OnnxGraph()
    pixels = _pixels(graph)
    plain = _View(graph, HEIGHT, WIDTH)
    enlarged = _View(graph, HEIGHT * _TO // _FROM, WIDTH * _TO // _FROM, mirrored=True)
    means = [
        graph.node("GlobalAveragePool", hidden)
        for view, shown in ((plain, pixels), (enlarged, _enlarged(graph, pixels)))
        for hidden in view.maps(network, shown)
    ]
    flat = graph.node("Flatten", graph.node("Concat", *means, axis=1), axis=1)
    graph.output(RESULT, flat, np.float32, ["n", "width"])
    return graph.encoded()


def maps_graph(network: EfficientNetLite0, stages: int) -> bytes:
    """Return what makes the output of the first stages of pictures, (N, C * h * w), as ONNX."""
    graph = OnnxGraph()
    hidden = _View(graph, HEIGHT, WIDTH).maps(network, _pixels(graph), stages)[-1]
    graph.output(RESULT, graph.node("Flatten", hidden, axis=1), np.float32, ["n", "width"])
    return graph.encoded()


def _pixels(graph: OnnxGraph) -> str:
    pictures = graph.input(PICTURES, np.uint8, ["n", HEIGHT, WIDTH, 3])
    floats = graph.node("Cast", pictures, to=1)
    return graph.node("Transpose", floats, perm=(0, 3, 1, 2))


def _enlarged(graph: OnnxGraph, pixels: str) -> str:
    """Resize by a cubic, as convolutions: their kernels repeat every five pixels.

    A runtime's own cubic takes as long as a quarter of the network.
    """
    margin = np.array([0, 0, _REACH, _REACH] * 2)
    hidden = graph.node("Pad", pixels, graph.constant(margin), mode="edge")
    kernels = np.tile(_cubic_kernels()[:, None, :], (3, 1, 1)).astype(np.float32)
    taps, width = kernels.shape[2], WIDTH + 2 * _REACH
    rows, columns = HEIGHT // _FROM, WIDTH // _FROM

    def shaped(value: str, *shape: int) -> str:
        return graph.node("Reshape", value, graph.constant(np.array([0, 3, *shape])))

    down = graph.node(
        "Conv",
        hidden,
        graph.constant(kernels[..., None]),
        kernel_shape=(taps, 1),
        strides=(_FROM, 1),
        group=3,
    )
    down = graph.node("Transpose", shaped(down, _TO, rows, width), perm=(0, 1, 3, 2, 4))
    across = graph.node(
        "Conv",
        shaped(down, rows * _TO, width),
        graph.constant(kernels[:, :, None, :]),
        kernel_shape=(1, taps),
        strides=(1, _FROM),
        group=3,
    )
    across = shaped(across, _TO, rows * _TO, columns)
    across = graph.node("Transpose", across, perm=(0, 1, 3, 4, 2))
    bounds = (graph.constant(np.array(bound, np.float32)) for bound in (0, 255))
    return graph.node("Clip", shaped(across, rows * _TO, columns * _TO), *bounds)


def _cubic_kernels() -> FloatArray:
    """Return what each of seven pixels takes of nine, the five and two on each side, (7, 9)."""
    centres = (np.arange(_TO) + 0.5) * _FROM / _TO - 0.5
    places = np.arange(-_REACH, _FROM + _REACH)
    t = np.abs(centres[:, None] - places)
    a = _SHARPNESS
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.asarray(np.where(t <= 1, near, np.where(t < _REACH, far, 0.0)))


@dataclass
class _View:
    """A way through the network: ``rows`` and ``columns`` are of what comes next."""

    graph: OnnxGraph
    rows: int
    columns: int
    mirrored: bool = False

    def maps(self, network: EfficientNetLite0, pixels: str, stages: int | None = None) -> list[str]:
        """As the network's own method."""
        # Before the padding: its zeros stand for the mean colour.
        hidden = self.graph.node("Sub", pixels, self.graph.constant(_buffer(network.mean)))
        colours = 1 / _buffer(network.deviation).astype(np.float64)
        hidden = self._convolved(hidden, network.conv_stem, network.bn1, relu=True, scale=colours)
        result = []
        for stage in list(network.blocks)[:stages]:
            for block in _modules(stage):
                hidden = self._block(hidden, block)
            result.append(hidden)
        if stages is None:
            head = self._convolved(hidden, network.conv_head, network.bn2, relu=True)
            result.append(head)
        return result

    def _block(self, before: str, block: Any) -> str:
        if not hasattr(block, "conv_pwl"):
            hidden = self._convolved(before, block.conv_dw, block.bn1, relu=True)
            return self._convolved(hidden, block.conv_pw, block.bn2, relu=False)
        hidden = self._convolved(before, block.conv_pw, block.bn1, relu=True)
        hidden = self._convolved(hidden, block.conv_dw, block.bn2, relu=True)
        hidden = self._convolved(hidden, block.conv_pwl, block.bn3, relu=False)
        return self.graph.node("Add", before, hidden) if block.shortcut else hidden

    def _convolved(
        self,
        hidden: str,
        layer: nn.Conv2d,
        norm: nn.BatchNorm2d,
        *,
        relu: bool,
        scale: FloatArray | float = 1.0,
    ) -> str:
        weight, bias = _folded(layer, norm)
        kernel, stride = layer.kernel_size[0], layer.stride[0]
        self.rows, top, bottom = _padded(layer, self.rows)
        self.columns, left, right = _padded(layer, self.columns)
        weight = weight * scale
        if self.mirrored:
            weight, left, right = weight[..., ::-1], right, left
        made = self.graph.node(
            "Conv",
            hidden,
            self.graph.constant(weight.astype(np.float32)),
            self.graph.constant(bias.astype(np.float32)),
            kernel_shape=(kernel, kernel),
            strides=(stride, stride),
            pads=(top, left, bottom, right),
            group=layer.groups,
        )
        if not relu:
            return made
        bounds = (self.graph.constant(np.array(bound, np.float32)) for bound in (0, 6))
        return self.graph.node("Clip", made, *bounds)


def _padded(layer: nn.Conv2d, size: int) -> tuple[int, int, int]:
    """Return how many outputs a side has, and its paddings as far as a kernel reaches.

    What no kernel reaches would be reached by a mirrored one.
    """
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    if getattr(layer, "same", False):
        missing = missing_padding(size, kernel, stride)
        outputs, before = -(-size // stride), missing // 2
    else:
        before = int(layer.padding[0])
        outputs = (size + 2 * before - kernel) // stride + 1
    return outputs, before, max((outputs - 1) * stride + kernel - size - before, 0)


def _folded(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[FloatArray, FloatArray]:
    """Return a convolution's weights and bias with the batch norm behind it, in double."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = _double(norm.weight) / np.sqrt(_double(norm.running_var) + norm.eps)
    bias = _double(norm.bias) - _double(norm.running_mean) * factor
    return _double(layer.weight) * factor[:, None, None, None], bias


def _double(values: Tensor) -> FloatArray:
    return _array(values).astype(np.float64)


def _array(values: Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(values.detach().cpu().numpy())


def _buffer(values: Tensor | nn.Module) -> npt.NDArray[np.float32]:
    return _array(cast("Tensor", values))


def _modules(stage: Any) -> Sequence[nn.Module]:
    return list(stage)
