"""Reading tables for an export, writing rows of an import."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Column, Table, func, select, text
from sqlalchemy.orm import Session

from db.queries import streaming

MISSING_TOLD = 1_000
"""Rows that refer to nothing, told of each table and column."""


def freeze(session: Session) -> None:
    """Have the session see one moment only, from its first query on, and write nothing."""
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


def stream(
    session: Session,
    columns: Sequence[Column[Any]],
    key: Sequence[str],
    *,
    since_column: str | None,
    since: datetime | None,
    batch: int,
) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the rows of a table by its key, ``batch`` at a time."""
    table = columns[0].table
    # By bytes, so that the order is the same in every database.
    order = [
        table.c[name].collate("C") if table.c[name].type.python_type is str else table.c[name]
        for name in key
    ]
    statement = select(*columns).order_by(*order)
    if since_column is not None and since is not None:
        statement = statement.where(table.c[since_column] >= since)
    return streaming.pages(session, statement, size=batch)


def oldest(session: Session, column: Column[Any], *, since: datetime | None) -> datetime | None:
    """Return the earliest moment in a column, from ``since`` on; None if there is none."""
    statement = select(func.min(column))
    if since is not None:
        statement = statement.where(column >= since)
    return cast("datetime | None", session.scalar(statement))


def stage(
    session: Session, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> str:
    """Copy rows (with the line they come from last) into a table of this transaction only."""
    name = f"staged_{table.name}"
    session.execute(
        text(
            f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS "
            f"SELECT {', '.join(columns)}, 0::bigint AS line FROM {table.name} WITH NO DATA"
        )
    )
    driver: Any = session.connection().connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {name} ({', '.join(columns)}, line) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)
    return name


def merge(
    session: Session,
    table: Table,
    columns: Sequence[str],
    *,
    requires: Sequence[tuple[str, str]] = (),
    unless: str | None = None,
    extra: Mapping[str, str | bool] | None = None,
) -> tuple[int, list[tuple[int, str]]]:
    """Insert what was staged and is not there yet.

    Args:
        session: The unit of work that staged the rows.
        table: Where they go.
        columns: The columns that were staged.
        requires: (column, table) pairs: the row that it must refer to.
        unless: An SQL condition on the staged row ``s`` under which it counts as there already.
        extra: Further columns with the same value for all rows.

    Returns:
        How many rows are new; and (line, column) of up to ``MISSING_TOLD`` that refer to nothing.
    """
    missing: list[tuple[int, str]] = []
    conditions = [f"NOT ({unless})"] if unless else []
    for column, referred in requires:
        exists = f"EXISTS (SELECT FROM {referred} r WHERE r.{column} = s.{column})"
        conditions.append(exists)
        lines = session.scalars(
            text(
                f"SELECT line FROM staged_{table.name} s WHERE NOT {exists} "
                f"ORDER BY line LIMIT {MISSING_TOLD}"
            )
        )
        missing += [(line, column) for line in lines]
    extra = extra or {}
    names = ", ".join([*columns, *extra])
    values = ", ".join([*(f"s.{c}" for c in columns), *(f":{c}" for c in extra)])
    inserted = session.execute(
        text(
            f"INSERT INTO {table.name} ({names}) SELECT {values} FROM staged_{table.name} s "
            f"WHERE {' AND '.join(conditions) or 'true'} ORDER BY s.line ON CONFLICT DO NOTHING"
        ),
        extra,
    )
    return int(cast("Any", inserted).rowcount), missing
