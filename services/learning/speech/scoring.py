"""Batch scoring of speech: store → decode → features → models → Postgres, reading ahead.

A clip's score is the vote of its segments, each by its length. A clip without any speech is
``unknown``; so is what the models take for music, noise or another language.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.models.learning import SPEECH
from db.queries.learning import model_versions
from db.queries.speech import languages
from db.queries.speech import segments as speech_learning
from db.queries.speech.segments import UnscoredSegment
from ml.audio import floats, read_flac
from ml.errors import LearningError
from ml.runtime.prefetch import prefetch
from ml.speech.frontend.features import Features, features
from ml.speech.models.base import UNKNOWN, SpeechPredictions
from services.context import Context
from services.learning.artifacts import workspace
from services.learning.results import models_in_use, need_models
from services.learning.speech.models import CrossFittedModel, Origin, get_model
from services.transactions import RefusedByDatabaseError, write_apart
from services.work.jobs import JobHandle

log = structlog.get_logger()

CLIPS = 32
SEGMENTS = 64
"""At a time: a segment of ten seconds is 640 kB, its features less."""


@dataclass(frozen=True)
class _Batch:
    segments: Sequence[UnscoredSegment]
    features: Sequence[Features]
    unreadable: int


def score(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a scoring job: current clips without a score of the newest models, or of those in use.

    Returns:
        How many clips and segments were scored now, the models in use, and how many segments were
        unreadable; how many scores were ``refused`` by the database, if any.

    Raises:
        PermanentError: There is no model yet, or an artefact is damaged.
    """
    first, rest = score_newest(context, job), score_in_use(context, job)
    counts = ("clips", "segments", "unreadable")
    refused = first.get("refused", 0) + rest.get("refused", 0)
    both = {name: first[name] + rest[name] for name in counts}
    return rest | both | ({"refused": refused} if refused else {})


def score_newest(context: Context, job: JobHandle) -> dict[str, Any]:
    """Score every current clip that lacks a score of the newest models, so they can be compared.

    Returns, raises:
        As :func:`score`.
    """
    with context.transaction() as session:
        versions = model_versions.newest(session, task=SPEECH)
    return _score_with(context, job, versions)


def score_in_use(context: Context, job: JobHandle) -> dict[str, Any]:
    """Score every current clip that lacks a score of the models in use: what users read.

    Returns, raises:
        As :func:`score`.
    """
    return _score_with(context, job, models_in_use(context, SPEECH))


def _score_with(
    context: Context, job: JobHandle, versions: Sequence[ModelVersion]
) -> dict[str, Any]:
    need_models(versions, SPEECH, "to score with")
    ids = [version.model_version_id for version in versions]
    with context.transaction() as session:
        total = speech_learning.count_clips_to_score(session, model_version_ids=ids)
        groups = speech_learning.source_groups(session)
    named = {"models": {version.rung: version.version for version in versions}}
    scored = clips = unreadable = refused = after = 0
    if not total:
        return {"clips": 0, "segments": 0, "unreadable": 0} | named
    with workspace(context, "scoring") as folder:
        models = [
            get_model(context.store, v.files, folder / str(v.model_version_id)) for v in versions
        ]
        job.progress(0, total, "scoring clips")
        while page := _page(context, ids, after):
            with context.transaction() as session:
                segments = speech_learning.segments_to_score(session, page, model_version_ids=ids)
            batches = (
                segments[first : first + SEGMENTS] for first in range(0, len(segments), SEGMENTS)
            )
            for batch in prefetch(_read(context, batch) for batch in batches):
                refused += _score_batch(context, versions, models, batch, groups)
                scored += len(batch.segments)
                unreadable += batch.unreadable
                job.progress(clips, max(total, clips), "scoring clips")
            refused += _vote(context, versions, page)
            clips, after = clips + len(page), page[-1]
            job.progress(clips, max(total, clips), "scoring clips")
    counts = {"clips": clips, "segments": scored, "unreadable": unreadable}
    return counts | ({"refused": refused} if refused else {}) | named


