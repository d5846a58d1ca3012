"""Upkeep: what keeps a database that collects for years in shape."""

from datetime import timedelta
from typing import Any

from db.partitions import ensure_partitions
from db.queries import notifications, schedules
from db.session import unit_of_work
from services.context import Context
from services.jobs import JobHandle

KEPT = timedelta(days=366)
"""How long it is remembered what schedules did and what was notified: a year and a day."""


def work(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a job of upkeep: partitions for the coming months, and old notes deleted.

    Returns:
        The partitions made, and how many rows of slots and notifications were deleted.
    """
    now = context.clock()
    job.progress(0, 2, "making partitions")
    with unit_of_work(context.sessions) as session:
        made = ensure_partitions(session.connection(), start=now)
    job.progress(1, 2, "deleting old notes")
    with unit_of_work(context.sessions) as session:
        slots = schedules.forget_slots(session, before=now - KEPT)
        told = notifications.forget(session, before=now - KEPT)
    job.progress(2, 2, "done")
    return {"partitions": made, "slots_deleted": slots, "notifications_deleted": told}
