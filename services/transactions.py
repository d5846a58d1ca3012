"""Transactions, and what the database's errors mean: said once, by the class of their SQLSTATE."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import psycopg
from psycopg import OperationalError
from sqlalchemy import Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from db.session import SessionFactory
from services.errors import InfrastructureError, PermanentError, TransientError

Transaction = Callable[[], AbstractContextManager[Session]]
"""Opens a session that commits when its block ends and rolls back when it raises."""

Item = TypeVar("Item")
Written = TypeVar("Written")

UNAVAILABLE = "databaseUnavailable"
REFUSED = "refusedByDatabase"
"""The reason of what breaks a constraint or fits no column: SQLSTATEs of class 22 and 23."""
LOCKED = "lockTimeout"
DEADLOCK = "deadlock"
_REASONS = {
    "08": UNAVAILABLE,  # connection exceptions
    "53": UNAVAILABLE,  # too many connections, out of memory, disk full
    "57P01": UNAVAILABLE,  # the server is shut down by its administrator
    "57P02": UNAVAILABLE,  # or because it crashed
    "57P03": UNAVAILABLE,  # and does not take connections yet
    "57P05": UNAVAILABLE,  # an idle session was ended
    "25006": UNAVAILABLE,  # read-only: a standby that was not promoted yet
    "25P03": "transactionIdle",  # this process stood still in a transaction
    "40001": "serializationFailure",
    "40P01": DEADLOCK,
    "55P03": LOCKED,
}
"""The reason of an SQLSTATE, or of all that begin with it."""
SLOW = "statementTimeout"
_SLOW = "57014"
_threads = threading.local()


@contextmanager
def translating() -> Iterator[None]:
    """Turn the database's errors inside into those of services.

    Raises:
        InfrastructureError: The database is away, full or busy, or gave up a lock: whatever was to
            be done is still to be done, and nobody's fault.
        TransientError: A statement took longer than is allowed (``statementTimeout``).
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        found = translated(error)
        if found is None:
            raise
        raise found from error


@contextmanager
def transaction(sessions: SessionFactory) -> Iterator[Session]:
    """Open a session, commit when the block ends, roll back when it raises.

    Raises:
        As :func:`translating`.
    """
    with translating(), sessions.begin() as session:
        open_here = _open_here()
        open_here.append(session)
        try:
            yield session
        finally:
            open_here.remove(session)


def open_session(engine: Engine) -> Session | None:
    """Return the session of the transaction that this thread has open on a database, if any.

    For what must not wait for a second connection while it keeps others from the first.
    """
    sessions = (s for s in reversed(_open_here()) if s.get_bind().engine.url == engine.url)
    return next(sessions, None)


def _open_here() -> list[Session]:
    sessions: list[Session] = _threads.__dict__.setdefault("sessions", [])
    return sessions


class RefusedByDatabaseError(PermanentError):
    """The database refuses a row for what is in it, however often it is written."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            reason=REFUSED,
            hint=f"report it; then `tubegrader jobs retry --items --reason {REFUSED}`",
        )


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the database says of a row into an error of services.

    Raises:
        RefusedByDatabaseError: A row breaks a constraint, or a value fits no column.
    """
    try:
        yield
    # A COPY talks to the driver, whose errors come as they are.
    except (IntegrityError, DataError, psycopg.IntegrityError, psycopg.DataError) as error:
        origin = error.orig if isinstance(error, DBAPIError) else error
        problem = next(iter(str(origin).splitlines()), type(origin).__name__)
        raise RefusedByDatabaseError(f"the database refuses it: {problem}") from error


def write_apart(
    unit: Callable[[], AbstractContextManager[Session]],
    items: Sequence[Item],
    write: Callable[[Session, Sequence[Item]], Written],
    refused: Callable[[Item, RefusedByDatabaseError], None],
) -> list[Written]:
    """Write items at once; where the database refuses, in halves, until who it refuses is alone.

    Args:
        unit: Opens a transaction or a savepoint.
        items: What is to be written; nothing happens if there is none.
        write: Writes some of them.
        refused: Told of each item that cannot be written, with the reason.

    Returns:
        What ``write`` returned, for each part that was written.
    """
    results = []
    parts = [items] if items else []
    while parts:
        part = parts.pop()
        try:
            with refusing(), unit() as session:
                result = write(session, part)
        except RefusedByDatabaseError as error:
            if len(part) == 1:
                refused(part[0], error)
            else:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
        else:
            results.append(result)
    return results


@contextmanager
def savepoint(session: Session) -> Iterator[Session]:
    """Open a part of a unit of work that is undone alone when it raises."""
    with session.begin_nested():
        yield session


def translated(error: DBAPIError | PoolTimeoutError) -> TransientError | None:
    """Return what services raise for an error of the database; None if it is a defect of ours."""
    if isinstance(error, PoolTimeoutError):
        return InfrastructureError("no connection to the database is free", reason=UNAVAILABLE)
    origin = error.orig
    sqlstate = getattr(origin, "sqlstate", None)
    problem = str(origin).splitlines()[0] if str(origin) else type(origin).__name__
    if sqlstate == _SLOW:
        return TransientError(f"the database gave up: {problem}", reason=SLOW)
    reason = _REASONS.get(sqlstate or "") or _REASONS.get((sqlstate or "")[:2])
    # A connection that was lost, or never made, has no SQLSTATE.
    if reason is None and isinstance(origin, OperationalError) and sqlstate is None:
        reason = UNAVAILABLE
    if reason is None and not error.connection_invalidated:
        return None
    return InfrastructureError(
        f"the database cannot be used at the moment: {problem}",
        reason=reason or UNAVAILABLE,
        hint="it goes on by itself once the database answers; `tubegrader doctor` looks",
    )
