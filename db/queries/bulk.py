"""Many rows at once, as fast as PostgreSQL takes them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from psycopg.errors import UniqueViolation
from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from db.base import Base


def append(session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    """Append rows, all with the same columns; one that exists already is left alone.

    Rows go by binary COPY, ten times as fast as INSERT. It knows no ON CONFLICT, so where a row
    was there before, which is rare, all go a second time the slow way.

    Returns:
        How many rows are new.
    """
    try:
        with session.begin_nested():
            return copy(session, model, rows)
    except UniqueViolation:
        one: ColumnElement[int] = literal_column("1")
        statement = postgresql.insert(model).on_conflict_do_nothing().returning(one)
        return len(session.execute(statement, list(rows)).all())


def copy(session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    """Add rows that are all new, all with the same columns; return how many.

    Raises:
        psycopg.Error: One exists already or breaks another rule.
    """
    if not rows:
        return 0
    columns = tuple(rows[0])
    target = f"{model.__tablename__} ({', '.join(columns)})"
    driver: Any = session.connection().connection.driver_connection
    with driver.cursor() as cursor:
        with cursor.copy(f"COPY {target} FROM STDIN (FORMAT binary)") as sink:
            sink.set_types(_types(model, columns))
            for row in rows:
                sink.write_row([row[name] for name in columns])
        count: int = cursor.rowcount
    return count


@cache
def _types(model: type[Base], columns: tuple[str, ...]) -> list[str]:
    """Return PostgreSQL's names of the columns' types: binary values do not convert themselves."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return [model.__table__.c[name].type.compile(dialect).lower() for name in columns]
