"""Work items as an operator sees them: counted by state and reason, failed ones made due again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal_column, select, text, update
from sqlalchemy.orm import Session

from db.models import WorkItem
from db.queries.arrays import among


@dataclass(frozen=True)
class ItemCount:
    """How many items of a kind are in a state for a reason; ``oldest`` is the oldest slot."""

    kind: str
    state: str
    reason: str | None
    count: int
    oldest: datetime | None


def counts(session: Session, *, now: datetime) -> list[ItemCount]:
    """Count every item once. States: idle, waiting (for its slot), due, parked, leased, failed.

    ``parked`` is due, went badly before and is not to be tried again yet; the reason says why.
    """
    return _counts(session, [], now=now)


def counts_of_blocks(
    session: Session, first: int, *, blocks: int, now: datetime
) -> tuple[list[ItemCount], int | None]:
    """Count the items in so many blocks of their table, as :func:`counts` does all.

    In the order that they lie in: in any other, each would be looked up by itself. One that moves
    meanwhile may be counted by two pages, or by none.

    Args:
        session: The unit of work.
        first: The first block.
        blocks: How many.
        now: The present moment.

    Returns:
        The counts, and the block after them; None: it was the last.
    """
    after = first + blocks
    place: ColumnElement[Any] = literal_column("work_items.ctid")
    span = [place >= _at_block(first), place < _at_block(after)]
    size = "pg_relation_size('work_items') / current_setting('block_size')::int"
    end: int = session.execute(text(f"SELECT {size}")).scalar_one()
    return _counts(session, span, now=now), after if after < end else None


def _at_block(number: int) -> ColumnElement[Any]:
    return literal_column(f"'({number:d},0)'::tid")


def _counts(
    session: Session, which: Sequence[ColumnElement[bool]], *, now: datetime
) -> list[ItemCount]:
    later = WorkItem.ready_at > now
    state = case(
        (WorkItem.state != "due", WorkItem.state),
        (later & WorkItem.error_reason.is_not(None), "parked"),
        (later, "waiting"),
        else_="due",
    )
    # What went wrong before the last success is forgotten; what is claimed again is under way.
    reason = case((WorkItem.state.in_(("failed", "due")), WorkItem.error_reason))
    rows = session.execute(
        select(WorkItem.kind, state, reason, func.count(), func.min(WorkItem.slot))
        .where(*which)
        .group_by(WorkItem.kind, state, reason)
        .order_by(WorkItem.kind, state, func.count().desc())
    )
    return [ItemCount(kind, str(s), r, n, oldest) for kind, s, r, n, oldest in rows]


def retry_failed(session: Session, *, reason: str | None, kind: str | None, now: datetime) -> int:
    """Make failed items due again for the slot they failed at; return how many there were."""
    statement = (
        update(WorkItem)
        .where(WorkItem.state == "failed")
        .values(state="due", ready_at=now, attempts=0)
        .returning(WorkItem.entity_id)
    )
    if reason is not None:
        statement = statement.where(WorkItem.error_reason == reason)
    if kind is not None:
        statement = statement.where(WorkItem.kind == kind)
    return len(session.execute(statement).all())


def failures_by_reason(
    session: Session,
    *,
    channel_ids: Sequence[str] | None = None,
    kinds: Collection[str] | None = None,
) -> list[tuple[str, str, int]]:
    """Return (kind of work, reason, count) of the failed items, most frequent first."""
    return _by_reason(session, WorkItem.state == "failed", channel_ids, kinds)


def doubts_by_reason(
    session: Session, *, channel_ids: Sequence[str], kinds: Collection[str]
) -> list[tuple[str, str, int]]:
    """Return the same of the items whose verdict is in doubt."""
    in_doubt = (WorkItem.state == "due") & (WorkItem.error_kind == "permanent")
    return _by_reason(session, in_doubt, channel_ids, kinds)


def _by_reason(
    session: Session,
    which: ColumnElement[bool],
    channel_ids: Sequence[str] | None,
    kinds: Collection[str] | None,
) -> list[tuple[str, str, int]]:
    n = func.count()
    statement = (
        select(WorkItem.kind, WorkItem.error_reason, n)
        .where(which)
        .group_by(WorkItem.kind, WorkItem.error_reason)
        .order_by(n.desc(), WorkItem.kind)
    )
    if channel_ids is not None:
        statement = statement.where(among(WorkItem.channel_id, channel_ids))
    if kinds is not None:
        statement = statement.where(WorkItem.kind.in_(kinds))
    return [(k, str(r), c) for k, r, c in session.execute(statement)]


def oldest_due(session: Session, *, now: datetime) -> list[tuple[str, datetime]]:
    """Return each kind of work of which something is due, with how long the oldest has been."""
    # By kind, because the first entry of each is one look into the index of what is ready.
    rows = session.execute(
        text(
            """
            WITH RECURSIVE kinds AS (
                (SELECT kind FROM work_items
                 WHERE ready_at IS NOT NULL AND NOT is_held ORDER BY kind LIMIT 1)
                UNION ALL
                SELECT (
                    SELECT w.kind FROM work_items w
                    WHERE w.ready_at IS NOT NULL AND NOT w.is_held AND w.kind > kinds.kind
                    ORDER BY w.kind LIMIT 1
                ) FROM kinds WHERE kinds.kind IS NOT NULL
            )
            SELECT kind, at FROM kinds CROSS JOIN LATERAL (
                SELECT min(ready_at) AS at FROM work_items w
                WHERE w.kind = kinds.kind AND w.ready_at IS NOT NULL AND NOT w.is_held
            ) oldest
            WHERE kind IS NOT NULL AND at <= :now ORDER BY at
            """
        ),
        {"now": now},
    )
    return [(kind, at) for kind, at in rows]
