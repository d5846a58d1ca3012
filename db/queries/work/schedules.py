"""Schedules and their slots: each slot gets one row, written with the job it fires."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from db.models import Job, Schedule, ScheduleSlot


@dataclass(frozen=True)
class LastSlot:
    """The newest slot of a schedule, with the state of the job it fired."""

    slot: datetime
    outcome: str
    reason: str | None
    missed_since: datetime | None
    job_id: uuid.UUID | None
    job_state: str | None


def add(session: Session, values: dict[str, Any]) -> Schedule | None:
    """Add a schedule; None where one of this name is in use."""
    statement = (
        insert(Schedule)
        .values(values)
        .on_conflict_do_nothing(
            index_elements=[Schedule.name], index_where=Schedule.removed_at.is_(None)
        )
        .returning(Schedule)
    )
    return session.scalars(statement).one_or_none()


def in_use(session: Session, names: Collection[str] | None = None) -> list[Schedule]:
    """Return the schedules that were not removed, by name; of these names only, and locked."""
    statement = select(Schedule).where(Schedule.removed_at.is_(None)).order_by(Schedule.name)
    if names is not None:
        statement = statement.where(Schedule.name.in_(names)).with_for_update()
    return list(session.scalars(statement.execution_options(populate_existing=True)))


def lock_due(session: Session, *, now: datetime, limit: int) -> list[Schedule]:
    """Return schedules whose slot has come, or is not worked out; locked, skipping locked ones."""
    return list(
        session.scalars(
            select(Schedule)
            .where(
                Schedule.removed_at.is_(None),
                Schedule.paused_at.is_(None),
                or_(Schedule.next_slot.is_(None), Schedule.next_slot <= now),
            )
            .order_by(Schedule.next_slot.nulls_first(), Schedule.schedule_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
    )


def take_slot(
    session: Session,
    schedule_id: int,
    slot: datetime,
    *,
    now: datetime,
    outcome: str,
    reason: str | None = None,
    missed_since: datetime | None = None,
) -> bool:
    """Write what becomes of a slot; False where somebody else has written it already."""
    statement = (
        insert(ScheduleSlot)
        .values(
            schedule_id=schedule_id,
            slot=slot,
            decided_at=now,
            outcome=outcome,
            reason=reason,
            missed_since=missed_since,
        )
        .on_conflict_do_nothing()
        .returning(ScheduleSlot.slot)
    )
    return session.execute(statement).scalar_one_or_none() is not None


def note_job(session: Session, schedule_id: int, slot: datetime, job_id: uuid.UUID) -> None:
    """Note which job a slot fired."""
    taken = session.get_one(ScheduleSlot, (schedule_id, slot))
    taken.job_id = job_id
    session.flush()


def active_job(session: Session, schedule_id: int) -> uuid.UUID | None:
    """Return a job of the schedule that has not ended; None if there is none."""
    return session.execute(
        select(Job.job_id)
        .join(ScheduleSlot, ScheduleSlot.job_id == Job.job_id)
        .where(ScheduleSlot.schedule_id == schedule_id, Job.ready_at.is_not(None))
        .limit(1)
    ).scalar_one_or_none()


def last_slots(session: Session) -> dict[int, LastSlot]:
    """Return the newest slot of each schedule in use."""
    rows = session.execute(
        select(
            ScheduleSlot.schedule_id,
            ScheduleSlot.slot,
            ScheduleSlot.outcome,
            ScheduleSlot.reason,
            ScheduleSlot.missed_since,
            ScheduleSlot.job_id,
            Job.state,
        )
        .join(Job, Job.job_id == ScheduleSlot.job_id, isouter=True)
        .join(Schedule, Schedule.schedule_id == ScheduleSlot.schedule_id)
        .where(Schedule.removed_at.is_(None))
        .order_by(ScheduleSlot.schedule_id, ScheduleSlot.slot.desc())
        .ext(distinct_on(ScheduleSlot.schedule_id))
    )
    return {
        schedule_id: LastSlot(slot, outcome, reason, missed, job_id, state)
        for schedule_id, slot, outcome, reason, missed, job_id, state in rows
    }


def forget_slots(session: Session, *, before: datetime) -> int:
    """Delete the rows of slots before a moment; return how many there were."""
    statement = (
        delete(ScheduleSlot).where(ScheduleSlot.slot < before).returning(ScheduleSlot.schedule_id)
    )
    return len(session.execute(statement).all())
