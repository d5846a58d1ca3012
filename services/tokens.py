"""Tokens of the HTTP API: shown once, kept as a hash, each with the widest scope that it has.

A token is 256 random bits, so its plain SHA-256 tells nobody anything, and looking it up by that
takes the same time for every wrong one.
"""

import hashlib
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from db.models import ApiToken
from db.models.access import SCOPES as SCOPES  # noqa: PLC0414 - theirs and ours
from db.queries import tokens as rows
from services.context import Context
from services.errors import NotFoundError, UsageError

PREFIX: Final = "tgr_"
"""Begins each token, so that people and scanners of leaked secrets know one."""
LONGEST_NAME = 100


@dataclass(frozen=True)
class TokenView:
    """A token as a front door shows it; the token itself is in no table.

    Attributes:
        scope: The widest it has: ``read``, ``operate`` or ``admin``.
        state: ``in force``, ``expired`` or ``revoked``.
        used_at: When it was last used, to the hour.
    """

    api_token_id: int
    name: str
    scope: str
    state: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


def create(
    context: Context, name: str, *, scope: str = "read", lifetime: timedelta | None = None
) -> str:
    """Make a token and return it; nobody can read it again.

    Args:
        context: The database.
        name: To know it by, such as who or what uses it.
        scope: What it may at most.
        lifetime: How long it is in force; None: until it is revoked.

    Raises:
        UsageError: There is no such scope, the name cannot be, or a token in force has it.
    """
    if scope not in SCOPES:
        raise UsageError(f"there is no scope “{scope}”", hint=f"use {', '.join(SCOPES)}")
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            "that cannot name a token", hint=f"use up to {LONGEST_NAME} letters, such as ci"
        )
    token = PREFIX + secrets.token_urlsafe(32)
    now = context.clock()
    with context.transaction() as session:
        is_new = rows.add(
            session,
            name=name,
            sha256=digest(token),
            scope=scope,
            now=now,
            expires_at=None if lifetime is None else now + lifetime,
        )
    if not is_new:
        raise UsageError(
            f"there is a token named {name}",
            hint=f"`tubegrader tokens revoke {name}` first, or choose another name",
            reason="tokenNameTaken",
        )
    return token


def listed(context: Context) -> list[TokenView]:
    """Return all tokens, also those that ended, by name."""
    now = context.clock()
    with context.transaction() as session:
        return [_view(row, now) for row in rows.listed(session)]


def revoke(context: Context, name: str, *, forget: bool = False) -> None:
    """End a token: it lets nobody in any more.

    Args:
        context: The database.
        name: The token's.
        forget: Also delete that there ever was one, and those of the name that ended before.

    Raises:
        NotFoundError: There is none of that name.
    """
    with context.transaction() as session:
        found = rows.revoke(session, name, now=context.clock())
        if forget:
            found = rows.forget(session, name) > 0
    if not found:
        raise NotFoundError(
            f"there is no token in force named {name}", hint="`tubegrader tokens list` shows them"
        )


def find_by_hash(context: Context, sha256: str) -> TokenView | None:
    """Return the token in force of a :func:`digest`; None if it lets nobody in."""
    now = context.clock()
    with context.transaction() as session:
        row = rows.by_hash(session, sha256, now=now)
        return None if row is None else _view(row, now)


def any_in_force(context: Context) -> bool:
    """Tell whether some token lets somebody in."""
    with context.transaction() as session:
        return rows.any_in_force(session, now=context.clock())


def any_made(context: Context) -> bool:
    """Tell whether there is a token, also one that ended."""
    with context.transaction() as session:
        return rows.any_made(session)


def digest(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def allows(scope: str, wanted: str) -> bool:
    """Tell whether a scope is wide enough."""
    return SCOPES.index(scope) >= SCOPES.index(wanted)


def _view(row: ApiToken, now: datetime) -> TokenView:
    ended = row.expires_at is not None and row.expires_at <= now
    state = "revoked" if row.revoked_at is not None else "expired" if ended else "in force"
    return TokenView(
        row.api_token_id,
        row.name,
        row.scope,
        state,
        row.created_at,
        row.expires_at,
        row.used_at,
        row.revoked_at,
    )
