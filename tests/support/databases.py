"""Databases of one's own in the tests' PostgreSQL, and contexts on them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from db.roles import OWNER
from services.clock import Clock, system_clock
from services.context import Context
from services.embedded import Endpoints
from services.settings import Settings

EMPTY = "template0"
"""The template of a database without any table."""


def owned(url: str) -> str:
    """The address of a database of the tests' server as its owner, who may do anything."""
    return make_url(url).set(username=OWNER).render_as_string(hide_password=False)


@contextmanager
def owner_engine(context: Context) -> Iterator[Engine]:
    """An engine on a context's database for what the app may not do, such as making tables."""
    engine = create_engine(owned(str(context.settings.database_url)), poolclass=NullPool)
    yield engine
    engine.dispose()


@contextmanager
def own_database(url: str, name: str, *, template: str | None = None) -> Iterator[str]:
    """A database while the block runs, beside the one that ``url`` names; gives its address.

    Args:
        url: Of a database of the same server, as the role that is to use the new one.
        name: The new one's.
        template: Which one it copies; None: the one of ``url``.
    """
    # Nobody may be connected to a database that is copied, so no connection is kept open.
    admin = create_engine(owned(url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    template = template or make_url(url).database
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        # Copied as files, not through the log: a third of the work, and nothing is left in the
        # buffers that dropping it would have to write out first.
        connection.execute(text(f'CREATE DATABASE {name} TEMPLATE "{template}" STRATEGY FILE_COPY'))
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def context_on(
    database_url: str, endpoints: Endpoints, folder: Path, *, clock: Clock = system_clock
) -> Context:
    """A context on a database, with a home and an object store in a folder, without YouTube."""
    settings = Settings(
        home=folder / "home",
        database_url=database_url,
        redis_url=endpoints.redis_url,
        storage_url=(folder / "objects").as_uri(),
    )
    return Context(settings, clock)


def with_one_connection(context: Context) -> Context:
    """Return the context with one connection, where nobody waits for a second one for long.

    Its clock asks the database each time, as that of a process does every half minute.
    """
    url, told = str(context.settings.database_url), context.clock
    context.engine.dispose()
    context.__dict__.pop("sessions", None)
    context.__dict__["engine"] = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=5)

    def clock() -> datetime:
        context.database_moment()
        return told()

    context.clock = clock
    return context
