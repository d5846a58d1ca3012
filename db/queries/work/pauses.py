"""Pauses: what is not claimed although it is due."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import EndedPause, Pause


def add(session: Session, scope: str, *, reason: str | None, now: datetime) -> bool:
    """Pause a scope; False where it was paused before (its reason stays)."""
    statement = (
        insert(Pause)
        .values(scope=scope, reason=reason, paused_at=now)
        .on_conflict_do_nothing()
        .returning(Pause.scope)
    )
    return session.execute(statement).scalar_one_or_none() is not None


def lift(session: Session, scope: str, *, now: datetime) -> bool:
    """Lift a pause and remember it; False where there was none."""
    statement = delete(Pause).where(Pause.scope == scope).returning(Pause.paused_at)
    paused_at = session.execute(statement).scalar_one_or_none()
    if paused_at is None:
        return False
    ended = {"scope": scope, "paused_at": paused_at, "lifted_at": max(now, paused_at)}
    session.execute(insert(EndedPause).values(ended).on_conflict_do_nothing())
    return True


def forget_ended(session: Session, *, before: datetime) -> int:
    """Delete what is remembered of pauses that were lifted before a moment; return how many."""
    statement = delete(EndedPause).where(EndedPause.lifted_at < before).returning(EndedPause.scope)
    return len(session.execute(statement).all())


def in_force(session: Session) -> Sequence[Pause]:
    """Return the pauses in force, by scope."""
    return session.scalars(select(Pause).order_by(Pause.scope)).all()
