"""Firing schedules: each slot once, whoever looks and however often.

A slot is taken by a row that is unique on (schedule, slot), in the transaction that submits its
job. Dispatchers lock the schedules they look at and skip those that others look at; should two
ever come to the same slot, one of them finds it taken.
"""

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from db.models import Schedule
from db.queries.work import jobs as job_rows
from db.queries.work import schedules as rows
from services.context import Context
from services.errors import UsageError
from services.schedules.kinds import KINDS, Lack
from services.schedules.triggers import Cron, Interval, Trigger, last_fire_time, next_fire_time

log = structlog.get_logger()

MOST_AT_ONCE = 100
"""Schedules that one look fires; the next look, a second later, takes the rest."""


def fire_due(context: Context) -> int:
    """Fire what is due; return how many jobs were submitted."""
    now = context.clock()
    with context.transaction() as session:
        due = rows.lock_due(session, now=now, limit=MOST_AT_ONCE)
        return sum(_look_at(session, schedule, now=now) for schedule in due)


def fire_now(session: Session, schedule: Schedule, *, now: datetime) -> str:
    """Fire a locked schedule out of turn, its last job having ended; return the job's id.

    Raises:
        UsageError: Its last job has not ended, or there is nothing for it to do.
    """
    if (active := rows.active_job(session, schedule.schedule_id)) is not None:
        raise UsageError(
            f"{schedule.name} still runs (job {str(active)[:8]})",
            hint=f"`tubegrader jobs watch {str(active)[:8]}` follows it",
        )
    params = _request(session, schedule)
    if isinstance(params, Lack):
        raise UsageError(f"{schedule.name} has {params.message}", hint=params.hint)
    if not rows.take_slot(
        session, schedule.schedule_id, now, now=now, outcome="fired", reason="by hand"
    ):
        raise UsageError(f"{schedule.name} fired in this very moment", hint="try again")
    return _submit(session, schedule, now, params, now=now)


def trigger_of(schedule: Schedule) -> Trigger:
    """Return when a schedule is due."""
    if schedule.cron is not None:
        return Cron(schedule.cron, schedule.time_zone)
    assert schedule.interval_s is not None, "a constraint of the table"
    return Interval(schedule.interval_s, schedule.created_at)


def _look_at(session: Session, schedule: Schedule, *, now: datetime) -> int:
    try:
        trigger = trigger_of(schedule)
        if schedule.next_slot is None:
            schedule.next_slot = next_fire_time(trigger, now)
            fired = 0
        else:
            slot = last_fire_time(trigger, schedule.next_slot, now)
            fired = _decide(session, schedule, slot, first=schedule.next_slot, now=now)
            schedule.next_slot = next_fire_time(trigger, now)
    except UsageError as error:
        # A zone that the system knows no more, say: one schedule stops, the others go on.
        log.exception("schedule.unreadable", schedule=schedule.name)
        schedule.paused_at, schedule.paused_reason = now, str(error)
        return 0
    if schedule.next_slot is None:
        schedule.paused_at, schedule.paused_reason = now, "it never comes again"
    return fired


def _decide(
    session: Session, schedule: Schedule, slot: datetime, *, first: datetime, now: datetime
) -> int:
    """Fire or skip the newest slot that has come; ``first`` is the oldest not looked at."""
    params = None
    if now - slot > timedelta(seconds=schedule.grace_s) and schedule.misfire == "skip":
        reason: str | None = "missed"
    elif rows.active_job(session, schedule.schedule_id) is not None:
        reason = "stillRunning"
    else:
        request = _request(session, schedule)
        if isinstance(request, Lack):
            reason = request.reason
        else:
            params, reason = request, None
    taken = rows.take_slot(
        session,
        schedule.schedule_id,
        slot,
        now=now,
        outcome="skipped" if params is None else "fired",
        reason=reason,
        missed_since=first if first < slot else None,
    )
    if not taken:
        return 0
    if params is None:
        log.warning("schedule.skipped", schedule=schedule.name, slot=str(slot), reason=reason)
        return 0
    job_id = _submit(session, schedule, slot, params, now=now)
    log.info("schedule.fired", schedule=schedule.name, slot=str(slot), job_id=job_id)
    return 1


def _request(session: Session, schedule: Schedule) -> dict[str, Any] | Lack:
    kind = KINDS.get(schedule.kind)
    if kind is None:  # added by a newer version that runs beside this one, or did
        raise UsageError(f"this version knows no schedule of the kind “{schedule.kind}”")
    return kind.request(session, schedule.params)


def _submit(
    session: Session,
    schedule: Schedule,
    slot: datetime,
    params: dict[str, object],
    *,
    now: datetime,
) -> str:
    job_id = job_rows.submit(session, schedule.kind, params, now=now)
    rows.note_job(session, schedule.schedule_id, slot, job_id)
    return str(job_id)
