"""Engines, and the factory of sessions. ``services.context.Context`` opens transactions."""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.orm import Session, sessionmaker

SessionFactory = sessionmaker[Session]


SESSION = {
    "timezone": "UTC",
    "lock_timeout": "60s",
    # Half of what others wait for a lock: who stands still in a transaction is put out of it before
    # anybody else gives up. No transaction is open during work on the network or in models.
    "idle_in_transaction_session_timeout": "30s",
    "statement_timeout": "15min",
}
"""What PostgreSQL is told of each session."""
NETWORK = {
    # A database that went away without a word, as in a failover, is noticed in a minute.
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""What libpq is told of each connection."""


def make_engine(database_url: str, *, pool_size: int = 5, pooled: bool = False) -> Engine:
    """Make an engine whose sessions speak UTC, and neither wait nor make others wait for ever.

    Args:
        database_url: The database's, or that of a PgBouncer before it.
        pool_size: How many connections are kept.
        pooled: Each transaction may get another session, as from a PgBouncer in transaction mode:
            nothing is told to a session, and none is expected to remember.
    """
    own: dict[str, Any] = (
        # Prepared statements belong to a session.
        {"prepare_threshold": None}
        if pooled
        else {"options": " ".join(f"-c {name}={value}" for name, value in SESSION.items())}
    )
    engine = create_engine(
        database_url,
        pool_size=pool_size,
        pool_pre_ping=True,
        connect_args={**NETWORK, "application_name": "tubegrader", **own},
    )
    if pooled:
        event.listen(engine, "begin", _tell_transaction)
    return engine


def make_session_factory(engine: Engine) -> SessionFactory:
    """Make the factory that units of work are opened from."""
    return sessionmaker(engine, expire_on_commit=False)


def _tell_transaction(connection: Connection) -> None:
    """Say for one transaction what otherwise is said once for a session."""
    # One that commits each statement has no transaction to say it for.
    driver = connection.connection.driver_connection
    if driver is not None and not driver.autocommit:
        settings = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in SESSION.items())
        connection.exec_driver_sql(settings)
