"""Breakers: one row a host that was ever in trouble, locked by whoever changes it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Breaker


def not_closed(session: Session) -> Sequence[Breaker]:
    """Return the breakers that are open or half-open, by host."""
    return session.scalars(
        select(Breaker)
        .where(Breaker.state != "closed")
        .order_by(Breaker.host)
        .execution_options(populate_existing=True)
    ).all()


def known(session: Session) -> Sequence[Breaker]:
    """Return every breaker that has a row, by host."""
    return session.scalars(select(Breaker).order_by(Breaker.host)).all()


def failures(session: Session, host: str) -> int:
    """Return how many batches of a host failed in a row."""
    return session.scalar(select(Breaker.failures).where(Breaker.host == host)) or 0


def lock(session: Session, host: str, *, now: datetime) -> Breaker:
    """Return a host's breaker, made if need be, locked until the end of the unit of work."""
    session.execute(insert(Breaker).values(host=host, changed_at=now).on_conflict_do_nothing())
    return session.scalars(
        select(Breaker)
        .where(Breaker.host == host)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def lock_for_probe(session: Session, host: str, *, now: datetime) -> Breaker | None:
    """Return a breaker whose pause is over, locked; None if it is not, or another has the lock."""
    return session.scalars(
        select(Breaker)
        .where(Breaker.host == host, Breaker.state != "closed", Breaker.retry_at <= now)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).one_or_none()


def note_success(session: Session, host: str, *, now: datetime) -> None:
    """Forget failures in a row; close a half-open breaker. One that is open stays open.

    Writes nothing in the usual case: that there is nothing to forget.
    """
    session.execute(
        update(Breaker)
        .where(
            Breaker.host == host,
            (Breaker.state == "half-open") | ((Breaker.state == "closed") & (Breaker.failures > 0)),
        )
        .values(
            state="closed",
            failures=0,
            trips=0,
            opened_at=None,
            retry_at=None,
            reason=None,
            message=None,
            changed_at=now,
        )
    )


def allow_probes(session: Session, *, now: datetime) -> None:
    """Let every open breaker send its probe at once."""
    session.execute(
        update(Breaker)
        .where(Breaker.state == "open", Breaker.retry_at > now)
        .values(retry_at=now, changed_at=now)
    )
