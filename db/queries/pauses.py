"""Pauses: what is not claimed although it is due."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Pause


def add(session: Session, scope: str, *, reason: str | None, now: datetime) -> bool:
    """Pause a scope; False where it was paused before (its reason stays)."""
    statement = (
        insert(Pause)
        .values(scope=scope, reason=reason, paused_at=now)
        .on_conflict_do_nothing()
        .returning(Pause.scope)
    )
    return session.execute(statement).scalar_one_or_none() is not None


def lift(session: Session, scope: str) -> bool:
    """Lift a pause; False where there was none."""
    statement = delete(Pause).where(Pause.scope == scope).returning(Pause.scope)
    return session.execute(statement).scalar_one_or_none() is not None


def in_force(session: Session) -> Sequence[Pause]:
    """Return the pauses in force, by scope."""
    return session.scalars(select(Pause).order_by(Pause.scope)).all()
