"""Many rows at once, as fast as PostgreSQL takes them."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain, repeat
from typing import Any

from psycopg.errors import UniqueViolation
from psycopg.pq import TransactionStatus
from sqlalchemy import BigInteger, ColumnElement, DateTime, Float, Text, literal_column
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from db.base import Base

_Column = Sequence[Any]


def append(session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    """Append rows, all with the same columns; one that exists already is left alone.

    Rows go by binary COPY, ten times as fast as INSERT. It knows no ON CONFLICT, so where a row
    was there before, which is rare, all go a second time the slow way.

    Returns:
        How many rows are new.
    """
    try:
        with _whole(session.connection().connection.driver_connection):
            return copy(session, model, rows)
    except UniqueViolation:
        one: ColumnElement[int] = literal_column("1")
        statement = postgresql.insert(model).on_conflict_do_nothing().returning(one)
        return len(session.execute(statement, list(rows)).all())


@contextmanager
def _whole(driver: Any) -> Iterator[None]:
    """Undo what was done inside if it fails: by the driver, at half a session's savepoint's cost.

    Where nothing was done in the transaction yet there is nothing to come back to.
    """
    if driver.info.transaction_status != TransactionStatus.IDLE:
        with driver.transaction():
            yield
        return
    try:
        yield
    except BaseException:
        driver.rollback()
        raise


def copy(session: Session, model: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    """Add rows that are all new, all with the same columns; return how many.

    Raises:
        psycopg.Error: One exists already or breaks another rule.
    """
    if not rows:
        return 0
    columns = tuple(rows[0])
    values: list[Sequence[Any]] = [[row[name] for row in rows] for name in columns]
    target = f"{model.__tablename__} ({', '.join(columns)})"
    driver: Any = session.connection().connection.driver_connection
    with driver.cursor() as cursor:
        with cursor.copy(f"COPY {target} FROM STDIN (FORMAT binary)") as sink:
            encoded = _encoded(model, columns, values)
            if encoded is not None:
                sink.write(encoded)
            else:
                sink.set_types(_types(model, columns))
                for row in zip(*values, strict=True):
                    sink.write_row(row)
        count: int = cursor.rowcount
    return count


@cache
def _types(model: type[Base], columns: tuple[str, ...]) -> list[str]:
    """Return PostgreSQL's names of the columns' types: binary values do not convert themselves."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return [model.__table__.c[name].type.compile(dialect).lower() for name in columns]


def _encoded(
    model: type[Base], columns: tuple[str, ...], values: Sequence[_Column]
) -> bytes | None:
    """Write rows out in COPY's binary form, a column at a time: a fifth of what the driver takes.

    Returns:
        None where a type or a value is none of the plain ones: the driver knows all of them, and
        says what is wrong with which.
    """
    encode = _encoders(model, columns)
    if encode is None:
        return None
    try:
        fields = [write(column) for write, column in zip(encode, values, strict=True)]
    except (struct.error, TypeError, AttributeError, ValueError):
        return None
    begin = struct.pack("!h", len(columns))
    body = chain.from_iterable(zip(repeat(begin), *fields, strict=False))
    return b"".join((_HEADER, *body, _END))


_HEADER, _END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_LENGTH = struct.Struct("!i").pack
_INTEGER = struct.Struct("!iq").pack
_REAL = struct.Struct("!id").pack
_EPOCH, _MICROSECOND = datetime(2000, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def _texts(column: _Column) -> list[bytes]:
    return [_NULL if v is None else _LENGTH(len(b := v.encode())) + b for v in column]


def _integers(column: _Column) -> list[bytes]:
    return [_NULL if v is None else _INTEGER(8, v) for v in column]


def _reals(column: _Column) -> list[bytes]:
    return [_NULL if v is None else _REAL(8, v) for v in column]


def _moments(column: _Column) -> list[bytes]:
    # The same ones again and again: a batch is answered for, and often due, at a few moments.
    known = {
        v: _NULL if v is None else _INTEGER(8, (v - _EPOCH) // _MICROSECOND) for v in set(column)
    }
    return [known[v] for v in column]


_ENCODERS: dict[type, Callable[[_Column], list[bytes]]] = {
    Text: _texts,
    BigInteger: _integers,
    Float: _reals,
    DateTime: _moments,
}


@cache
def _encoders(
    model: type[Base], columns: tuple[str, ...]
) -> list[Callable[[_Column], list[bytes]]] | None:
    found = [_ENCODERS.get(type(model.__table__.c[name].type)) for name in columns]
    known = [one for one in found if one is not None]
    return known if len(known) == len(found) else None
