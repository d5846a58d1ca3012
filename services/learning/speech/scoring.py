"""Scoring jobs of speech: current clips with the newest models, and with those in use."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from db.models import ModelVersion
from db.models.learning import SPEECH
from db.queries.speech import segments
from db.queries.work import scorings
from services.context import Context
from services.learning import sharding
from services.learning.speech import shards
from services.learning.speech.shards import voted
from services.queue import SCORING
from services.work import fleet
from services.work.jobs import JobHandle

__all__ = ["score", "score_in_use", "score_newest", "voted"]

SHARD_CLIPS = 128
CLIP_BYTES = 2_000
"""A clip's score and those of some segments, with their indexes."""
PAGE = 1_000
"""Clips looked at in a transaction."""


def score(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a scoring job: current clips without a score of the newest models, or of those in use.

    Returns:
        How many clips and segments were scored now, the models in use, and how many segments were
        unreadable; why, and how many scores were ``refused`` by the database, if any.

    Raises:
        AwaitsShardsError: Workers are at it: the job goes on when they are done.
        PermanentError: There is no model yet, or an artefact is damaged.
    """
    return sharding.score(context, job, _way())


def score_newest(context: Context, job: JobHandle) -> dict[str, Any]:
    """Score every current clip that lacks a score of the newest models, so they can be compared.

    Returns, raises:
        As :func:`score`.
    """
    return sharding.score_newest(context, job, _way())


def score_in_use(context: Context, job: JobHandle) -> dict[str, Any]:
    """Score every current clip that lacks a score of the models in use: what users read.

    Returns, raises:
        As :func:`score`.
    """
    return sharding.score_in_use(context, job, _way())


def estimate(context: Context) -> dict[str, Any]:
    """Return what :func:`score_in_use` would take now: rows (clips), shards, time, space.

    Raises:
        PermanentError: There is no model yet.
    """
    models = sharding.in_use(context, SPEECH)
    with context.transaction() as session:
        ids = [model.model_version_id for model in models]
        rows = segments.count_clips_to_score(session, model_version_ids=ids)
        pace = scorings.worker_pace(session, SPEECH)
        workers = fleet.workers_of(session, SCORING)
    return {
        "task": SPEECH,
        "rows": rows,
        "shards": math.ceil(rows / SHARD_CLIPS),
        "pictures_to_embed": 0,
        "rows_per_s": pace,
        "workers": workers,
        "seconds": None if pace is None else rows / (pace * max(workers, 1)),
        "bytes": rows * len(models) * CLIP_BYTES,
    }


def _way() -> sharding.Way:
    return sharding.Way(SPEECH, "clips", SHARD_CLIPS, ("clips", "segments"), _plan, shards.do_shard)


def _plan(
    context: Context, models: Sequence[ModelVersion], _purpose: str
) -> Iterator[sharding.Page]:
    """Yield the current clips that lack a score, of themselves or a segment, the newest first."""
    ids = [model.model_version_id for model in models]
    before: int | None = None
    while True:
        with context.transaction() as session:
            page = segments.clips_to_score(
                session, model_version_ids=ids, before=before, limit=PAGE
            )
        if page.clip_ids:
            yield sharding.Page(is_own=False, ids=[str(clip) for clip in page.clip_ids])
        if page.last is None:
            return
        before = page.last
