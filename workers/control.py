"""Jobs of upkeep, which wait in the crawl queue. What hands out work is ``workers.dispatcher``."""

import uuid

from services.crawl import upkeep
from services.work import jobs
from workers.app import context
from workers.base import task


@task("control.maintain")
def maintain(job_id: str, token: str) -> str:
    """Do a job of upkeep."""
    return jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), upkeep.work)
