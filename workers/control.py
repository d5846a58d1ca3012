"""Jobs of upkeep, which wait in the crawl queue. What hands out work is ``workers.dispatcher``."""

import uuid

from services.work import jobs, maintenance
from workers.app import context
from workers.base import task


@task("control.maintain")
def maintain(job_id: str, token: str) -> str:
    """Do a job of upkeep."""
    return jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), maintenance.work)
