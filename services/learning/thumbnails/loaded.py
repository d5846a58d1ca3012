"""Models that this process has loaded: kept while the same ones are asked for."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from db.models import ModelVersion
from db.queries.catalog.videos import ToScore
from db.queries.learning import model_versions
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.schema import ROW_SCHEMA
from ml.thumbnails.features.extractor import FeatureExtractor
from ml.thumbnails.models.rung import Rung
from services.context import Context
from services.learning.artifacts import workspace
from services.learning.sharding import in_order
from services.learning.thumbnails import datasets
from services.learning.thumbnails.predicting import extractor_for, load_rungs

KEPT = 2
"""Ladders in memory: the newest and the one in use, which a night asks for in turn."""
COLUMNS = pa.schema([ROW_SCHEMA.field(field.name) for field in fields(ToScore)])


class OwnRows:
    """The rows that models learned from, as they were frozen, found by video."""

    def __init__(self, dataset: Dataset) -> None:
        self.table = dataset.table.select(COLUMNS.names)
        ids = np.array(self.table["video_id"].to_pylist(), dtype=np.bytes_)
        self._order = np.argsort(ids, kind="stable")
        self._ids: npt.NDArray[np.bytes_] = ids[self._order]

    def of(self, video_ids: Sequence[str]) -> pa.Table:
        """Return the rows of videos, in the dataset's order."""
        asked = np.array(video_ids, dtype=np.bytes_)
        first = np.searchsorted(self._ids, asked, side="left")
        last = np.searchsorted(self._ids, asked, side="right")
        places = [self._order[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
        return self.table.take(np.sort(np.concatenate([*places, np.zeros(0, dtype=np.int64)])))

    def hold(self, video_ids: Sequence[str], thumbnails: Sequence[str]) -> list[bool]:
        """Tell of each video with its picture whether it is a row."""
        rows = self.of(video_ids)
        keys = (rows[name].to_pylist() for name in ("video_id", "thumbnail_sha256"))
        known = set(zip(*keys, strict=True))
        return [key in known for key in zip(video_ids, thumbnails, strict=True)]


@dataclass(frozen=True)
class Ladder:
    """Loaded models of one training, with what their predictions depend on.

    Attributes:
        models: In the order of ``rungs``.
        rungs: The models.
        own: What they learned from.
        groups: Each channel's split group.
        fixed_age: The age at which their views were counted, None where it is that of the day.
        extractor: None if no model needs image features.
    """

    models: Sequence[ModelVersion]
    rungs: Sequence[Rung]
    own: OwnRows
    groups: dict[str, str]
    fixed_age: float | None
    extractor: FeatureExtractor | None


_lock = threading.Lock()
_kept: "OrderedDict[tuple[Any, ...], Ladder]" = OrderedDict()


def ladder(context: Context, model_version_ids: Sequence[int]) -> Ladder:
    """Return models with what they learned from, loaded unless this process has them.

    Raises:
        PermanentError: One was removed, or a file is missing or damaged; or the weights of a
            network that they need are not installed here.
    """
    with context.transaction() as session:
        found = model_versions.by_ids(session, model_version_ids)
    models = in_order(found, model_version_ids)
    key = _key(context, models)
    with _lock:
        kept = _kept.pop(key, None) or _load(context, models)
        _kept[key] = kept
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return kept


def _key(context: Context, models: Sequence[ModelVersion]) -> tuple[Any, ...]:
    """Return all that loaded models depend on; their files are named by their content."""
    settings = context.settings
    return (
        str(settings.home),
        settings.storage_url,
        str(settings.backbone_weights),
        settings.backbone_model,
        *((m.model_version_id, m.dataset_id, tuple(sorted(m.files.items()))) for m in models),
    )


def _load(context: Context, models: Sequence[ModelVersion]) -> Ladder:
    with workspace(context, "scoring") as folder:
        dataset = datasets.fetch_without_pictures(context, models[0].dataset_id, folder / "dataset")
        rungs = load_rungs(context, models, folder)
        return Ladder(
            models,
            rungs,
            OwnRows(dataset),
            dataset.split_group_by_channel(),
            age_of_label(dataset),
            extractor_for(context, rungs),
        )


def age_of_label(dataset: Dataset) -> float | None:
    """Return the age at which the models' views were counted, None where it is that of the day."""
    kinds = set(dataset.strings("label_kind"))
    return float(dataset.numbers("age_days")[0]) if kinds <= {"day7", "day30"} else None
