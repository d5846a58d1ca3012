"""Which part of a picture a model's answer hangs on: occlusion, Grad-CAM, and whether to trust it.

A heat map is only worth showing when it is about what the model learned. Adebayo et al. 2018
("Sanity Checks for Saliency Maps") found maps that look the same when the model's weights are
random: edges of the picture, not reasons. :func:`passes_randomisation` is their test.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ml.arrays import FloatArray, ImageArray, IntArray
from ml.errors import LearningError
from ml.runtime.device import seeded

Score = Callable[[ImageArray], FloatArray]
"""Maps images (N, H, W, 3) of 8 bits to answers (N,)."""
GRID = (9, 16)
"""Rows and columns of an occlusion map: squares of 20 pixels in 180 by 320."""
SIMILAR = 0.5
"""A map whose rank correlation with that of a random model is above this fails."""
_BATCH = 64


def occlusion_map(
    image: ImageArray, score: Score, *, grid: tuple[int, int] = GRID, patch: int = 3
) -> FloatArray:
    """Return how much the answer falls when a part is hidden, as (rows, columns) of ``grid``.

    A window of ``patch`` by ``patch`` cells slides over the picture (Zeiler & Fergus 2014) and
    shows the picture's own blur instead; a cell's value is the mean over the windows that hide it.
    Positive: the part raises the answer. In the answer's unit.

    Args:
        image: (H, W, 3).
        score: The model; called with stacks of at most 64 images.
        grid: Rows and columns of the map.
        patch: Cells along a window's side.

    Raises:
        LearningError: The grid is finer than the picture, or the window larger than the grid.
    """
    height, width = image.shape[:2]
    rows, columns = grid
    if not (1 <= patch <= min(grid) and rows <= height and columns <= width):
        raise LearningError(
            f"a grid of {grid} with windows of {patch} does not fit a picture of"
            f" {height} by {width}",
            reason="gridInvalid",
        )
    down = np.linspace(0, height, rows + 1).round().astype(np.int64)
    across = np.linspace(0, width, columns + 1).round().astype(np.int64)
    blurred = _blur(image)
    places = [(r, c) for r in range(rows - patch + 1) for c in range(columns - patch + 1)]
    drops = np.empty(len(places))
    whole = float(score(image[None])[0])
    for start in range(0, len(places), _BATCH):
        some = places[start : start + _BATCH]
        hidden = np.repeat(image[None], len(some), axis=0)
        for one, (r, c) in zip(hidden, some, strict=True):
            window = np.s_[down[r] : down[r + patch], across[c] : across[c + patch]]
            one[window] = blurred[window]
        drops[start : start + _BATCH] = whole - score(hidden)
    total, times = np.zeros(grid), np.zeros(grid)
    for (r, c), drop in zip(places, drops, strict=True):
        total[r : r + patch, c : c + patch] += drop
        times[r : r + patch, c : c + patch] += 1
    return total / times


def grad_cam(images: Tensor, model: nn.Module, layer: nn.Module, output: int) -> FloatArray:
    """Return Grad-CAM's maps, (N, h, w) at the layer's resolution, from 0 to 1.

    Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks": the layer's channels,
    each weighted by the mean gradient of the answer, summed, negative parts cut off.

    Args:
        images: (N, 3, H, W), as the model takes them, on its device.
        model: In evaluation mode; returns (N, outputs).
        layer: A layer of the model that returns (N, C, h, w).
        output: Which of the outputs is explained.

    Raises:
        LearningError: The layer took no part in the answer.
    """
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _inputs: tuple[Tensor, ...], result: Tensor) -> None:
        caught.append(result)

    hook = layer.register_forward_hook(catch)
    try:
        with torch.enable_grad():
            # Asked of the images, so that a model with frozen weights has gradients too.
            answer = model(images.detach().clone().requires_grad_())[:, output].sum()
    finally:
        hook.remove()
    if not caught:
        raise LearningError(
            "the layer to explain took no part in the model's answer", reason="layerUnused"
        )
    activations = caught[-1]
    (gradient,) = torch.autograd.grad(answer, activations)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    maps = (weights * activations).sum(dim=1).clamp(min=0).detach().double().cpu().numpy()
    peaks = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(maps, peaks, out=np.zeros_like(maps), where=peaks > 0))


@dataclass(frozen=True)
class SanityCheck:
    """Whether maps depend on what the model learned.

    Attributes:
        passed: The maps of the model and of random ones differ.
        similarity: Mean Spearman correlation between them, -1 to 1: 1 is the same map.
    """

    passed: bool
    similarity: float


def passes_randomisation(
    model: nn.Module,
    explain: Callable[[nn.Module], FloatArray],
    *,
    seed: int,
    draws: int = 3,
    layers: Sequence[str] = (),
) -> SanityCheck:
    """Do the model parameter randomisation test of Adebayo et al. 2018.

    Args:
        model: The trained model; left as it is.
        explain: Makes maps (N, h, w) with the model it is given.
        seed: Of the random weights.
        draws: How many random models.
        layers: Names of the modules to randomise, such as a head on a frozen backbone; none means
            all.
    """
    maps = explain(model)
    found = [
        _similarity(maps, explain(_randomised(model, seed + draw, layers))) for draw in range(draws)
    ]
    similarity = float(np.mean(found))
    return SanityCheck(similarity < SIMILAR, similarity)


def _randomised(model: nn.Module, seed: int, layers: Sequence[str]) -> nn.Module:
    result = copy.deepcopy(model)
    chosen = [result.get_submodule(name) for name in layers] or [result]
    with seeded(seed), torch.no_grad():
        for module in chosen:
            for parameter in module.parameters():
                # Of the same size as what was learned, so that activations neither die nor burst.
                scale = parameter.std().nan_to_num() if parameter.numel() > 1 else parameter.abs()
                centre = parameter.mean() if parameter.ndim == 1 else 0.0
                noise = torch.randn(parameter.shape, dtype=parameter.dtype)
                parameter.copy_(centre + noise.to(parameter.device) * scale)
    return result


def _similarity(maps: FloatArray, others: FloatArray) -> float:
    """Return the mean rank correlation of maps; a flat map says nothing and counts as the same."""
    correlations = []
    for one, other in zip(maps, others, strict=True):
        a, b = _ranks(one.ravel()), _ranks(other.ravel())
        spread = float(np.sqrt(a @ a * (b @ b)))
        correlations.append(float(a @ b) / spread if spread > 0 else 1.0)
    return float(np.mean(correlations))


def _ranks(values: FloatArray) -> FloatArray:
    """Return midranks less their mean."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    upto: IntArray = np.cumsum(counts)
    ranks = (upto - (counts - 1) / 2)[group]
    return np.asarray(ranks - ranks.mean())


def _blur(image: ImageArray) -> ImageArray:
    """Return the image without detail: every place shows the mean of its neighbourhood."""
    height = image.shape[0]
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    radius = max(height // 12, 1)
    smooth = nn.functional.avg_pool2d(
        pixels, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False
    )
    smooth = nn.functional.avg_pool2d(
        smooth, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False
    )
    return smooth[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
