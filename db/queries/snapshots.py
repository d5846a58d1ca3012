"""A database as of one moment, for a dump and what goes with it; and one that is restored."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool


@dataclass(frozen=True)
class Snapshot:
    """A moment that stays as long as its connection's transaction.

    Attributes:
        connection: Sees the database as of then.
        name: By which pg_dump sees the same.
        installation_id: Whose database it is.
        schema: The revision that it is at.
        server_version: PostgreSQL's, such as 180004.
    """

    connection: Connection
    name: str
    installation_id: uuid.UUID
    schema: str
    server_version: int


@contextmanager
def snapshot(database_url: str) -> Iterator[Snapshot]:
    """Hold a snapshot of a migrated database while the block runs, without any time-out."""
    engine = create_engine(database_url, poolclass=NullPool, isolation_level="REPEATABLE READ")
    with engine.connect() as connection:
        for name in (
            "statement_timeout",
            "idle_in_transaction_session_timeout",
            "transaction_timeout",
        ):
            connection.exec_driver_sql(f"SET LOCAL {name} = 0")
        row = connection.execute(
            text(
                "SELECT pg_export_snapshot(), installation_id, version_num, "
                "current_setting('server_version_num')::int FROM installation, alembic_version"
            )
        ).one()
        yield Snapshot(connection, *row)


def server_version(database_url: str) -> int:
    """Return PostgreSQL's version, such as 180004."""
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        found = connection.execute(text("SELECT current_setting('server_version_num')::int"))
        return int(found.scalar_one())


def is_empty(database_url: str) -> bool:
    """Tell whether nobody has made a table, view or function in a database."""
    statement = text(
        """
        SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace)
           AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'public'::regnamespace)
        """
    )
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        return bool(connection.execute(statement).scalar_one())


def neighbours(database_url: str) -> list[str]:
    """Return the other databases of the server that the role may look into."""
    statement = text(
        """
        SELECT datname FROM pg_database
        WHERE datname <> current_database() AND datallowconn AND NOT datistemplate
          AND has_database_privilege(oid, 'CONNECT')
        """
    )
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        return list(connection.scalars(statement))


def installation_of(database_url: str) -> uuid.UUID | None:
    """Return whose database it is; None if it is no installation's."""
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        there = connection.execute(text("SELECT to_regclass('public.installation')")).scalar_one()
        if there is None:
            return None
        found = connection.execute(text("SELECT installation_id FROM installation"))
        return found.scalar_one_or_none()


def stand_apart(database_url: str, *, pause: str) -> uuid.UUID:
    """Make a restored database an installation of its own, at which nothing begins; return its id.

    Args:
        database_url: The restored database, as its owner.
        pause: Why nothing is claimed in it until somebody resumes.
    """
    with create_engine(database_url, poolclass=NullPool).begin() as connection:
        own = uuid.uuid4()
        connection.execute(text("UPDATE installation SET installation_id = :own"), {"own": own})
        connection.execute(
            text(
                "INSERT INTO pauses (scope, paused_at, reason) VALUES ('everything', now(), :why) "
                "ON CONFLICT DO NOTHING"
            ),
            {"why": pause},
        )
    return own
