"""Batch scoring: store → decode → models → Postgres, reading ahead while the models work.

Rows of the models' own dataset are scored with what was known when it was frozen, so that a
comparison evaluates exactly what was predicted; every other video with what is known now. No score
comes from a model that saw the video's channel (docs/decisions/0003-pairwise-cross-fitting.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import structlog
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.models.learning import THUMBNAILS
from db.queries.catalog import videos
from db.queries.learning import model_versions, scores
from ml.arrays import ImageArray, IntArray
from ml.errors import LearningError
from ml.images.decoding import decode_thumbnails
from ml.runtime.prefetch import prefetch
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Features
from ml.thumbnails.data.schema import ROW_SCHEMA
from ml.thumbnails.features.extractor import FeatureExtractor
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.models.registry import load_rung
from ml.thumbnails.models.rung import Rung, need_image_features, need_maps
from ml.thumbnails.models.thumbnail import predict_all
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import get_folder, workspace
from services.learning.errors import translate_errors
from services.learning.results import models_in_use, need_models
from services.learning.thumbnails import datasets, scored
from services.learning.thumbnails.extraction import open_extractor
from services.transactions import RefusedByDatabaseError, write_apart
from services.work.jobs import JobHandle

log = structlog.get_logger()

CHUNK = 512
"""Videos at a time: their decoded pictures take 22 MB."""
PICTURED = 2_048
"""The same of rows that are predicted again for a contest or for drift: 90 MB."""
_COLUMNS = pa.schema([ROW_SCHEMA.field(field.name) for field in fields(videos.ToScore)])


@dataclass(frozen=True)
class _Chunk:
    videos: Sequence[videos.ToScore]
    images: ImageArray
    image_features: ImageFeatures | None
    unreadable: int


def score(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a scoring job: the newest models' own rows, and whatever the models in use lack.

    Returns:
        How many videos were scored now; how many pictures were unreadable, and ``refused`` by the
        database if any; the models in use.

    Raises:
        PermanentError: There is no model yet, or an artefact is damaged.
    """
    newest, in_use = _newest(context), models_in_use(context, THUMBNAILS)
    if _ids(newest) == _ids(in_use):
        return _score_with(context, job, newest)
    own = _score_with(context, job, newest, rest=False)
    rest = _score_with(context, job, in_use)
    refused = own.get("refused", 0) + rest.get("refused", 0)
    both = {name: own[name] + rest[name] for name in ("scored", "unreadable")}
    return rest | both | ({"refused": refused} if refused else {})


def score_newest(context: Context, job: JobHandle) -> dict[str, Any]:
    """Score with the newest models the rows that they were trained on, so they can be compared.

    Returns, raises:
        As :func:`score`.
    """
    return _score_with(context, job, _newest(context), rest=False)


def score_in_use(context: Context, job: JobHandle) -> dict[str, Any]:
    """Score every video that lacks a score of the models in use: what users read.

    Returns, raises:
        As :func:`score`.
    """
    return _score_with(context, job, models_in_use(context, THUMBNAILS))


def _newest(context: Context) -> list[ModelVersion]:
    with context.transaction() as session:
        return model_versions.newest(session, task=THUMBNAILS)


def _ids(models: Sequence[ModelVersion]) -> list[int]:
    return sorted(model.model_version_id for model in models)


def _score_with(
    context: Context, job: JobHandle, models: Sequence[ModelVersion], *, rest: bool = True
) -> dict[str, Any]:
    """Score the models' own rows that lack a score, and every other video unless told not to."""
    need_models(models, THUMBNAILS, "to score with")
    ids = [model.model_version_id for model in models]
    versions = {model.rung: model.version for model in models}
    done = unreadable = refused = 0
    with workspace(context, "scoring") as folder:
        dataset = datasets.fetch_without_pictures(context, models[0].dataset_id, folder / "dataset")
        own = dataset.table.take(scored.lacking(context, dataset.table, ids)).select(_COLUMNS.names)
        besides = own["video_id"].to_pylist()
        total = len(besides)
        if rest:
            with context.transaction() as session:
                total += videos.count_to_score(session, model_version_ids=ids, besides=besides)
        job.progress(0, total, "scoring videos")
        if not total:
            return {"scored": 0, "unreadable": 0, "models": versions}
        rungs = load_rungs(context, models, folder)
        groups = dataset.split_group_by_channel()
        extractor = extractor_for(context, rungs)
        chunks = _chunks(context, own, ids, _age_of_label(dataset), rest=rest)
        for chunk in prefetch(_read(context, rows, extractor) for rows in chunks):
            if not chunk.videos:
                continue
            refused += _score_chunk(context, models, rungs, chunk, groups)
            done += len(chunk.videos)
            unreadable += chunk.unreadable
            job.progress(done, max(total, done), "scoring videos")
    counts = {"scored": done - refused, "unreadable": unreadable}
    return counts | ({"refused": refused} if refused else {}) | {"models": versions}


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


def _age_of_label(dataset: Dataset) -> float | None:
    """Return the age at which the models' views were counted, None where it is that of the day."""
    kinds = set(dataset.strings("label_kind"))
    return float(dataset.numbers("age_days")[0]) if kinds <= {"day7", "day30"} else None


