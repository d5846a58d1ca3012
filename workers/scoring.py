"""Tasks of the scoring queue. Torch is imported when the first of them runs, not before."""

import uuid

from services.learning import tasks
from services.work import jobs, shards
from workers.app import context
from workers.base import task


@task("scoring.score")
def score(job_id: str, token: str) -> str:
    """Plan what lacks a score as shards; once those are done, say what came of them."""
    return jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), tasks.score)


@task("scoring.score_shard")
def score_shard(token: str) -> str:
    """Score the rows of a shard."""
    return shards.do(context, uuid.UUID(token), tasks.score_shard)
