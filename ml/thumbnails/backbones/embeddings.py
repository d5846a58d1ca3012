"""Thumbnails to vectors by a frozen pretrained network.

A picture is seen twice: as it is, and enlarged and mirrored. The network was trained on larger
objects than thumbnails hold, so the enlarged view finds what the plain one is too coarse for. Of
each view the mean of *every* stage is kept, not of the last alone: the last knows which of
ImageNet's things is shown, the early ones know light, colour, texture and drawing, which say at
least as much about the hand that made a thumbnail (figures: docs/results/pictures.md).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ml.arrays import ImageArray
from ml.runtime.device import Device, choose_device, side_by_side
from ml.thumbnails.backbones.cache import EmbeddingCache, Shared
from ml.thumbnails.backbones.compiled import can_compile, compiled_network
from ml.thumbnails.backbones.efficientnet_lite import STAGE_CHANNELS, EfficientNetLite0
from ml.thumbnails.backbones.export import embedding_graph, maps_graph
from ml.thumbnails.backbones.weights import Backbone

ENLARGED = (252, 448)
"""Rows and columns of the second view: 1.4 times the first."""
VIEWS = ("plain", "enlarged")
VIEW_WIDTH = sum(STAGE_CHANNELS)
WIDTH = len(VIEWS) * VIEW_WIDTH
"""Numbers a picture: 2 times 2064."""
RECIPE = "lite0-stages-v1"
"""Changes whenever the same weights and picture would give other numbers."""
FROZEN_STAGES = 5
"""The five stages up to a sixteenth of the picture's resolution stay as they are."""
MAP_SHAPE = (112, 12, 20)
"""Channels, rows and columns of what they make of 180 by 320 pixels."""
MAP_WIDTH = 112 * 12 * 20
MAP_RECIPE = "lite0-maps-v1"
"""Likewise, of the maps."""
_BATCH = {"cpu": 16, "cuda": 128}


def stage_columns(view: str, first: int, last: int) -> slice:
    """Return where the stages ``first`` to ``last`` of a view are in a vector; 0 is the earliest.

    The seven stages of the network count from 0, its head is 7.
    """
    start = VIEWS.index(view) * VIEW_WIDTH
    return slice(start + sum(STAGE_CHANNELS[:first]), start + sum(STAGE_CHANNELS[: last + 1]))


def embedding_cache(directory: Path, weights: str, shared: Shared | None = None) -> EmbeddingCache:
    """Open the cache of the embeddings that a backbone with these weights makes."""
    recipe = f"{RECIPE}-{weights[:16]}"
    return EmbeddingCache(directory, recipe=recipe, width=WIDTH, shared=shared)


class PictureNetwork:
    """The network with the fastest that computes it here: a GPU, onnxruntime, or torch."""

    def __init__(
        self,
        weights: str,
        load: Callable[[], Backbone],
        *,
        folder: Path | None = None,
        device: Device | None = None,
    ) -> None:
        """Choose; nothing is loaded before a picture comes.

        Args:
            weights: SHA-256 of the network's weights.
            load: Brings them, where they are needed.
            folder: Where compiled graphs are kept for the next process.
            device: None chooses the best one here.
        """
        self.weights = weights
        self._load = load
        self._loaded: Backbone | None = None
        self.device = device or choose_device()
        compiles = self.device.name == "cpu" and can_compile()
        self._embedding = compiled_network("embedding", weights, folder) if compiles else None
        self._maps = compiled_network("maps", weights, folder) if compiles else None

    @property
    def ready(self) -> bool:
        """Whether embeddings can be made without loading the weights."""
        return self._embedding is not None and self._embedding.kept

    @property
    def backbone(self) -> Backbone:
        """The network's weights in torch.

        Raises:
            LearningError: They cannot be used.
        """
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def embed(self, pictures: ImageArray) -> npt.NDArray[np.float32]:
        """As :func:`embed`.

        Raises:
            LearningError: The runtime's numbers are others than torch's.
        """
        if self._embedding is None:
            return embed(pictures, self.backbone.network, self.device)
        self._embedding.open(
            lambda: embedding_graph(self.backbone.network),
            lambda drawn: embed(drawn, self.backbone.network, self.device),
        )
        return self._embedding.run(pictures)

    def frozen_maps(self, pictures: ImageArray) -> npt.NDArray[np.float16]:
        """As :func:`frozen_maps`.

        Raises:
            LearningError: The runtime's numbers are others than torch's.
        """
        if self._maps is None:
            return frozen_maps(pictures, self.backbone.network, self.device)
        self._maps.open(
            lambda: maps_graph(self.backbone.network, FROZEN_STAGES),
            lambda drawn: frozen_maps(drawn, self.backbone.network, self.device),
        )
        return self._maps.run(pictures).astype(np.float16)


def embed(
    pictures: ImageArray, network: EfficientNetLite0, device: Device
) -> npt.NDArray[np.float32]:
    """Return the embeddings of pictures without bars (N, 180, 320, 3), (N, :data:`WIDTH`).

    In float32 everywhere: a picture's numbers should not depend on the machine's fast types.
    """
    network.to(device.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = _BATCH[device.name]
    batches = [pictures[start : start + size] for start in range(0, len(pictures), size)]
    tasks = [partial(_embed_batch, batch, network, device) for batch in batches]
    parts = side_by_side(tasks, device) if tasks else []
    return np.concatenate([np.zeros((0, WIDTH), dtype=np.float32), *parts])


def frozen_maps(
    pictures: ImageArray, network: EfficientNetLite0, device: Device
) -> npt.NDArray[np.float16]:
    """Return what the frozen stages make of pictures without bars (N, 180, 320, 3).

    Returns:
        (N, :data:`MAP_WIDTH`), in half precision, in which maps are kept.
    """
    network.to(device.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    tasks = [
        partial(_maps_of, pictures[start : start + 16], network, device)
        for start in range(0, len(pictures), 16)
    ]
    parts = side_by_side(tasks, device) if tasks else []
    return np.concatenate([np.zeros((0, MAP_WIDTH), dtype=np.float16), *parts])


def _embed_batch(
    pictures: ImageArray, network: EfficientNetLite0, device: Device
) -> npt.NDArray[np.float32]:
    stages = range(len(STAGE_CHANNELS))
    with torch.inference_mode():
        images = torch.from_numpy(np.ascontiguousarray(pictures)).to(device.torch_device)
        # Permuting leaves the colours innermost: the layout that is fast.
        plain = images.permute(0, 3, 1, 2).float()
        enlarged = functional.interpolate(
            plain.flip(3), size=ENLARGED, mode="bicubic", align_corners=False
        ).clamp(0, 255)
        vectors = [network.pooled(view, stages) for view in (plain, enlarged)]
        result: npt.NDArray[np.float32] = torch.cat(vectors, dim=1).cpu().numpy()
    return result


def _maps_of(
    pictures: ImageArray, network: EfficientNetLite0, device: Device
) -> npt.NDArray[np.float16]:
    with torch.inference_mode():
        images = torch.from_numpy(np.ascontiguousarray(pictures)).to(device.torch_device)
        hidden = network.maps(images.permute(0, 3, 1, 2).float(), stages=FROZEN_STAGES)[-1]
        flat = hidden.contiguous().flatten(1).half().cpu().numpy()
    return np.asarray(flat)
