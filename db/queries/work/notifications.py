"""Notifications: one row an event and target; claimed by whoever sends them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Job, Notification


@dataclass(frozen=True)
class Event:
    """Something to tell; ``key`` names it, so that it is told once."""

    key: str
    event: str
    payload: Mapping[str, Any]


def note(session: Session, events: Sequence[Event], target: str, *, now: datetime) -> int:
    """Note events to tell a target; return how many are new."""
    if not events:
        return 0
    statement = (
        insert(Notification)
        .values(
            [
                {
                    "key": event.key,
                    "target": target,
                    "event": event.event,
                    "payload": dict(event.payload),
                    "created_at": now,
                    "ready_at": now,
                }
                for event in events
            ]
        )
        .on_conflict_do_nothing()
        .returning(Notification.notification_id)
    )
    return len(session.execute(statement).all())


def failed_jobs(session: Session, *, since: datetime) -> Sequence[Job]:
    """Return the jobs that failed since a moment."""
    return session.scalars(
        select(Job).where(Job.state == "failed", Job.finished_at >= since).order_by(Job.finished_at)
    ).all()


def any_ready(session: Session, *, now: datetime) -> bool:
    """Tell whether something is to be sent."""
    return session.execute(select(exists().where(Notification.ready_at <= now))).scalar_one()


def claim(
    session: Session, *, limit: int, now: datetime, lease: timedelta
) -> Sequence[Notification]:
    """Return what is to be sent, counted as an attempt; nobody else gets it within the lease."""
    ready = session.scalars(
        select(Notification)
        .where(Notification.ready_at <= now)
        .order_by(Notification.ready_at, Notification.notification_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for notification in ready:
        notification.attempts += 1
        notification.ready_at = now + lease
    session.flush()
    return ready


def mark_sent(session: Session, notification_id: int, *, now: datetime) -> None:
    """Note that one was sent."""
    _set(session, notification_id, state="sent", ready_at=None, sent_at=now, error_message=None)


def mark_failed(
    session: Session, notification_id: int, *, message: str, retry_at: datetime | None
) -> None:
    """Note that one could not be sent: to be tried again, or given up."""
    state = "failed" if retry_at is None else "due"
    _set(session, notification_id, state=state, ready_at=retry_at, error_message=message[:500])


def counts(session: Session) -> list[tuple[str, str, str, int]]:
    """Return (event, target, state, count)."""
    columns = (Notification.event, Notification.target, Notification.state)
    rows = session.execute(select(*columns, func.count()).group_by(*columns).order_by(*columns))
    return [(event, target, state, n) for event, target, state, n in rows]


def forget(session: Session, *, before: datetime) -> int:
    """Delete those that were sent or given up and are older than a moment."""
    ended: ColumnElement[bool] = Notification.state != "due"
    statement = (
        delete(Notification)
        .where(ended, Notification.created_at < before)
        .returning(Notification.notification_id)
    )
    return len(session.execute(statement).all())


def _set(session: Session, notification_id: int, **values: object) -> None:
    session.execute(
        update(Notification)
        .where(Notification.notification_id == notification_id, Notification.state == "due")
        .values(values)
    )
