"""Rows as NDJSON, CSV, Parquet and Arrow, a page after the other."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Protocol

from services.formatting import CsvLines, neutral_cell

Columns = Sequence[tuple[str, str]]


class Encoder(Protocol):
    """Makes pieces of a file of pages of rows."""

    def begin(self) -> bytes:
        """Return what comes before all rows."""

    def add(self, page: Sequence[Sequence[Any]]) -> bytes:
        """Return a page of rows."""

    def end(self) -> bytes:
        """Return what comes after all rows."""


@dataclass(frozen=True)
class Format:
    """How rows are written.

    Attributes:
        name: As it is asked for.
        media_type: Of the answer.
        encoder: Made of the columns, each with PostgreSQL's name of its type.
    """

    name: str
    media_type: str
    encoder: Callable[[Columns], Encoder]


class _Ndjson:
    def __init__(self, columns: Columns) -> None:
        self._names = [name for name, _ in columns]

    def begin(self) -> bytes:
        return b""

    def add(self, page: Sequence[Sequence[Any]]) -> bytes:
        lines = [
            json.dumps(
                dict(zip(self._names, map(_plain, row), strict=True)),
                ensure_ascii=False,
                default=_text,
            )
            for row in page
        ]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")

    def end(self) -> bytes:
        return b""


class _Csv:
    def __init__(self, columns: Columns) -> None:
        self._names = [name for name, _ in columns]

    def begin(self) -> bytes:
        return self._lines([self._names])

    def add(self, page: Sequence[Sequence[Any]]) -> bytes:
        return self._lines([[_cell(value) for value in row] for row in page])

    def end(self) -> bytes:
        return b""

    def _lines(self, rows: Sequence[Sequence[Any]]) -> bytes:
        file = io.StringIO()
        csv.writer(CsvLines(file)).writerows(rows)
        return file.getvalue().encode("utf-8", "replace")


class _Arrow:
    """A stream of Arrow's, or a file of Parquet, whose end holds where what lies."""

    def __init__(self, columns: Columns, *, parquet: bool) -> None:
        import pyarrow as pa  # noqa: PLC0415 - for who asks for it
        import pyarrow.parquet as pq  # noqa: PLC0415

        self._pa = pa
        self._schema = pa.schema([(name, _arrow_type(pa, kind)) for name, kind in columns])
        self._kinds = [kind for _, kind in columns]
        self._sink = _Sink()
        file = pa.PythonFile(self._sink, mode="w")
        self._writer = (
            pq.ParquetWriter(file, self._schema)
            if parquet
            else pa.ipc.new_stream(file, self._schema)
        )

    def begin(self) -> bytes:
        return self._sink.taken()

    def add(self, page: Sequence[Sequence[Any]]) -> bytes:
        arrays = [
            self._pa.array([_of_kind(row[at], kind) for row in page], self._schema.field(at).type)
            for at, kind in enumerate(self._kinds)
        ]
        self._writer.write_batch(self._pa.record_batch(arrays, schema=self._schema))
        return self._sink.taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


class _Sink(io.RawIOBase):
    """What was written since it was last taken."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._held += content
        return len(content)

    def taken(self) -> bytes:
        content = bytes(self._held)
        self._held.clear()
        return content


FORMATS: Final = {
    form.name: form
    for form in (
        Format("ndjson", "application/x-ndjson", _Ndjson),
        Format("csv", "text/csv", _Csv),
        Format(
            "parquet",
            "application/vnd.apache.parquet",
            lambda columns: _Arrow(columns, parquet=True),
        ),
        Format(
            "arrow",
            "application/vnd.apache.arrow.stream",
            lambda columns: _Arrow(columns, parquet=False),
        ),
    )
}


def _arrow_type(pa: Any, kind: str) -> Any:
    if kind.endswith("[]"):
        return pa.list_(_arrow_type(pa, kind.removesuffix("[]")))
    known = {
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "numeric": pa.float64(),
        "date": pa.date32(),
        "timestamp with time zone": pa.timestamp("us", "UTC"),
        "timestamp without time zone": pa.timestamp("us"),
    }
    return known.get(kind, pa.string())


_AS_THEY_ARE = (bool, int, float, str, date, datetime)


def _of_kind(value: Any, kind: str) -> Any:
    """Return a value that its column's Arrow type takes; what has no type of its own is text."""
    if value is None or isinstance(value, _AS_THEY_ARE):
        return value
    if kind == "numeric":
        return float(value)
    if kind.endswith("[]"):
        return [_of_kind(each, kind.removesuffix("[]")) for each in value]
    return _text(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; a number that is none there as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return float(value) if isinstance(value, Decimal) else value


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return neutral_cell(value)
    return _text(value) if isinstance(value, list | dict | datetime) else value


def _text(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
