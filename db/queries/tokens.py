"""Tokens of the HTTP API: made, recognised by their hash, revoked."""

from datetime import datetime, timedelta

from sqlalchemy import Select, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import ApiToken

USED_TO = timedelta(hours=1)
"""How exactly it is kept when a token was last used: a write an hour and token at most."""


def add(
    session: Session,
    *,
    name: str,
    sha256: str,
    scope: str,
    now: datetime,
    expires_at: datetime | None,
) -> bool:
    """Record a token; False where one in force has its name."""
    added = session.execute(
        insert(ApiToken)
        .values(name=name, sha256=sha256, scope=scope, created_at=now, expires_at=expires_at)
        .on_conflict_do_nothing()
        .returning(ApiToken.api_token_id)
    )
    return added.one_or_none() is not None


def listed(session: Session) -> list[ApiToken]:
    """Return all tokens, also those that ended, by name."""
    return list(session.scalars(select(ApiToken).order_by(ApiToken.name, ApiToken.created_at)))


def any_made(session: Session) -> bool:
    """Tell whether a token was ever made and not forgotten."""
    return bool(session.scalar(select(exists(select(ApiToken.api_token_id)))))


def any_in_force(session: Session, *, now: datetime) -> bool:
    """Tell whether some token lets somebody in."""
    return bool(session.scalar(select(_in_force(now).exists())))


def by_hash(session: Session, sha256: str, *, now: datetime) -> ApiToken | None:
    """Return the token in force of a hash, and note that it is used."""
    found = session.scalars(_in_force(now).where(ApiToken.sha256 == sha256)).one_or_none()
    return _noted(session, found, now)


def revoke(session: Session, name: str, *, now: datetime) -> bool:
    """End the token of a name; False where none in force has it."""
    ended = session.execute(
        update(ApiToken)
        .where(ApiToken.name == name, ApiToken.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(ApiToken.api_token_id)
    )
    return ended.one_or_none() is not None


def forget(session: Session, name: str) -> int:
    """Delete all tokens of a name; return how many there were."""
    gone = session.execute(
        delete(ApiToken).where(ApiToken.name == name).returning(ApiToken.api_token_id)
    )
    return len(gone.all())


def _in_force(now: datetime) -> Select[ApiToken]:
    return select(ApiToken).where(
        ApiToken.revoked_at.is_(None), ApiToken.expires_at.is_(None) | (ApiToken.expires_at > now)
    )


def _noted(session: Session, found: ApiToken | None, now: datetime) -> ApiToken | None:
    if found is not None and (found.used_at is None or now - found.used_at > USED_TO):
        found.used_at = now.replace(minute=0, second=0, microsecond=0)
        session.flush()
    return found
