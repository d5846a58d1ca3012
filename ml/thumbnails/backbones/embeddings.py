"""Thumbnails to vectors by a frozen pretrained network.

A picture is seen twice: as it is, and enlarged and mirrored. The network was trained on larger
objects than thumbnails hold, so the enlarged view finds what the plain one is too coarse for. Of
each view the mean of *every* stage is kept, not of the last alone: the last knows which of
ImageNet's things is shown, the early ones know light, colour, texture and drawing, which say at
least as much about the hand that made a thumbnail (figures: docs/results/pictures.md).
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ml.arrays import ImageArray
from ml.errors import LearningCancelledError
from ml.images.pictures import decode_pictures
from ml.runtime.device import Device, choose_device, side_by_side
from ml.thumbnails.backbones.cache import EmbeddingCache, Shared
from ml.thumbnails.backbones.efficientnet_lite import STAGE_CHANNELS, EfficientNetLite0
from ml.thumbnails.backbones.weights import Backbone
from ml.training.callbacks import Cancelled, Progress

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
_AT_ONCE = 4
"""Batches between two reports of progress, to keep every core busy."""


def stage_columns(view: str, first: int, last: int) -> slice:
    """Return where the stages ``first`` to ``last`` of a view are in a vector; 0 is the earliest.

    The seven stages of the network count from 0, its head is 7.
    """
    start = VIEWS.index(view) * VIEW_WIDTH
    return slice(start + sum(STAGE_CHANNELS[:first]), start + sum(STAGE_CHANNELS[: last + 1]))


def embedding_cache(
    directory: Path, backbone: Backbone, shared: Shared | None = None
) -> EmbeddingCache:
    """Open the cache of a backbone's embeddings."""
    recipe = f"{RECIPE}-{backbone.sha256[:16]}"
    return EmbeddingCache(directory, recipe=recipe, width=WIDTH, shared=shared)


def embed_thumbnails(
    names: Sequence[str],
    read: Callable[[str], bytes],
    backbone: Backbone,
    cache: EmbeddingCache,
    *,
    progress: Progress = lambda *_: None,
    cancelled: Cancelled = lambda: False,
    device: Device | None = None,
) -> npt.NDArray[np.float32]:
    """Return the embeddings of thumbnails, (N, :data:`WIDTH`), computing those not kept yet.

    Args:
        names: The SHA-256 of each row's thumbnail.
        read: Returns the encoded bytes of a name; called from other threads.
        backbone: The network.
        cache: Where embeddings are kept; what was computed stays there when this is stopped.
        progress: Told the number of pictures done, of those that were missing.
        cancelled: Asked between batches.
        device: None chooses the best one here.

    Raises:
        LearningError: A thumbnail is unreadable.
        LearningCancelledError: ``cancelled`` said so.
    """
    device = device or choose_device()
    missing = cache.missing(names)
    size = _BATCH[device.name] * _AT_ONCE
    for start in range(0, len(missing), size):
        if cancelled():
            raise LearningCancelledError("embedding thumbnails was cancelled")
        some = missing[start : start + size]
        cache.add(some, embed(decode_pictures(some, read), backbone.network, device))
        progress(start + len(some), len(missing), "embedding thumbnails")
    return cache.read(names).astype(np.float32)


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
