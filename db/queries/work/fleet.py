"""Processes that tell that they live, and the one of them that holds an office.

Every moment is the database's own: nobody's clock decides who is alive or who dispatches.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Function, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Election, WorkerProcess

_NOW: Function[datetime] = func.clock_timestamp()


def present_moment(session: Session) -> datetime:
    """Return what time the database thinks it is."""
    return session.scalars(select(_NOW)).one()


def beat(
    session: Session, process_name: str, *, role: str, host: str, pid: int, version: str
) -> None:
    """Note that a process lives."""
    row = insert(WorkerProcess).values(
        process_name=process_name, role=role, host=host, pid=pid, version=version
    )
    session.execute(
        row.on_conflict_do_update(
            index_elements=[WorkerProcess.process_name],
            set_={"seen_at": _NOW, "version": row.excluded.version},
        )
    )


def leave(session: Session, process_name: str) -> None:
    """Forget a process that ends, and give up its offices."""
    session.execute(delete(WorkerProcess).where(WorkerProcess.process_name == process_name))
    session.execute(delete(Election).where(Election.holder == process_name))


def forget_silent(session: Session, *, after: timedelta) -> int:
    """Delete processes that were not heard of for so long; return how many there were."""
    silent = WorkerProcess.seen_at < _NOW - after
    statement = delete(WorkerProcess).where(silent).returning(WorkerProcess.process_name)
    return len(session.execute(statement).all())


def seen(session: Session) -> Sequence[tuple[WorkerProcess, float, bool]]:
    """Return each process, the seconds since it was heard of, and whether it holds an office."""
    silence = func.extract("epoch", _NOW - WorkerProcess.seen_at)
    holds = (
        select(Election)
        .where(Election.holder == WorkerProcess.process_name, Election.held_until > _NOW)
        .exists()
    )
    rows = session.execute(
        select(WorkerProcess, silence, holds).order_by(WorkerProcess.role, WorkerProcess.host)
    )
    return [(process, float(seconds), held) for process, seconds, held in rows]


def elect(session: Session, office: str, holder: str, *, term: timedelta) -> bool:
    """Take an office, or go on holding it, for a term; tell whether ``holder`` has it now."""
    taken = session.execute(
        text(
            """
            INSERT INTO elections AS e (office, holder, elected_at, held_until)
            VALUES (:office, :holder, clock_timestamp(), clock_timestamp() + :term)
            ON CONFLICT (office) DO UPDATE SET
                holder = excluded.holder,
                elected_at = CASE WHEN e.holder = excluded.holder THEN e.elected_at
                    ELSE excluded.elected_at END,
                held_until = excluded.held_until
            WHERE e.holder = excluded.holder OR e.held_until < clock_timestamp()
                -- Nobody takes it for so long: the database's own time went back.
                OR e.held_until > clock_timestamp() + 2 * :term
            RETURNING 1
            """
        ),
        {"office": office, "holder": holder, "term": term},
    ).scalar_one_or_none()
    return taken is not None
