"""Alembic's entry: connect, take the migration lock, run."""

from typing import Any

from alembic import context
from sqlalchemy import create_engine, pool, text

import db.models  # noqa: F401  (fills Base.metadata)
from db.base import Base

# Two processes may start on one new database at once; the second waits here, then finds it done.
MIGRATION_LOCK = 7_264_951

url = context.config.get_main_option("sqlalchemy.url")
assert url is not None, "run migrations through db.migrate, which sets the database's address"


def include_object(item: Any, name: str | None, type_: str, reflected: bool, _other: Any) -> bool:
    """Leave out what is made at run time: the partitions of video_snapshots."""
    del item
    return not (type_ == "table" and reflected and str(name).startswith("video_snapshots_"))


engine = create_engine(url, poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=include_object,
        compare_server_default=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        # A migration that cannot get its locks fails instead of blocking everyone behind it.
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        context.run_migrations()
