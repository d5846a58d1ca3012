"""Engines, and the factory of sessions. ``services.context.Context`` opens transactions."""

from sqlalchemy import Engine, create_engine
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


def make_engine(database_url: str, *, pool_size: int = 5) -> Engine:
    """Make an engine whose sessions speak UTC, and neither wait nor make others wait for ever."""
    return create_engine(
        database_url,
        pool_size=pool_size,
        pool_pre_ping=True,
        connect_args={
            **NETWORK,
            "application_name": "tubegrader",
            "options": " ".join(f"-c {name}={value}" for name, value in SESSION.items()),
        },
    )


def make_session_factory(engine: Engine) -> SessionFactory:
    """Make the factory that units of work are opened from."""
    return sessionmaker(engine, expire_on_commit=False)