def _page(context: Context, ids: Sequence[int], after: int) -> list[int]:
    with context.transaction() as session:
        return speech_learning.clips_to_score(
            session, model_version_ids=ids, after=after, limit=CLIPS
        )


def _read(context: Context, segments: Sequence[UnscoredSegment]) -> _Batch:
    kept, found = [], []
    contents = context.store.get_many([segment.flac_sha256 for segment in segments])
    for segment, content in zip(segments, contents, strict=True):
        try:
            found.append(features(floats(read_flac(content))))
            kept.append(segment)
        except LearningError as error:
            log.warning("scoring.unreadable", segment_id=segment.segment_id, problem=str(error))
    return _Batch(kept, found, len(segments) - len(kept))


def _score_batch(
    context: Context,
    versions: Sequence[ModelVersion],
    models: Sequence[CrossFittedModel],
    batch: _Batch,
    groups: dict[str, str],
) -> int:
    """Score segments; return how many scores the database refused."""
    if not batch.segments:
        return 0
    origins = [
        Origin(groups.get(s.channel_id, s.channel_id), s.channel_id, s.audio_sha256)
        for s in batch.segments
    ]
    predictions = [model.predict(batch.features, origins) for model in models]
    now = context.clock()
    rows = [
        {
            "clip_id": segment.clip_id,
            "segment_id": segment.segment_id,
            "model_version_id": version.model_version_id,
            "scored_at": now,
            **predicted,
        }
        for version, by_segment in zip(versions, predictions, strict=True)
        for segment, predicted in zip(batch.segments, _rows(by_segment), strict=True)
    ]
    refused: list[int] = []

    def refuse(row: dict[str, Any], error: RefusedByDatabaseError) -> None:
        refused.append(row["segment_id"])
        log.error("scoring.refused", segment_id=row["segment_id"], problem=str(error))

    write_apart(context.transaction, rows, languages.append_segment_scores, refuse)
    return len(refused)


def _rows(predicted: SpeechPredictions) -> list[dict[str, Any]]:
    """Return three probabilities that add up to 1, and the language decided on."""
    spoken = predicted.probabilities * predicted.speech[:, None]
    return [
        {"p_en": en, "p_zh": zh, "p_unknown": max(0.0, 1 - en - zh), "language": name}
        for (en, zh), name in zip(
            np.clip(spoken, 0, 1).tolist(), predicted.languages(), strict=True
        )
    ]


def _vote(context: Context, versions: Sequence[ModelVersion], clip_ids: Sequence[int]) -> int:
    """Score clips as a whole from the scores of their segments; return how many were refused."""
    now = context.clock()
    refused: list[int] = []

    def write(session: Session, clip_ids: Sequence[int]) -> None:
        for version in versions:
            model_id = version.model_version_id
            votes: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
            for clip, seconds, en, zh, _ in languages.segment_scores(
                session, model_version_id=model_id, clip_ids=clip_ids
            ):
                votes[clip].append((seconds, en, zh))
            languages.put_clip_scores(
                session,
                [
                    {
                        "clip_id": clip,
                        "model_version_id": model_id,
                        "scored_at": now,
                        **voted(votes[clip]),
                    }
                    for clip in clip_ids
                ],
            )

    def refuse(clip_id: int, error: RefusedByDatabaseError) -> None:
        refused.append(clip_id)
        log.error("scoring.refused", clip_id=clip_id, problem=str(error))

    write_apart(context.transaction, clip_ids, write, refuse)
    return len(refused)


def voted(segments: Sequence[tuple[float, float, float]]) -> dict[str, Any]:
    """Return what (seconds, p_en, p_zh) of its segments say of a clip; longer ones say more."""
    if not segments:
        return {"p_en": 0.0, "p_zh": 0.0, "p_unknown": 1.0, "language": UNKNOWN}
    seconds, en, zh = np.array(segments, dtype=np.float64).T
    both = np.array([seconds @ en, seconds @ zh]) / seconds.sum()
    speech = both.sum()
    given = both / speech if speech > 0 else np.full(2, 0.5)
    return _rows(SpeechPredictions(given[None], np.array([speech]), np.zeros((1, 0))))[0]
