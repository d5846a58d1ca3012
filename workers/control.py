"""Tasks that keep the system going: dispatching what is due, making partitions ahead."""

import uuid

from db.partitions import ensure_partitions
from services import notify
from services.tick import dispatch
from services.work import jobs, maintenance
from workers.app import context
from workers.base import task


@task("control.dispatch")
def dispatch_due() -> int:
    """Claim due work and jobs and send them out."""
    return dispatch(context)


@task("control.make_partitions")
def make_partitions() -> list[str]:
    """Make the coming days' partitions of the snapshots."""
    with context.engine.begin() as connection:
        return ensure_partitions(connection, start=context.clock())


@task("control.send_notifications")
def send_notifications() -> int:
    """Tell the operator what happened."""
    return notify.send_due(context)


@task("control.maintain")
def maintain(job_id: str, token: str) -> str:
    """Do a job of upkeep."""
    return jobs.run(context, uuid.UUID(job_id), uuid.UUID(token), maintenance.work)
