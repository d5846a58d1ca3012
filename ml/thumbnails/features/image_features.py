"""What is known of thumbnails, in blocks of columns, and the blends of blocks to choose from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ml.arrays import FloatArray, IntArray
from ml.errors import LearningError
from ml.thumbnails.backbones.embeddings import WIDTH, stage_columns
from ml.thumbnails.features.catalogue import MEASUREMENT_VERSION, columns

Float32Array = npt.NDArray[np.float32]
Float16Array = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Recipe:
    """One kernel to choose from: how much each block weighs, and how wide the bells are.

    Attributes:
        name: For the record of what was chosen.
        weights: By block; they sum to 1.
        bandwidth: The kernel falls to 1/e where the mean squared difference of standardised
            columns is this.
    """

    name: str
    weights: Mapping[str, float]
    bandwidth: float


_BLENDS: Mapping[str, Mapping[str, float]] = {
    "middle": {"middle": 1.0},
    "early+middle": {"early": 0.4, "middle": 0.6},
    "all stages": {"early": 0.25, "middle": 0.5, "last": 0.25},
    "early+middle+measured": {"early": 0.25, "middle": 0.5, "measured": 0.25},
}
RECIPES = tuple(
    Recipe(f"{name}, {bandwidth:g}", weights, bandwidth)
    for name, weights in _BLENDS.items()
    for bandwidth in (1.0, 3.0)
)


@dataclass(frozen=True)
class ImageFeatures:
    """What is known of N thumbnails.

    Attributes:
        embeddings: From :func:`ml.thumbnails.backbones.embeddings.embed`, (N, ``WIDTH``).
        measurements: From :func:`ml.thumbnails.features.catalogue.measure_all`, (N, F), or None to
            do without.
        maps: From :func:`ml.thumbnails.backbones.embeddings.frozen_maps`, (N, ``MAP_WIDTH``), or
            None to do without.
        backbone: SHA-256 of the network's weights; what was learned from one network's embeddings
            is nonsense with another's.
        measured_by: Version of the measurements; likewise.
    """

    embeddings: Float32Array
    measurements: FloatArray | None = None
    backbone: str = ""
    maps: Float16Array | None = None
    measured_by: int = MEASUREMENT_VERSION

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: IntArray) -> "ImageFeatures":
        """Return the given rows."""
        measured = None if self.measurements is None else self.measurements[rows]
        maps = None if self.maps is None else self.maps[rows]
        return replace(self, embeddings=self.embeddings[rows], measurements=measured, maps=maps)

    def measurement_columns(self) -> FloatArray | None:
        """Return the measurements as a model's columns, (N, M), or None where there are none."""
        return None if self.measurements is None else columns(self.measurements)

    def last_layer(self) -> FloatArray:
        """Return the last layer's means of the plain view, (N, 1280)."""
        return self.embeddings[:, stage_columns("plain", 7, 7)].astype(np.float64)

    def for_tuning(self) -> Float16Array:
        """Return the maps.

        Raises:
            LearningError: There are none.
        """
        if self.maps is None:
            raise LearningError(
                "this model was fine-tuned and needs the frozen stages' maps of the thumbnails",
                reason="mapsMissing",
            )
        return self.maps

    def blocks(self) -> dict[str, FloatArray]:
        """Return the columns of each block, (N, C) each."""
        if self.embeddings.shape[1] != WIDTH:
            raise LearningError(
                f"embeddings have {self.embeddings.shape[1]} columns, not {WIDTH}",
                reason="embeddingWidth",
            )

        def stages(first: int, last: int) -> FloatArray:
            views = [stage_columns(view, first, last) for view in ("plain", "enlarged")]
            return np.hstack([self.embeddings[:, view] for view in views]).astype(np.float64)

        result = {"early": stages(0, 3), "middle": stages(3, 6), "last": stages(7, 7)}
        measured = self.measurement_columns()
        return result if measured is None else result | {"measured": measured}
