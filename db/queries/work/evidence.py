"""What verdicts on items are believed by: when they were first heard, and how others fared."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import GoodAnswer, WorkItem
from db.queries.arrays import among

EXACT_TO = timedelta(minutes=1)
"""Every batch of every worker comes by: the row must not be one that they wait for."""


def note_good_answer(session: Session, kind: str, *, at: datetime) -> None:
    """Note that something of a kind was answered well by a batch that was begun ``at`` then."""
    session.execute(
        update(GoodAnswer)
        .where(GoodAnswer.kind == kind, GoodAnswer.answered_at <= at - EXACT_TO)
        .values(answered_at=at)
    )
    if last_good_answer(session, kind) is None:
        session.execute(
            insert(GoodAnswer).values(kind=kind, answered_at=at).on_conflict_do_nothing()
        )


def last_good_answer(session: Session, kind: str) -> datetime | None:
    """Return since when at least a kind of work was last answered well; None: never."""
    return session.scalar(select(GoodAnswer.answered_at).where(GoodAnswer.kind == kind))


def last_good_answers(session: Session, kinds: Collection[str]) -> dict[str, datetime]:
    """Return since when at least each of some kinds was last answered well, where it ever was."""
    statement = select(GoodAnswer.kind, GoodAnswer.answered_at).where(GoodAnswer.kind.in_(kinds))
    return {row.kind: row.answered_at for row in session.execute(statement)}


def doubt(
    session: Session, kind: str, entity_ids: Collection[str], *, now: datetime
) -> dict[str, datetime]:
    """Note a verdict on items that nobody asked for as such; return when it was first heard."""
    statement = (
        update(WorkItem)
        .where(WorkItem.kind == kind, among(WorkItem.entity_id, sorted(entity_ids)))
        .values(doubted_at=func.coalesce(WorkItem.doubted_at, now))
        .returning(WorkItem.entity_id, WorkItem.doubted_at)
    )
    return {entity_id: at for entity_id, at in session.execute(statement) if at is not None}
