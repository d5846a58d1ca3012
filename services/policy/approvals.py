"""The ledger of approvals: permissions to go beyond YouTube's terms, each with its reference."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.models.policy import APPROVAL_SCOPES, Approval
from db.queries.policy import approvals as rows
from db.queries.speech import selections
from services.context import Context
from services.errors import UsageError
from services.youtube.identifiers import is_channel_id


@dataclass(frozen=True)
class ApprovalView:
    """An approval as a front door shows it; ``state`` is in force, coming, expired or revoked."""

    approval_id: int
    reference: str
    scope: str
    channel_id: str | None
    granted_at: datetime
    expires_at: datetime | None
    note: str | None
    state: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


def add(
    context: Context,
    reference: str,
    *,
    scope: str,
    channel_id: str | None = None,
    granted_at: datetime | None = None,
    expires_at: datetime | None = None,
    note: str | None = None,
) -> bool:
    """Record an approval; tell whether it is new (the same one in force changes nothing).

    Raises:
        UsageError: An unknown scope, no reference, a channel that is no id, or times that end
            before they begin.
    """
    reference = reference.strip()
    if not reference or not reference.isprintable():
        raise UsageError(
            "an approval needs its reference", hint="name the letter, ticket or contract"
        )
    if note is not None and "\0" in note:
        raise UsageError("the note holds a NUL character")
    if scope not in APPROVAL_SCOPES:
        raise UsageError(f"no approval is for “{scope}”", hint=f"use {', '.join(APPROVAL_SCOPES)}")
    if channel_id is not None and not is_channel_id(channel_id):
        raise UsageError(f"“{channel_id}” is no channel id", hint="it begins with UC")
    now = context.clock()
    granted_at = granted_at or now
    if expires_at is not None and expires_at <= granted_at:
        raise UsageError("the approval would end before it begins")
    with context.transaction() as session:
        added = rows.add_approval(
            session,
            {
                "reference": reference,
                "scope": scope,
                "channel_id": channel_id,
                "granted_at": granted_at,
                "expires_at": expires_at,
                "note": note,
                "recorded_at": now,
            },
        )
        if scope == "audio" and added is not None:
            selections.approved_now(session, channel_id=channel_id, now=now)
    return added is not None


def ledger(context: Context) -> list[ApprovalView]:
    """Return all approvals, the newest first."""
    now = context.clock()
    with context.transaction() as session:
        return [_view(row, now) for row in rows.approvals(session)]


def revoke(context: Context, reference: str) -> int:
    """End every approval with this reference; return how many.

    Raises:
        UsageError: None is in force.
    """
    with context.transaction() as session:
        ended = rows.revoke(session, reference, now=context.clock())
    if ended == 0:
        raise UsageError(
            f"no approval with the reference “{reference}” is in force",
            hint="`tubegrader approvals list` shows them",
        )
    return ended


def in_force(
    session: Session, scope: str, *, now: datetime, channel_id: str | None = None
) -> str | None:
    """Return the reference of an approval that holds for a scope (and channel); None without."""
    for row in rows.approvals_in_force(session, scope, now=now):
        if row.channel_id is None or row.channel_id == channel_id:
            return row.reference
    return None


def _view(row: Approval, now: datetime) -> ApprovalView:
    if row.revoked_at is not None:
        state = "revoked"
    elif row.granted_at > now:
        state = "coming"
    elif row.expires_at is not None and row.expires_at <= now:
        state = "expired"
    else:
        state = "in force"
    return ApprovalView(
        approval_id=row.approval_id,
        reference=row.reference,
        scope=row.scope,
        channel_id=row.channel_id,
        granted_at=row.granted_at,
        expires_at=row.expires_at,
        note=row.note,
        state=state,
    )
