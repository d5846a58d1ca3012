"""A shard of speech: its clips' segments, store → decode → features → models, then their votes.

A clip's score is the vote of its segments, each by its length. A clip without any speech is
``unknown``; so is what the models take for music, noise or another language.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.queries.learning import model_versions
from db.queries.speech import languages
from db.queries.speech import segments as segment_rows
from db.queries.speech.segments import UnscoredSegment
from ml.audio import floats, read_flac
from ml.errors import LearningError
from ml.speech.frontend.features import Features, features
from ml.speech.models.base import UNKNOWN, SpeechPredictions
from services.context import Context
from services.errors import TubeGraderError
from services.learning import stages
from services.learning.artifacts import workspace
from services.learning.errors import blaming_the_host
from services.learning.sharding import in_order
from services.learning.speech.models import CrossFittedModel, Origin, get_model
from services.transactions import RefusedByDatabaseError, write_apart
from services.work.shards import ShardHandle

log = structlog.get_logger()

CLIPS = 8
"""At a time: their segments of ten seconds are 640 kB each, the features less."""
KEPT = 2
"""Sets of models in memory."""


@dataclass(frozen=True)
class _Read:
    clips: Sequence[int]
    segments: Sequence[UnscoredSegment]
    contents: stages.Contents


@dataclass(frozen=True)
class _Chunk:
    """Clips with their segments' features; ``broken`` are segments that cannot be scored.

    Attributes:
        clips: Those that are to be voted on: nothing of them is left for later.
        segments: Whose sound was read.
        features: Of each of them.
        broken: Why others cannot be scored, by clip.
        later: What failed in passing.
        n_broken: How many segments cannot be scored.
    """

    clips: Sequence[int]
    segments: Sequence[UnscoredSegment]
    features: Sequence[Features]
    broken: Mapping[str, str]
    later: Mapping[str, TubeGraderError]
    n_broken: int


@dataclass(frozen=True)
class _Scored:
    chunk: _Chunk
    rows: Sequence[Mapping[str, Any]]


@blaming_the_host()
def do_shard(context: Context, handle: ShardHandle) -> None:
    """Score what a shard's clips still lack.

    Raises:
        HostError: This machine lacks something for it.
        JobCancelledError: Nobody wants it any more.
        LeaseLostError: Another worker has it.
        PermanentError: A model is missing or damaged.
        TransientError: The store failed on segments again and again; the others are scored.
    """
    versions, models = _models(context, handle.shard.model_version_ids)
    with context.transaction() as session:
        groups = segment_rows.source_groups(session)
        clips = segment_rows.lacking(
            session,
            [int(clip) for clip in handle.shard.covers if clip not in handle.shard.set_aside],
            model_version_ids=handle.shard.model_version_ids,
        )
    done = len(handle.shard.covers) - len(clips) - handle.shard.n_done
    if done > 0:
        with context.transaction() as session:
            handle.note(session, done, {})
    later: dict[str, TubeGraderError] = {}
    pages = (clips[start : start + CLIPS] for start in range(0, len(clips), CLIPS))

    def write(scored: _Scored) -> None:
        _write(context, handle, versions, scored)

    coming = stages.ahead(pages, lambda page: _read(context, handle, page), _decode)
    with stages.behind(context, write) as writer, closing(coming):
        for chunk in coming:
            handle.check()
            later |= chunk.later
            writer.add(_Scored(chunk, _score(context, versions, models, chunk, groups)))
    stages.leave_for_later(context, handle, later)


_lock = threading.Lock()
_kept: "OrderedDict[tuple[Any, ...], Sequence[CrossFittedModel]]" = OrderedDict()


def _models(
    context: Context, model_version_ids: Sequence[int]
) -> tuple[Sequence[ModelVersion], Sequence[CrossFittedModel]]:
    """Return models in their order, loaded unless this process has them."""
    with context.transaction() as session:
        found = model_versions.by_ids(session, model_version_ids)
    versions = in_order(found, model_version_ids)
    key = (
        context.settings.storage_url,
        *((v.model_version_id, tuple(sorted(v.files.items()))) for v in versions),
    )
    with _lock:
        kept = _kept.pop(key, None) or _load(context, versions)
        _kept[key] = kept
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return versions, kept


def _load(context: Context, versions: Sequence[ModelVersion]) -> Sequence[CrossFittedModel]:
    with workspace(context, "scoring") as folder:
        return [
            get_model(context.store, v.files, folder / str(v.model_version_id)) for v in versions
        ]


def _read(context: Context, handle: ShardHandle, clips: Sequence[int]) -> _Read:
    with context.transaction() as session:
        segments = segment_rows.segments_to_score(
            session, clips, model_version_ids=handle.shard.model_version_ids
        )
    names = [segment.flac_sha256 for segment in segments]
    return _Read(clips, segments, stages.read_contents(context, names, handle.check))


def _decode(read: _Read) -> _Chunk:
    kept, found = [], []
    unusable: list[tuple[int, str]] = []
    incomplete: set[int] = set()
    for segment in read.segments:
        name = segment.flac_sha256
        if name in read.contents.later:
            incomplete.add(segment.clip_id)
            continue
        try:
            if name in read.contents.broken:
                reason = read.contents.broken[name].reason
            else:
                found.append(features(floats(read_flac(read.contents.found[name]))))
                kept.append(segment)
                continue
        except LearningError as error:
            reason = error.reason
        unusable.append((segment.clip_id, reason))
        log.warning("scoring.set_aside", segment_id=segment.segment_id, reason=reason)
    whole = [clip for clip in read.clips if clip not in incomplete]
    # A clip that is read once more is looked at as a whole then.
    unusable = [(clip, reason) for clip, reason in unusable if clip not in incomplete]
    broken = {str(clip): reason for clip, reason in unusable}
    later = {
        str(segment.clip_id): read.contents.later[segment.flac_sha256]
        for segment in read.segments
        if segment.flac_sha256 in read.contents.later
    }
    return _Chunk(whole, kept, found, broken, later, len(unusable))


def _score(
    context: Context,
    versions: Sequence[ModelVersion],
    models: Sequence[CrossFittedModel],
    chunk: _Chunk,
    groups: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return what models say of segments, as rows."""
    if not chunk.segments:
        return []
    origins = [
        Origin(groups.get(s.channel_id, s.channel_id), s.channel_id, s.audio_sha256)
        for s in chunk.segments
    ]
    predictions = [model.predict(chunk.features, origins) for model in models]
    now = context.clock()
    return [
        {
            "clip_id": segment.clip_id,
            "segment_id": segment.segment_id,
            "model_version_id": version.model_version_id,
            "scored_at": now,
            **predicted,
        }
        for version, by_segment in zip(versions, predictions, strict=True)
        for segment, predicted in zip(chunk.segments, _rows(by_segment), strict=True)
    ]


