"""Models of thumbnails from the store, and rows of a dataset as they are predicted again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from db.models import ModelVersion
from ml.arrays import IntArray
from ml.images.decoding import decode_thumbnails
from ml.thumbnails.data.rows import Features, check_measured
from ml.thumbnails.features.catalogue import MEASUREMENT_VERSION
from ml.thumbnails.features.extractor import FeatureExtractor
from ml.thumbnails.models.registry import load_rung
from ml.thumbnails.models.rung import Need, Rung, need_image_features, need_maps
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import get_folder
from services.learning.errors import translate_errors
from services.learning.thumbnails.extraction import open_extractor

PICTURED = 2_048
"""Rows at a time: 90 MB of pictures."""


def load_rungs(context: Context, models: Sequence[ModelVersion], folder: Path) -> list[Rung]:
    """Load models from the store, in their order.

    Raises:
        PermanentError: A file is missing or damaged.
    """
    with translate_errors(folder):
        return [
            load_rung(get_folder(context.store, m.files, folder / str(m.model_version_id)))
            for m in models
        ]


def extractor_for(context: Context, rungs: Sequence[Rung]) -> FeatureExtractor | None:
    """Return what extracts image features, None if no model needs any.

    Raises:
        PermanentError: The weights are not installed here.
    """
    if not need_image_features(rungs):
        return None
    with translate_errors(
        context.settings.home, hint="or `tubegrader models train` here, without them"
    ):
        return open_extractor(context, maps=need_maps(rungs))


def pages(
    context: Context, rungs: Sequence[Rung], table: pa.Table
) -> Iterator[tuple[IntArray, Features]]:
    """Yield a dataset's rows, with pictures and image features as far as rungs need them.

    Returns:
        The places of at most ``PICTURED`` rows, and the rows.

    Raises:
        PermanentError: A thumbnail is missing from the store, or the network's weights are.
    """
    extractor = extractor_for(context, rungs)
    for start in range(0, table.num_rows, PICTURED):
        page = table.slice(start, PICTURED)
        shown = page["thumbnail_sha256"].to_pylist()
        features = _with_pictures(context, rungs, Features.of_table(page), shown, extractor)
        yield np.arange(start, start + page.num_rows), features


def _with_pictures(
    context: Context,
    rungs: Sequence[Rung],
    features: Features,
    shown: Sequence[str],
    extractor: FeatureExtractor | None,
) -> Features:
    if not any(rung.spec.sees_thumbnails for rung in rungs):
        return features
    names = sorted(set(shown))
    content = dict(zip(names, context.store.get_many(names), strict=True))
    if extractor is None:
        return replace(features, thumbnails=decode_thumbnails(shown, content.__getitem__))
    images, image_features = extractor.extract_with_thumbnails(shown, content.__getitem__)
    return replace(features, thumbnails=images, image_features=image_features)


def check_image_features(context: Context, rungs: Sequence[Rung]) -> None:
    """See that models on image features of a pretrained network can have them here.

    Raises:
        PermanentError: Its weights are not installed, or are others than those they learned by; or
            they learned by other measurements.
    """
    extractor = extractor_for(context, rungs)
    if extractor is None:
        return
    for rung in rungs:
        if Need.MEASUREMENTS in rung.needs:
            with translate_errors(context.settings.home):
                check_measured(rung.card, MEASUREMENT_VERSION)
        trained_on = rung.card.config.get("backbone", extractor.weights)
        if trained_on != extractor.weights:
            raise PermanentError(
                f"{rung.spec.name} was trained on the image features of a network with weights "
                f"{trained_on[:12]}, not {extractor.weights[:12]}",
                reason="backboneWeightsOther",
            )
