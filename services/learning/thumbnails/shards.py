"""A shard of thumbnails: gather → read → decode and extract → predict → write, all at a time.

Rows of the models' own dataset are scored with what was known when it was frozen, so that a
comparison evaluates exactly what was predicted; every other video with what is known now. No score
comes from a model that saw the video's channel (docs/decisions/0003-pairwise-cross-fitting.md).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import pyarrow as pa
import structlog
from sqlalchemy.orm import Session

from db.queries.catalog.videos import ToScore
from db.queries.learning import scores, unscored
from ml.arrays import ImageArray
from ml.errors import LearningError
from ml.images.decoding import decode_thumbnail, decode_thumbnails
from ml.thumbnails.data.rows import Features
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.models.thumbnail import predict_all
from services.context import Context
from services.errors import TubeGraderError
from services.learning import stages
from services.learning.errors import blaming_the_host, translate_errors
from services.learning.thumbnails import scored
from services.learning.thumbnails.loaded import COLUMNS, Ladder, ladder
from services.transactions import RefusedByDatabaseError, write_apart
from services.work.shards import ShardHandle

log = structlog.get_logger()

CHUNK = 512
"""Videos at a time: their decoded pictures take 22 MB, and some chunks are ahead and behind."""
Made = TypeVar("Made")


@dataclass(frozen=True)
class _Read:
    """A chunk whose bytes are here; ``broken`` says by picture why they are not."""

    videos: Sequence[ToScore]
    content: Mapping[str, bytes]
    broken: Mapping[str, TubeGraderError]
    later: Mapping[str, TubeGraderError]


@dataclass(frozen=True)
class _Chunk:
    """Videos whose pictures are here; ``aside`` says why others of the chunk are not, by id.

    The images are None where image features are wanted too: both are made of one decoding.
    """

    videos: Sequence[ToScore]
    images: ImageArray | None
    content: Mapping[str, bytes]
    aside: Mapping[str, str]
    later: Mapping[str, TubeGraderError]


@dataclass(frozen=True)
class _Scored:
    """Rows to write of videos, model by model, and what was set aside beside them."""

    videos: Sequence[ToScore]
    rows: Sequence[Sequence[Mapping[str, Any]]]
    aside: Mapping[str, str]


@blaming_the_host()
def do_shard(context: Context, handle: ShardHandle) -> None:
    """Score what a shard's videos still lack.

    Raises:
        HostError: This machine lacks something for it.
        JobCancelledError: Nobody wants it any more.
        LeaseLostError: Another worker has it.
        PermanentError: A model or its dataset is missing or damaged.
        TransientError: The store failed on pictures again and again; the others are scored.
    """
    models = ladder(context, handle.shard.model_version_ids)
    videos = _gather(context, handle, models)
    later: dict[str, TubeGraderError] = {}
    chunks = stages.chunks(videos, CHUNK)

    def write(scored_: _Scored) -> None:
        _write(context, handle, scored_)

    def decode(read: _Read) -> _Chunk:
        return _decode(read, images=models.extractor is None)

    coming = stages.ahead(chunks, lambda rows: _read(context, handle, rows), decode)
    with stages.behind(context, write) as writer, closing(coming):
        for chunk in coming:
            handle.check()
            later |= chunk.later
            writer.add(_score(context, models, chunk))
    stages.leave_for_later(context, handle, later)


def _gather(context: Context, handle: ShardHandle, models: Ladder) -> list[ToScore]:
    """Return the videos that lack a score still, with what their models are to be told."""
    shard, now = handle.shard, context.clock()
    asked = [video_id for video_id in shard.covers if video_id not in shard.set_aside]
    if shard.is_own:
        rows = models.own.of(asked)
        table = rows.take(scored.lacking(context, rows, shard.model_version_ids))
        found = [ToScore(**row) for row in table.to_pylist()]
    else:
        with context.transaction() as session:
            listed = unscored.to_score(
                session, asked, model_version_ids=shard.model_version_ids, now=now
            )
        keys = [v.video_id for v in listed], [v.thumbnail_sha256 for v in listed]
        frozen = models.own.hold(*keys)
        found = [v for v, is_frozen in zip(listed, frozen, strict=True) if not is_frozen]
        if models.fixed_age is not None:
            found = [replace(v, age_days=models.fixed_age) for v in found]
    done = len(shard.covers) - len(found) - shard.n_done
    if done > 0:
        with context.transaction() as session:
            handle.note(session, done, {})
    return found


def _read(context: Context, handle: ShardHandle, videos: Sequence[ToScore]) -> _Read:
    names = [video.thumbnail_sha256 for video in videos]
    contents = stages.read_contents(context, names, handle.check)
    return _Read(videos, contents.found, contents.broken, contents.later)


def _of_videos(read: _Read) -> dict[str, TubeGraderError]:
    """Return what failed in passing, by video."""
    return {
        video.video_id: read.later[video.thumbnail_sha256]
        for video in read.videos
        if video.thumbnail_sha256 in read.later
    }


def _decode(read: _Read, *, images: bool) -> _Chunk:
    there = [video for video in read.videos if video.thumbnail_sha256 in read.content]
    aside = {
        video.video_id: read.broken[video.thumbnail_sha256].reason
        for video in read.videos
        if video.thumbnail_sha256 in read.broken
    }
    decoded = None
    if images:
        there, decoded = _readable(
            there,
            read.content,
            aside,
            lambda names: decode_thumbnails(names, read.content.__getitem__),
        )
    return _Chunk(there, decoded, read.content, aside, _of_videos(read))


def _readable(
    videos: list[ToScore],
    content: Mapping[str, bytes],
    aside: dict[str, str],
    make: Callable[[Sequence[str]], Made],
) -> tuple[list[ToScore], Made]:
    """Make something of pictures; those that cannot be decoded are set aside.

    Returns:
        The other videos, and what was made of theirs.
    """
    try:
        return videos, make([video.thumbnail_sha256 for video in videos])
    except LearningError as error:
        if error.reason != "imageUnreadable":
            raise
    kept = []
    for video in videos:
        name = video.thumbnail_sha256
        try:
            decode_thumbnail(content[name], name=name)
            kept.append(video)
        except LearningError as error:
            aside[video.video_id] = error.reason
    return kept, make([video.thumbnail_sha256 for video in kept])


def _see(context: Context, models: Ladder, chunk: _Chunk) -> tuple[_Chunk, ImageFeatures | None]:
    """Return a chunk with its images, and their image features: the one place that makes them."""
    if models.extractor is None:
        return chunk, None
    extractor, aside = models.extractor, dict(chunk.aside)

    def make(names: Sequence[str]) -> tuple[ImageArray, ImageFeatures]:
        return extractor.extract_with_thumbnails(names, chunk.content.__getitem__)

    with translate_errors(context.settings.home):
        videos, (images, features) = _readable(list(chunk.videos), chunk.content, aside, make)
    return replace(chunk, videos=videos, images=images, aside=aside), features


def _score(context: Context, models: Ladder, chunk: _Chunk) -> _Scored:
    """Return what models say of a chunk's videos, as rows."""
    chunk, image_features = _see(context, models, chunk)
    videos = chunk.videos
    for video_id, reason in chunk.aside.items():
        log.warning("scoring.set_aside", video_id=video_id, reason=reason)
    if not videos:
        return _Scored(videos, [], chunk.aside)
    features = Features.of_table(
        pa.Table.from_pylist([asdict(video) for video in videos], schema=COLUMNS),
        chunk.images,
        # Of a channel that no model saw there is none.
        split_groups=[models.groups.get(v.channel_id) for v in videos],
    )
    with translate_errors(context.settings.home):
        predictions = predict_all(models.rungs, replace(features, image_features=image_features))
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
                videos,
                predicted.probability_over.tolist(),
                predicted.log10_views_per_day.tolist(),
                strict=True,
            )
        ]
        for model, predicted in zip(models.models, predictions, strict=True)
    ]
    return _Scored(videos, rows, chunk.aside)


def _write(context: Context, handle: ShardHandle, scored_: _Scored) -> None:
    """Write a chunk's scores and note what is done, in the same transaction."""

    def write(session: Session, places: Sequence[int]) -> None:
        written = [
            scores.add(session, [of_model[place] for place in places]) for of_model in scored_.rows
        ]
        handle.note(session, len(places), {"scored": max(written, default=0)})

    def refuse(place: int, error: RefusedByDatabaseError) -> None:
        video_id = scored_.videos[place].video_id
        log.error("scoring.refused", video_id=video_id, problem=str(error))
        with context.transaction() as session:
            handle.note(session, 1, {"refused": 1}, {video_id: error.reason})

    write_apart(context.transaction, range(len(scored_.videos)), write, refuse)
    if scored_.aside:
        with context.transaction() as session:
            handle.note(
                session,
                len(scored_.aside),
                {"unreadable": len(scored_.aside)},
                scored_.aside,
            )
