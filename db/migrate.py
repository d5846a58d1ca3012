"""Bring a database to the schema of this version."""

import time
from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import OperationalError

from db.ddl import BETWEEN_S, TRIES


def alembic_config(database_url: str) -> Config:
    """Return Alembic's configuration for a database; the scripts are this package's own."""
    config = Config()
    config.set_main_option("script_location", str(resources.files("migrations")))
    # Alembic reads options through configparser, to which % is special.
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


def head_revision() -> str:
    """Return the newest revision that this version of the code knows."""
    head = ScriptDirectory(str(resources.files("migrations"))).get_current_head()
    assert head is not None, "the migrations package holds at least one revision"
    return head


def current_revision(engine: Engine) -> str | None:
    """Return the revision a database is at, or None for an empty one."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(database_url: str, revision: str = "head") -> bool:
    """Upgrade a database, in use or not; tell whether anything was to do.

    Raises:
        OperationalError: The database is away, or a lock could not be had in all of the tries. The
            revisions before that one are done.
    """
    engine = create_engine(database_url)
    try:
        if revision == "head" and current_revision(engine) == head_revision():
            return False
    finally:
        engine.dispose()
    for tried in range(1, TRIES + 1):
        try:
            command.upgrade(alembic_config(database_url), revision)
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected) or tried == TRIES:
                raise
            time.sleep(BETWEEN_S)
        else:
            break
    return True


def downgrade(database_url: str, revision: str) -> None:
    """Take a database back to an earlier revision (``base`` for none)."""
    command.downgrade(alembic_config(database_url), revision)
