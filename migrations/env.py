"""Alembic's entry: connect, take the migration lock, run.

Each revision is a transaction of its own, and one that cannot get its locks at once gives up, so
that no statement of those who work meanwhile waits behind it; ``db.migrate`` tries it again.
"""

import time
from contextlib import suppress
from typing import Any

from alembic import context
from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import ProgrammingError

import db.models  # noqa: F401  (fills Base.metadata)
from db.base import Base
from db.ddl import LOCK_S

# Two processes may start on one new database at once; the second waits here, then finds it done.
MIGRATION_LOCK = 7_264_951
TRY_S = 0.2

url = context.config.get_main_option("sqlalchemy.url")
assert url is not None, "run migrations through db.migrate, which sets the database's address"


def include_object(item: Any, name: str | None, type_: str, reflected: bool, _other: Any) -> bool:
    """Leave out what is made at run time: the partitions of video_snapshots."""
    del item
    return not (type_ == "table" and reflected and str(name).startswith("video_snapshots_"))


engine = create_engine(url, poolclass=pool.NullPool)
with engine.connect() as guard, engine.connect() as connection:
    # Held by a connection of its own: it outlasts the transactions, and ends with this process.
    guard.execution_options(isolation_level="AUTOCOMMIT")
    # Tried, and not waited for: an index that the holder makes concurrently waits for whatever
    # statement is under way, and would wait for the one that waits for its end.
    while not guard.execute(
        text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}
    ).scalar_one():
        time.sleep(TRY_S)
    connection.execute(text(f"SET lock_timeout = '{LOCK_S}s'"))
    connection.commit()
    # Of two who wait for each other whoever looks first gives up: not those who work meanwhile.
    with suppress(ProgrammingError), connection.begin():
        connection.execute(text("SET deadlock_timeout = '50ms'"))  # a right of superusers
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=include_object,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
