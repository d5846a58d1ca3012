"""Retrainings that ended, as the digest of a night tells of them."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Job, Notification


def ended(session: Session, *, since: datetime) -> Sequence[Job]:
    """Return the retrainings that ended since a moment, the oldest first."""
    return session.scalars(
        select(Job)
        .where(
            Job.kind == "retrain",
            Job.finished_at >= since,
        )
        .order_by(Job.finished_at)
    ).all()


def told(session: Session, keys: Collection[str], target: str) -> set[str]:
    """Return those keys that a target has a notification of."""
    return set(
        session.scalars(
            select(Notification.key).where(
                Notification.key.in_(keys), Notification.target == target
            )
        )
    )
