"""Processes that tell that they live, and the one of them that holds an office.

Every moment is the database's own: nobody's clock decides who is alive or who dispatches.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Function,
    and_,
    any_,
    cast,
    delete,
    func,
    literal,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session, aliased

from db.models import Election, WorkerProcess

_NOW: Function[datetime] = func.clock_timestamp()
SILENT = timedelta(seconds=45)
"""Whoever was not heard of for so long counts as gone."""
_Other = aliased(WorkerProcess)
_LACKS = func.coalesce(WorkerProcess.unfit_until > _NOW, False)
# Who cannot score with some models only is spared where another one lacks nothing: it would take
# their shards again and again, which the other one could do. Where none is left, it does the rest.
_IS_SPARED = (
    select(_Other)
    .where(
        _Other.process_name != WorkerProcess.process_name,
        func.string_to_array(_Other.role, ",").bool_op("&&")(
            func.string_to_array(WorkerProcess.role, ",")
        ),
        _Other.seen_at > _NOW - SILENT,
        func.coalesce(_Other.unfit_until <= _NOW, True),
    )
    .correlate(WorkerProcess)
    .exists()
)
_IS_FIT = ~and_(_LACKS, WorkerProcess.unfit_models.is_(None) | _IS_SPARED)


def present_moment(session: Session) -> datetime:
    """Return what time the database thinks it is; what the session has not written yet stays."""
    moment: datetime = session.connection().execute(select(_NOW)).scalar_one()
    return moment


def beat(
    session: Session,
    process_name: str,
    *,
    role: str,
    host: str,
    pid: int,
    version: str,
    late: tuple[str, timedelta] | None = None,
) -> float:
    """Note that a process lives, and what it began so long ago without ending it, if anything.

    Returns:
        For how many seconds it is to take nothing, because its machine lacks something.
    """
    chore, ago = (None, None) if late is None else late
    row = insert(WorkerProcess).values(
        process_name=process_name,
        role=role,
        host=host,
        pid=pid,
        version=version,
        late_chore=chore,
        late_since=None if ago is None else _NOW - ago,
    )
    session.execute(
        row.on_conflict_do_update(
            index_elements=[WorkerProcess.process_name],
            set_={
                "seen_at": _NOW,
                "version": row.excluded.version,
                "late_chore": row.excluded.late_chore,
                "late_since": row.excluded.late_since,
            },
        )
    )
    unfit_s = session.execute(
        select(func.extract("epoch", WorkerProcess.unfit_until - _NOW)).where(
            WorkerProcess.process_name == process_name, ~_IS_FIT
        )
    ).scalar_one_or_none()
    return max(float(unfit_s or 0), 0.0)


def set_unfit(
    session: Session,
    process_name: str,
    reason: str,
    message: str,
    *,
    models: Sequence[int] | None,
    within: timedelta,
) -> None:
    """Note what a process's machine lacks for the work, of these models or of all, for so long."""
    process = session.get(WorkerProcess, process_name, with_for_update=True, populate_existing=True)
    if process is None:
        return
    now = present_moment(session)
    known = process.unfit_until is not None and process.unfit_until > now
    if known and process.unfit_models is None:
        models = None
    elif known and models is not None:
        models = sorted({*(process.unfit_models or ()), *models})
    process.unfit_reason, process.unfit_message = reason, message
    process.unfit_until = now + within
    process.unfit_models = None if models is None else list(models)
    session.flush()


