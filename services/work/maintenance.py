"""Upkeep: what keeps a database that collects for years in shape."""

from datetime import timedelta
from typing import Any

from db.partitions import ensure_partitions
from db.queries.catalog import counted, odd_values
from db.queries.learning import drift, promotions
from db.queries.policy import sizes as size_rows
from db.queries.work import jobs, notifications, pauses, quota, schedules, scorings
from services.context import Context
from services.policy import retention, sizes
from services.work.jobs import JobHandle
from services.work.kinds import WORK_KINDS

KEPT = timedelta(days=366)
"""How long it is remembered what was asked for, done, booked and notified: a year and a day."""
MERGED = 20_000
"""Keys of daily counts that one transaction makes single."""
ODD_KEPT = timedelta(days=30)
"""Of values that could not be kept; an example may be what somebody wrote."""


SHARDS_KEPT = timedelta(days=7)
"""How long it can be seen how each shard went; what came of all of them is the job's result."""


def work(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a job of upkeep: partitions made ahead, what is past its retention removed, old notes too.

    Returns:
        The partitions made, what was purged, and how many slots, notifications, jobs, notes of
        missed slots and reports on drift were deleted.
    """
    now = context.clock()
    job.progress(0, 3, "making partitions")
    with context.transaction() as session:
        made = ensure_partitions(session.connection(), start=now)
    purged = retention.purge(
        context,
        dry_run=False,
        progress=lambda kind, _rows: job.progress(1, 3, f"removing {kind} past its retention"),
    )
    job.progress(2, 3, "deleting old notes")
    with context.transaction() as session:
        slots = schedules.forget_slots(session, before=now - KEPT)
        notified = notifications.forget(session, before=now - KEPT)
        scorings.forget(session, before=now - SHARDS_KEPT)
        ended = jobs.forget(session, before=now - KEPT)
        quota.forget(session, before=(now - KEPT).date())
        pauses.forget_ended(session, before=now - KEPT)
        reports = drift.forget(session, before=now - KEPT)
        promotions.forget(session, before=now - KEPT)
        size_rows.forget(session, before=now - KEPT)
        odd_values.forget(session, before=(now - ODD_KEPT).date())
    missed = forget_missed(context)
    merge_counts(context)
    sizes.record(context)
    job.progress(3, 3, "done")
    return {
        "partitions": made,
        "purged": purged.as_json(),
        "slots_deleted": slots,
        "notifications_deleted": notified,
        "jobs_deleted": ended,
        "missed_slots_deleted": missed,
        "drift_reports_deleted": reports,
    }


def merge_counts(context: Context) -> int:
    """Make one row of each key of the daily counts; return how many had several."""
    total, merged = 0, MERGED
    while merged == MERGED:
        with context.transaction() as session:
            merged = counted.merge(session, keys=MERGED)
        total += merged
    return total


def forget_missed(context: Context) -> int:
    """Forget which slots were missed where the counts of then are past their retention."""
    return sum(
        retention.forget_missed(context, kind.name, kept_as=kind.series)
        for kind in WORK_KINDS.values()
        if kind.series is not None
    )