def _rows(predicted: SpeechPredictions) -> list[dict[str, Any]]:
    """Return three probabilities that add up to 1, and the language decided on."""
    spoken = predicted.probabilities * predicted.speech[:, None]
    return [
        {"p_en": en, "p_zh": zh, "p_unknown": max(0.0, 1 - en - zh), "language": name}
        for (en, zh), name in zip(
            np.clip(spoken, 0, 1).tolist(), predicted.languages(), strict=True
        )
    ]


def _write(
    context: Context, handle: ShardHandle, versions: Sequence[ModelVersion], scored: _Scored
) -> None:
    """Write segments' scores and then the votes of their clips, which end them."""
    chunk = scored.chunk
    refused_segments: set[int] = set()

    def write(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
        new = languages.append_segment_scores(session, rows)
        handle.note(session, 0, {"segments": round(new / len(versions))})

    def refuse(row: Mapping[str, Any], error: RefusedByDatabaseError) -> None:
        refused_segments.add(row["segment_id"])
        log.error("scoring.refused", segment_id=row["segment_id"], problem=str(error))
        with context.transaction() as session:
            handle.note(session, 0, {"refused": 1}, {str(row["clip_id"]): error.reason})

    write_apart(context.transaction, scored.rows, write, refuse)

    def vote(session: Session, clip_ids: Sequence[int]) -> None:
        now = context.clock()
        for version in versions:
            languages.put_clip_scores(session, _votes(session, version, clip_ids, now))
        handle.note(session, len(clip_ids), {"clips": len(clip_ids)})

    def refuse_vote(clip_id: int, error: RefusedByDatabaseError) -> None:
        log.error("scoring.refused", clip_id=clip_id, problem=str(error))
        with context.transaction() as session:
            handle.note(session, 1, {"clips": 1, "refused": 1}, {str(clip_id): error.reason})

    write_apart(context.transaction, chunk.clips, vote, refuse_vote)
    if chunk.n_broken:
        with context.transaction() as session:
            handle.note(session, 0, {"unreadable": chunk.n_broken}, chunk.broken)


def _votes(
    session: Session, version: ModelVersion, clip_ids: Sequence[int], now: Any
) -> list[dict[str, Any]]:
    votes: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    for clip, seconds, en, zh, _ in languages.segment_scores(
        session, model_version_id=version.model_version_id, clip_ids=clip_ids
    ):
        votes[clip].append((seconds, en, zh))
    return [
        {
            "clip_id": clip,
            "model_version_id": version.model_version_id,
            "scored_at": now,
            **voted(votes[clip]),
        }
        for clip in clip_ids
    ]


def voted(segments: Sequence[tuple[float, float, float]]) -> dict[str, Any]:
    """Return what (seconds, p_en, p_zh) of its segments say of a clip; longer ones say more."""
    if not segments:
        return {"p_en": 0.0, "p_zh": 0.0, "p_unknown": 1.0, "language": UNKNOWN}
    seconds, en, zh = np.array(segments, dtype=np.float64).T
    both = np.array([seconds @ en, seconds @ zh]) / seconds.sum()
    speech = both.sum()
    given = both / speech if speech > 0 else np.full(2, 0.5)
    return _rows(SpeechPredictions(given[None], np.array([speech]), np.zeros((1, 0))))[0]