def set_fit(session: Session, process_name: str, models: Sequence[int]) -> None:
    """Note that a process's machine lacks nothing for these models; whoever of it found it so."""
    process = session.scalars(
        select(WorkerProcess)
        .where(WorkerProcess.process_name == process_name, WorkerProcess.unfit_reason.is_not(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if process is None:
        return
    left = [each for each in process.unfit_models or () if each not in models]
    is_over = process.unfit_until is None or process.unfit_until <= present_moment(session)
    if left and not is_over:
        process.unfit_models = left
    else:
        process.unfit_reason = process.unfit_message = process.unfit_until = None
        process.unfit_models = None
    session.flush()


def leave(session: Session, process_name: str) -> None:
    """Forget a process that ends, and give up its offices."""
    session.execute(delete(WorkerProcess).where(WorkerProcess.process_name == process_name))
    give_up(session, process_name)


def give_up(session: Session, process_name: str) -> None:
    """Give up the offices of a process; what was last done in them stays known."""
    session.execute(
        update(Election)
        .where(Election.holder == process_name)
        .values(held_until=Election.elected_at)
    )


def forget_silent(session: Session, *, after: timedelta) -> int:
    """Delete processes that were not heard of for so long; return how many there were."""
    silent = WorkerProcess.seen_at < _NOW - after
    statement = delete(WorkerProcess).where(silent).returning(WorkerProcess.process_name)
    return len(session.execute(statement).all())


def seen(session: Session) -> Sequence[tuple[WorkerProcess, float, bool, bool, bool]]:
    """Return each process, and what is so of it now.

    Returns:
        With each the seconds since it was heard of, whether it holds an office, whether it takes
        work, and whether its machine lacks something.
    """
    silence = func.extract("epoch", _NOW - WorkerProcess.seen_at)
    holds = (
        select(Election)
        .where(Election.holder == WorkerProcess.process_name, Election.held_until > _NOW)
        .exists()
    )
    rows = session.execute(
        select(WorkerProcess, silence, holds, _IS_FIT, _LACKS).order_by(
            WorkerProcess.role, WorkerProcess.host
        )
    )
    return [
        (process, float(seconds), held, fit, lacks) for process, seconds, held, fit, lacks in rows
    ]


def count_heard(session: Session, queue: str) -> int:
    """Count the workers of a queue that were heard of, and take work."""
    return _heard(session, queue, _IS_FIT)


def count_unfit(session: Session, queue: str) -> int:
    """Count the workers of a queue that were heard of, and take nothing."""
    return _heard(session, queue, ~_IS_FIT)


def is_beyond_all(session: Session, queue: str, models: Sequence[int]) -> bool:
    """Tell whether workers of a queue live, and none is known to have what these models need."""
    is_able = ~_LACKS | ~func.coalesce(
        WorkerProcess.unfit_models.bool_op("&&")(cast(list(models), ARRAY(BigInteger))), True
    )
    return not _heard(session, queue, is_able) and _heard(session, queue, true()) > 0


def _heard(session: Session, queue: str, among: ColumnElement[bool]) -> int:
    statement = select(func.count()).where(
        literal(queue) == any_(func.string_to_array(WorkerProcess.role, ",")),
        WorkerProcess.seen_at > _NOW - SILENT,
        among,
    )
    return session.execute(statement).scalar_one()


def elect(
    session: Session,
    office: str,
    holder: str,
    *,
    term: timedelta,
    done_ago: timedelta | None = None,
) -> bool:
    """Take an office, or go on holding it, for a term; tell whether ``holder`` has it now.

    Args:
        session: The unit of work.
        office: Which.
        holder: A process by its name.
        term: For how long.
        done_ago: How long ago it did what the office is for; None: it did not yet.
    """
    taken = session.execute(
        text(
            """
            INSERT INTO elections AS e (office, holder, elected_at, held_until, done_at)
            VALUES (:office, :holder, clock_timestamp(), clock_timestamp() + :term,
                clock_timestamp() - CAST(:done_ago AS interval))
            ON CONFLICT (office) DO UPDATE SET
                holder = excluded.holder,
                elected_at = CASE WHEN e.holder = excluded.holder THEN e.elected_at
                    ELSE excluded.elected_at END,
                held_until = excluded.held_until,
                done_at = coalesce(excluded.done_at, e.done_at)
            WHERE e.holder = excluded.holder OR e.held_until < clock_timestamp()
                -- Nobody takes it for so long: the database's own time went back.
                OR e.held_until > clock_timestamp() + 2 * :term
            RETURNING 1
            """
        ),
        {"office": office, "holder": holder, "term": term, "done_ago": done_ago},
    ).scalar_one_or_none()
    return taken is not None


def done_s_ago(session: Session, office: str) -> float | None:
    """Return how many seconds ago what an office is for was last done; None: never."""
    ago = func.extract("epoch", _NOW - Election.done_at)
    found = session.execute(select(ago).where(Election.office == office)).scalar_one_or_none()
    return None if found is None else float(found)
