"""Approvals: permissions to keep more, or longer, than YouTube allows everybody."""

from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Approval


def add_approval(session: Session, values: dict[str, Any]) -> int | None:
    """Record an approval; None if the same one is in force already."""
    statement = insert(Approval).values(**values).on_conflict_do_nothing()
    return session.scalars(statement.returning(Approval.approval_id)).one_or_none()


def approvals(session: Session) -> list[Approval]:
    """Return all approvals, the newest first."""
    return list(session.scalars(select(Approval).order_by(Approval.approval_id.desc())))


def approvals_in_force(session: Session, scope: str, *, now: datetime) -> list[Approval]:
    """Return the approvals of a scope that hold at this moment."""
    statement = select(Approval).where(
        Approval.scope == scope,
        Approval.revoked_at.is_(None),
        Approval.granted_at <= now,
        or_(Approval.expires_at.is_(None), Approval.expires_at > now),
    )
    return list(session.scalars(statement.order_by(Approval.approval_id)))


def revoke(session: Session, reference: str, *, now: datetime) -> int:
    """End every approval with this reference; return how many were in force."""
    statement = (
        update(Approval)
        .where(Approval.reference == reference, Approval.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(Approval.approval_id)
    )
    return len(session.scalars(statement).all())
