"""What a crawl job makes of its channels' work items: brought forward, or taken back."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Update, case, or_, update
from sqlalchemy.orm import Session

from db.models import WorkItem
from db.queries.arrays import among


def make_due(
    session: Session,
    *,
    kinds: Collection[str],
    channel_ids: Collection[str] | None,
    now: datetime,
) -> int:
    """Bring work forward to ``now``: idle, failed, later and parked items.

    What is parked keeps its slot: it was begun, and must not be done twice. Running work stays
    as it is. What failed loses its slot: ``completeness.note_given_up`` notes it before.

    Args:
        session: The unit of work.
        kinds: Kinds of work to bring forward.
        channel_ids: Only these channels' items; None for all.
        now: The new slot of what was not due yet.

    Returns:
        How many items became due.
    """
    parked = (WorkItem.state == "due") & (WorkItem.slot <= now)
    statement = (
        update(WorkItem)
        .where(
            WorkItem.kind.in_(kinds),
            or_(
                WorkItem.state.in_(("idle", "failed")),
                (WorkItem.state == "due") & (WorkItem.ready_at > now),
            ),
        )
        .values(state="due", slot=_if(parked, WorkItem.slot, now), ready_at=now, attempts=0)
    )
    if channel_ids is not None:
        statement = statement.where(among(WorkItem.channel_id, channel_ids))
    return _changed(session, statement)


def unschedule(
    session: Session, *, channel_ids: Collection[str], later: datetime, now: datetime
) -> int:
    """Take back what is due and not begun: next at ``later``, or never if it never was done.

    Returns:
        How many items were taken back.
    """
    never = WorkItem.done_at.is_(None)
    statement = (
        update(WorkItem)
        .where(
            among(WorkItem.channel_id, channel_ids), WorkItem.state == "due", WorkItem.slot <= now
        )
        .values(
            state=_if(never, "idle", "due"),
            slot=_if(never, None, later),
            ready_at=_if(never, None, later),
        )
    )
    return _changed(session, statement)


def _if(condition: ColumnElement[bool], then: object, otherwise: object) -> ColumnElement[object]:
    return case((condition, then), else_=otherwise)


def _changed(session: Session, statement: Update) -> int:
    """Return how many rows a statement changes; which they are, millions maybe, is not asked."""
    # Nobody holds items as objects that would have to be told.
    options = {"synchronize_session": False}
    return int(cast("Any", session.execute(statement, execution_options=options)).rowcount)
