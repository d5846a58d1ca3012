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
) -> int:
    """Copy rows, with the line they come from last, into a table of this transaction only.

    Returns:
        How many there are; their places are 0 to one less.
    """
    session.execute(
        text(
            f"CREATE TEMPORARY TABLE staged_{table.name} ON COMMIT DROP AS "
            f"SELECT {', '.join(columns)}, 0::bigint AS line, 0::bigint AS place "
            f"FROM {table.name} WITH NO DATA"
        )
    )

    names = ", ".join([*columns, "line", "place"])
    driver: Any = session.connection().connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY staged_{table.name} ({names}) FROM STDIN") as copy,
    ):
        place = 0
        for row in rows:
            copy.write_row([*row, place])
            place += 1
    # For what is merged in parts because the database refuses some of it.
    session.execute(text(f"CREATE INDEX ON staged_{table.name} (place)"))
    return place


def unresolved(
    session: Session, table: Table, requires: Sequence[tuple[str, str]]
) -> list[tuple[int, str]]:
    """Return (line, column) of up to ``MISSING_TOLD`` rows that refer to nothing, by column.

    Args:
        session: The unit of work that staged the rows.
        table: Where they go.
        requires: (column, table) pairs: the row that it must refer to.
    """
    missing: list[tuple[int, str]] = []
    for column, referred in requires:
        lines = session.scalars(
            text(
                f"SELECT line FROM staged_{table.name} s WHERE NOT {_refers(column, referred)} "
                f"ORDER BY line LIMIT {MISSING_TOLD}"
            )
        )
        missing += [(line, column) for line in lines]
    return missing


def merge(
    session: Session,
    table: Table,
    columns: Sequence[str],
    *,
    requires: Sequence[tuple[str, str]] = (),
    unless: str | None = None,
    extra: Mapping[str, str | bool] | None = None,
    places: range | None = None,
) -> int:
    """Insert what was staged, refers to something, and is not there yet; return how many rows.

    Args:
        session: The unit of work that staged the rows.
        table: Where they go.
        columns: The columns that were staged.
        requires: (column, table) pairs: the row that it must refer to.
        unless: An SQL condition on the staged row ``s`` under which it counts as there already.
        extra: Further columns with the same value for all rows.
        places: Of which rows, one after the other; None: of all.
    """
    conditions = [
        *(["s.place BETWEEN :first AND :last"] if places else []),
        *([f"NOT ({unless})"] if unless else []),
        *(_refers(column, referred) for column, referred in requires),
    ]
    extra = extra or {}
    names = ", ".join([*columns, *extra])
    values = ", ".join([*(f"s.{c}" for c in columns), *(f":{c}" for c in extra)])
    inserted = session.execute(
        text(
            f"INSERT INTO {table.name} ({names}) SELECT {values} FROM staged_{table.name} s "
            f"WHERE {' AND '.join(conditions) or 'true'} ORDER BY s.line ON CONFLICT DO NOTHING"
        ),
        {**extra, **({"first": places[0], "last": places[-1]} if places else {})},
    )
    return int(cast("Any", inserted).rowcount)


def line_of(session: Session, table: Table, place: int) -> int:
    """Return the line that a staged row comes from."""
    statement = text(f"SELECT line FROM staged_{table.name} WHERE place = :place")
    return int(session.execute(statement, {"place": place}).scalar_one())


def _refers(column: str, referred: str) -> str:
    return f"EXISTS (SELECT FROM {referred} r WHERE r.{column} = s.{column})"
