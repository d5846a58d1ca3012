"""Jobs of upkeep and backup, which wait in the crawl queue.

What hands out work is ``workers.dispatcher``.
"""

import uuid

from services.backups import standing
from services.crawl import upkeep
from services.work import jobs
from workers.app import context
from workers.base import task


@task("control.maintain")
def maintain(job_id: str, token: str) -> str:
    """Do a job of upkeep."""
    return jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), upkeep.work)


@task("control.back_up")
def back_up(job_id: str, token: str) -> str:
    """Do a job of backup."""
    return jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), standing.work)