def _chunks(
    context: Context,
    own: pa.Table,
    model_ids: Sequence[int],
    fixed_age: float | None,
    *,
    rest: bool,
) -> Iterator[Sequence[videos.ToScore]]:
    """Yield the dataset's rows, then whatever else lacks a score, in chunks."""
    now = context.clock()
    for start in range(0, own.num_rows, CHUNK):
        yield [videos.ToScore(**row) for row in own.slice(start, CHUNK).to_pylist()]
    if not rest:
        return
    keys = (own[name].to_pylist() for name in ("video_id", "thumbnail_sha256"))
    already = set(zip(*keys, strict=True))
    after = ""
    while True:
        with context.transaction() as session:
            page = videos.to_score(
                session, model_version_ids=model_ids, now=now, after=after, limit=CHUNK
            )
        if not page:
            return
        after = page[-1].video_id
        lacking = [v for v in page if (v.video_id, v.thumbnail_sha256) not in already]
        if fixed_age is not None:
            lacking = [replace(v, age_days=fixed_age) for v in lacking]
        if lacking:
            yield lacking


def extractor_for(context: Context, rungs: Sequence[Rung]) -> FeatureExtractor | None:
    """Return what extracts image features, None if no model needs any.

    Raises:
        PermanentError: The weights are not installed here.
    """
    if not need_image_features(rungs):
        return None
    with translate_errors(context.settings.home, hint="or `tubegrader train` here, without them"):
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
    return replace(
        features,
        thumbnails=decode_thumbnails(shown, content.__getitem__),
        image_features=None if extractor is None else extractor.extract(shown, content.__getitem__),
    )


def check_image_features(context: Context, rungs: Sequence[Rung]) -> None:
    """See that models on image features of a pretrained network can have them here.

    Raises:
        PermanentError: Its weights are not installed, or are others than those they learned by.
    """
    extractor = extractor_for(context, rungs)
    if extractor is None:
        return
    for rung in rungs:
        trained_on = rung.card.config.get("backbone", extractor.weights)
        if trained_on != extractor.weights:
            raise PermanentError(
                f"{rung.spec.name} was trained on the image features of a network with weights "
                f"{trained_on[:12]}, not {extractor.weights[:12]}",
                reason="backboneWeightsOther",
            )


def _read(
    context: Context, requested: Sequence[videos.ToScore], extractor: FeatureExtractor | None
) -> _Chunk:
    names = sorted({video.thumbnail_sha256 for video in requested})
    content = dict(zip(names, context.store.get_many(names), strict=True))
    try:
        images = decode_thumbnails([v.thumbnail_sha256 for v in requested], content.__getitem__)
        kept = requested
    except LearningError:
        kept, images = _readable_only(requested, content)
    image_features = None
    if extractor is not None:
        image_features = extractor.extract([v.thumbnail_sha256 for v in kept], content.__getitem__)
    return _Chunk(kept, images, image_features, len(requested) - len(kept))


def _readable_only(
    requested: Sequence[videos.ToScore], content: dict[str, bytes]
) -> tuple[list[videos.ToScore], ImageArray]:
    """Decode one by one; a picture that cannot be decoded is left out and said in the log."""
    kept, images = [], []
    for video in requested:
        try:
            images.append(decode_thumbnails([video.thumbnail_sha256], content.__getitem__))
            kept.append(video)
        except LearningError as error:
            log.warning("scoring.unreadable", video_id=video.video_id, problem=str(error))
    return kept, np.concatenate(images) if images else np.empty((0, 90, 160, 3), np.uint8)


def _score_chunk(
    context: Context,
    models: Sequence[ModelVersion],
    rungs: Sequence[Rung],
    chunk: _Chunk,
    groups: Mapping[str, str],
) -> int:
    """Score videos; return how many of them the database refused."""
    features = Features.of_table(
        pa.Table.from_pylist([asdict(video) for video in chunk.videos], schema=_COLUMNS),
        chunk.images,
        # A channel that no model saw is a group of its own.
        split_groups=[groups.get(v.channel_id, v.channel_id) for v in chunk.videos],
    )
    predictions = predict_all(rungs, replace(features, image_features=chunk.image_features))
    now = context.clock()
    rows = [
        [
            {
                "video_id": video.video_id,
                "thumbnail_sha256": video.thumbnail_sha256,
                "model_version_id": model.model_version_id,
                "probability_over": probability,
                "log10_views_per_day": log10_views,
                "scored_at": now,
            }
            for video, probability, log10_views in zip(
                chunk.videos,
                predicted.probability_over.tolist(),
                predicted.log10_views_per_day.tolist(),
                strict=True,
            )
        ]
        for model, predicted in zip(models, predictions, strict=True)
    ]
    refused: list[int] = []

    def write(session: Session, places: Sequence[int]) -> None:
        for of_model in rows:
            scores.add(session, [of_model[place] for place in places])

    def refuse(place: int, error: RefusedByDatabaseError) -> None:
        refused.append(place)
        log.error("scoring.refused", video_id=chunk.videos[place].video_id, problem=str(error))

    write_apart(context.transaction, range(len(chunk.videos)), write, refuse)
    return len(refused)
