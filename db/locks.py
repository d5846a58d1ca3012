"""Locks that are held for as long as something works, whatever its own transactions do."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session


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
            # The lock belongs to this very transaction, so while that answers it is held.
            self._connection.execute(text("SELECT 1"))
        except DBAPIError as error:
            raise LockLostError(str(error)) from error


@contextmanager
def advisory_lock(engine: Engine, name: str) -> Iterator[HeldLock | None]:
    """Hold PostgreSQL's advisory lock of a name; None where somebody else does.

    A transaction of its own holds it and does nothing else: a lock of the session would be left
    behind in a pooler. It has no snapshot while it stands still, so it keeps no vacuum from its
    work. The connection is taken out of the pool for good: when the process dies PostgreSQL closes
    it, and the lock is free.
    """
    connection = engine.connect()
    connection.detach()
    try:
        taken = connection.execute(
            text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
        ).scalar_one()
        # Afterwards: a statement with parameters keeps its snapshot until the next without.
        for timeout in ("idle_in_transaction_session_timeout", "transaction_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {timeout} = 0")
        yield HeldLock(connection) if taken else None
    finally:
        connection.close()


def shared_lock(session: Session, name: str) -> bool:
    """Share the advisory lock of a name until the transaction ends; False while one holds it."""
    return bool(
        session.execute(
            text("SELECT pg_try_advisory_xact_lock_shared(hashtextextended(:name, 0))"),
            {"name": name},
        ).scalar_one()
    )
