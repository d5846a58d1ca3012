"""Pauses: the operator's hand on everything, or on one queue. What runs finishes."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.queries.work import pauses as rows
from services.context import Context
from services.errors import UsageError
from services.queue import QUEUES

EVERYTHING = "everything"


@dataclass(frozen=True)
class PauseView:
    """A pause as a front door shows it."""

    scope: str
    paused_at: datetime
    reason: str | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {**asdict(self), "paused_at": self.paused_at.isoformat()}


def pause(context: Context, scope: str = EVERYTHING, *, reason: str | None = None) -> bool:
    """Claim nothing of a queue, or of any, until it is resumed; False if it was paused.

    Raises:
        UsageError: There is no such queue.
    """
    with context.transaction() as session:
        return rows.add(session, _checked(scope), reason=reason, now=context.clock())


def resume(context: Context, scope: str = EVERYTHING) -> bool:
    """Lift a pause; False if there was none.

    Raises:
        UsageError: There is no such queue.
    """
    with context.transaction() as session:
        return rows.lift(session, _checked(scope), now=context.clock())


def listed(context: Context) -> list[PauseView]:
    """Return the pauses in force."""
    with context.transaction() as session:
        return [PauseView(p.scope, p.paused_at, p.reason) for p in rows.in_force(session)]


def paused_queues(session: Session) -> dict[str, str]:
    """Return the queues that are paused, each with a message that says so."""
    found: dict[str, str] = {}
    for entry in rows.in_force(session):
        message = f"{entry.scope} is paused" + (f": {entry.reason}" if entry.reason else "")
        for queue in QUEUES if entry.scope == EVERYTHING else (entry.scope,):
            found.setdefault(queue, message)
    return found


def _checked(scope: str) -> str:
    if scope not in (EVERYTHING, *QUEUES):
        raise UsageError(f"there is no queue “{scope}”", hint=f"use {', '.join(QUEUES)}")
    return scope
