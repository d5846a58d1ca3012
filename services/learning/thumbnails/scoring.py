"""Scoring jobs: the newest models' own rows, and every video with the models in use.

Rows of the models' own dataset are scored with what was known when it was frozen, so that a
comparison evaluates exactly what was predicted; every other video with what is known now. No score
comes from a model that saw the video's channel (docs/decisions/0003-pairwise-cross-fitting.md).
"""

from typing import Any

from db.models.learning import THUMBNAILS
from services.context import Context
from services.learning import sharding
from services.learning.thumbnails import estimate as estimating
from services.learning.thumbnails import planning, shards
from services.work.jobs import JobHandle

SHARD_ROWS = 2_048
"""Videos under one lease: some seconds of a network, minutes where image features are extracted."""


def score(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a scoring job: the newest models' own rows, and whatever the models in use lack.

    Returns:
        How many videos were scored now; how many pictures were unreadable, why videos were set
        aside and ``refused`` by the database if any; the models in use.

    Raises:
        AwaitsShardsError: Workers are at it: the job goes on when they are done.
        PermanentError: There is no model yet, or an artefact is damaged.
    """
    return sharding.score(context, job, _way())


def score_newest(context: Context, job: JobHandle) -> dict[str, Any]:
    """Score with the newest models the rows that they were trained on, so they can be compared.

    Returns, raises:
        As :func:`score`.
    """
    return sharding.score_newest(context, job, _way())


def score_in_use(context: Context, job: JobHandle) -> dict[str, Any]:
    """Score every video that lacks a score of the models in use: what users read.

    Returns, raises:
        As :func:`score`.
    """
    return sharding.score_in_use(context, job, _way())


def estimate(context: Context) -> dict[str, Any]:
    """Return what :func:`score_in_use` would take now: rows, shards, pictures, time, space.

    Raises:
        PermanentError: There is no model yet, or an artefact is damaged.
    """
    return estimating.estimate(context, SHARD_ROWS)


def _way() -> sharding.Way:
    return sharding.Way(
        THUMBNAILS, "videos", SHARD_ROWS, ("scored",), planning.plan, shards.do_shard
    )
