"""Bring a database to the schema of this version."""

from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine


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
    """Upgrade a database; tell whether anything was to do."""
    engine = create_engine(database_url)
    try:
        if revision == "head" and current_revision(engine) == head_revision():
            return False
    finally:
        engine.dispose()
    command.upgrade(alembic_config(database_url), revision)
    return True


def downgrade(database_url: str, revision: str) -> None:
    """Take a database back to an earlier revision (``base`` for none)."""
    command.downgrade(alembic_config(database_url), revision)
