"""Before work is claimed: what is ready, who may claim, how much is under way, what is held."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from db.models import WorkItem


def kinds_ready(session: Session, kinds: Collection[str], *, now: datetime) -> set[str]:
    """Return those kinds of work of which something may be ready; the others have nothing."""
    statement = text(
        """
        SELECT kind FROM unnest(CAST(:kinds AS text[])) AS k (kind)
        WHERE EXISTS (
            SELECT FROM work_items w WHERE w.kind = k.kind AND w.ready_at <= :now AND NOT w.is_held
        )
        """
    )
    return set(session.scalars(statement, {"kinds": list(kinds), "now": now}))


def set_held(session: Session, channel_id: str, *, held: bool) -> None:
    """Take a paused channel's items out of the way of claims, or give them back.

    In the transaction that pauses or resumes it, which holds its row. What is under lease belongs
    to its worker, and is not held; what of it is all the same, by migration 0017, is given back.
    """
    of_channel = update(WorkItem).where(
        WorkItem.channel_id == channel_id, WorkItem.is_held.is_not(held)
    )
    if held:
        of_channel = of_channel.where(WorkItem.state != "leased")
    session.execute(of_channel.values(is_held=held))


def try_lock(session: Session, kind: str) -> bool:
    """Be the only one who claims work of a kind until the commit; False where another one does.

    What is counted as under lease is then still true when more is claimed.
    """
    lock = func.pg_try_advisory_xact_lock(func.hashtextextended(f"claims/{kind}", 0))
    taken: bool = session.execute(select(lock)).scalar_one()
    return taken


def wait_briefly(session: Session, milliseconds: int = 1_000) -> None:
    """Wait for nobody's lock for long in this unit of work: all others' work waits behind it."""
    statement = text("SELECT set_config('lock_timeout', CAST(:ms AS text), true)")
    session.execute(statement, {"ms": milliseconds})


def count_leased(session: Session, kind: str, *, now: datetime) -> int:
    """Count the items of a kind that are under a live lease: the length of the queue in effect."""
    return session.execute(
        select(func.count()).where(
            WorkItem.kind == kind, WorkItem.state == "leased", WorkItem.ready_at > now
        )
    ).scalar_one()
