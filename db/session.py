"""Engines, and the factory of sessions. ``services.context.Context`` opens transactions."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

SessionFactory = sessionmaker[Session]


def make_engine(database_url: str, *, pool_size: int = 5) -> Engine:
    """Make an engine whose sessions speak UTC and give up waiting for locks after a minute."""
    return create_engine(
        database_url,
        pool_size=pool_size,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 10,
            "application_name": "tubegrader",
            "options": "-c timezone=UTC -c lock_timeout=60s",
        },
    )


def make_session_factory(engine: Engine) -> SessionFactory:
    """Make the factory that units of work are opened from."""
    return sessionmaker(engine, expire_on_commit=False)
