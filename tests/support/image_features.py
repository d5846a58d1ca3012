"""Image features of drawn thumbnails, without a pretrained network: they tell pictures apart."""

import numpy as np

from ml.thumbnails.backbones.embeddings import WIDTH
from ml.thumbnails.features.catalogue import FEATURES
from ml.thumbnails.features.image_features import ImageFeatures

NAMED = 3
"""The measurement that holds what is drawn into the thumbnails: red less blue."""


def drawn_features(images: np.ndarray, *, measured: bool = True) -> ImageFeatures:
    """Return the pictures' coarse colours, scattered over as many numbers as an embedding has.

    What a pretrained network gives is tried in ``test_real_features``, the measurements in
    ``test_ml_pictures``.
    """
    coarse = images[:, ::15, ::20].reshape(len(images), -1).astype(np.float64) / 255
    generator = np.random.default_rng(0)
    embeddings = coarse @ generator.normal(size=(coarse.shape[1], WIDTH))
    values = 1 / (1 + np.exp(-coarse @ generator.normal(size=(coarse.shape[1], len(FEATURES)))))
    tint = images[..., 0].mean((1, 2)) - images[..., 2].mean((1, 2))
    values[:, NAMED] = tint / 255
    return ImageFeatures(embeddings.astype(np.float32), values if measured else None, "drawn")
