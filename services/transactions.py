"""Transactions, and what the database's errors mean: said once, by the class of their SQLSTATE."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from psycopg import OperationalError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from db.session import SessionFactory
from services.errors import InfrastructureError, TransientError

Transaction = Callable[[], AbstractContextManager[Session]]
"""Opens a session that commits when its block ends and rolls back when it raises."""

UNAVAILABLE = "databaseUnavailable"
LOCKED = "lockTimeout"
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
    "40P01": "deadlock",
    "55P03": LOCKED,
}
"""The reason of an SQLSTATE, or of all that begin with it."""
_SLOW = "57014"


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
        yield session


def translated(error: DBAPIError | PoolTimeoutError) -> TransientError | None:
    """Return what services raise for an error of the database; None if it is a defect of ours."""
    if isinstance(error, PoolTimeoutError):
        return InfrastructureError("no connection to the database is free", reason=UNAVAILABLE)
    origin = error.orig
    sqlstate = getattr(origin, "sqlstate", None)
    problem = str(origin).splitlines()[0] if str(origin) else type(origin).__name__
    if sqlstate == _SLOW:
        return TransientError(f"the database gave up: {problem}", reason="statementTimeout")
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
