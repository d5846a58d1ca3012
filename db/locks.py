"""Locks that are held for as long as something works, not for a transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError


class LockLostError(Exception):
    """The connection that held the lock is gone, and the lock with it."""


class HeldLock:
    """A lock that is held until its block ends or its connection is lost."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check(self) -> None:
        """See that the lock is still held.

        Raises:
            LockLostError: It is not.
        """
        try:
            # The lock belongs to this very connection, so while that answers it is held.
            self._connection.execute(text("SELECT 1"))
        except DBAPIError as error:
            raise LockLostError(str(error)) from error


@contextmanager
def advisory_lock(engine: Engine, name: str) -> Iterator[HeldLock | None]:
    """Hold PostgreSQL's session-level advisory lock of a name; None where somebody else does.

    The connection is its own, taken out of the pool for good: when the process dies PostgreSQL
    closes it, and the lock is free.
    """
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.detach()
    try:
        taken = connection.execute(
            text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name}
        ).scalar_one()
        yield HeldLock(connection) if taken else None
    finally:
        connection.close()
