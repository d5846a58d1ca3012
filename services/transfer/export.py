"""Export: tables as Parquet or CSV with their pictures, in a folder that appears when complete."""

import csv
import json
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import BigInteger, Boolean, Column, DateTime

from db.queries import transfer
from db.queries.policy import exports
from ml.runtime.files import file_sha256
from services.context import Context
from services.errors import PermanentError, UsageError
from services.formatting import CsvLines
from services.policy import folders
from services.transfer.tables import (
    BY_NAME,
    FORMAT_NAME,
    FORMAT_VERSION,
    FORMATS,
    MANIFEST,
    NEUTRAL_VERSION,
    PARTS,
    WITH,
    Part,
    picture_path,
    to_cell,
)

ROWS = 10_000
"""Rows held in memory at a time."""
FETCHED = 64
EXPORTED = tuple(part.name for part in PARTS if part.name != "pictures")

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Exported:
    """A folder that was written."""

    directory: str
    manifest_sha256: str
    rows: dict[str, int]
    pictures: int
    missing_pictures: int
    """Rows of pictures whose bytes were purged or are not in the store."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


def export(
    context: Context,
    directory: Path,
    *,
    file_format: str = "parquet",
    what: Sequence[str] = (),
    since: datetime | None = None,
    raw: bool = False,
    progress: Progress = lambda _name, _rows: None,
) -> Exported:
    """Write tables into a new folder, all as of one moment; the same data, the same bytes.

    Memory is bounded, whatever the tables hold. The folder appears under its name once it is
    complete, with ``manifest.json`` telling rows and SHA-256 of every file. It is noted, so that
    a purge removes it when what is in it may not be kept any longer.

    Args:
        context: The database and the object store.
        directory: Does not exist yet, or is empty.
        file_format: ``parquet`` or ``csv``.
        what: Which of ``EXPORTED``; empty for all.
        since: Snapshots read from this moment on only; the other parts are whole.
        raw: Leave texts in CSV as they are; otherwise those that a spreadsheet would take for
            formulas get an apostrophe in front, which an import takes off.
        progress: Told the part and how many of its rows are written.

    Raises:
        UsageError: The folder is taken or cannot be written, or an option is wrong.
        TransientError: The object store failed.
    """
    parts = _chosen(file_format, what)
    form = _Form(file_format, is_neutral=file_format == "csv" and not raw)
    directory = directory.absolute()
    try:
        os.fspath(directory).encode()  # it is noted in the database
    except UnicodeEncodeError as error:
        raise UsageError(
            f"cannot write {os.fspath(directory)!a}: the name is no text in UTF-8"
        ) from error
    try:
        taken = directory.exists() and any(directory.iterdir())
        if not taken:
            directory.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(
                tempfile.mkdtemp(
                    prefix=f".{directory.name}.", suffix=".partial", dir=directory.parent
                )
            )
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror}") from error
    if taken:
        raise UsageError(f"{directory} is not empty", hint="name a folder that does not exist")
    try:
        return _write(context, parts, partial, directory, form, since, progress)
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@dataclass(frozen=True)
class _Form:
    """How the tables are written."""

    name: str
    is_neutral: bool


def _chosen(file_format: str, what: Sequence[str]) -> list[Part]:
    if file_format not in FORMATS:
        raise UsageError(f"“{file_format}” is no format", hint=f"use {' or '.join(FORMATS)}")
    for name in what:
        if name not in EXPORTED:
            raise UsageError(f"nothing is called “{name}”", hint=f"use {', '.join(EXPORTED)}")
    names = {*(what or EXPORTED)}
    names |= {other for name in names for other in WITH.get(name, ())}
    return [part for part in PARTS if part.name in names]


def _write(
    context: Context,
    parts: Sequence[Part],
    partial: Path,
    directory: Path,
    form: _Form,
    since: datetime | None,
    progress: Progress,
) -> Exported:
    now = context.clock()
    files: dict[str, dict[str, Any]] = {}
    rows: dict[str, int] = {}
    with context.transaction() as session:
        transfer.freeze(session)
        for part in parts:
            path = partial / f"{part.name}.{form.name}"
            found = transfer.stream(
                session, part.columns, part.key, since_column=part.since, since=since, batch=ROWS
            )
            rows[part.name] = _write_part(path, part, found, form, progress)
            files[path.name] = {"rows": rows[part.name], **_described(path)}
        read_at = [
            transfer.oldest(session, part.table.c[part.since], since=since)
            for part in parts
            if part.since is not None
        ]
    pictures = missing = 0
    if BY_NAME["pictures"] in parts:
        pictures, missing = _write_pictures(context, partial, files, form.name, progress)
    manifest = partial / MANIFEST
    manifest.write_text(
        json.dumps(
            {
                "format": FORMAT_NAME,
                "version": NEUTRAL_VERSION if form.is_neutral else FORMAT_VERSION,
                "exported_at": to_cell(now),
                "since": to_cell(since),
                "files": dict(sorted(files.items())),
            },
            indent=1,
        ),
        "utf-8",
    )
    sha256 = _described(manifest)["sha256"]
    place = folders.mark_place(directory)
    with context.transaction() as session:
        exports.record_export(
            session,
            {
                "export_id": uuid.uuid4(),
                "directory": os.fspath(directory),
                "host": socket.gethostname(),
                "place_id": place,
                "manifest_sha256": sha256,
                "created_at": now,
                "oldest_at": min((at for at in read_at if at is not None), default=now),
            },
        )
    # After the note: one of a folder that is not there harms nobody, the reverse would.
    partial.chmod(0o755)
    partial.replace(directory)
    return Exported(os.fspath(directory), sha256, rows, pictures, missing)


def _write_part(
    path: Path,
    part: Part,
    batches: Iterator[Sequence[Sequence[Any]]],
    form: _Form,
    progress: Progress,
) -> int:
    written = 0
    csv_file = form.name == "csv"
    writer: _Writer = _Csv(path, part, form) if csv_file else _Parquet(path, part)
    with writer:
        for batch in batches:
            writer.write(batch)
            written += len(batch)
            progress(part.name, written)
    return written


class _Writer(Protocol):
    def __enter__(self) -> Any: ...
    def __exit__(self, *_error: object) -> None: ...
    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append rows."""


class _Csv:
    def __init__(self, path: Path, part: Part, form: _Form) -> None:
        self._neutral = form.is_neutral
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(CsvLines(self._file))
        self._csv.writerow(part.column_names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        self._csv.writerows(
            [to_cell(value, neutral=self._neutral) for value in row] for row in rows
        )


class _Parquet:
    def __init__(self, path: Path, part: Part) -> None:
        self._schema = pa.schema([pa.field(c.name, _arrow_type(c)) for c in part.columns])
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._writer.close()

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        columns = list(zip(*rows, strict=True))
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))


def _arrow_type(column: Column[Any]) -> Any:
    if isinstance(column.type, DateTime):
        return pa.timestamp("us", tz="UTC")
    if isinstance(column.type, Boolean):
        return pa.bool_()
    return pa.int64() if isinstance(column.type, BigInteger) else pa.string()


def _write_pictures(
    context: Context,
    partial: Path,
    files: dict[str, dict[str, Any]],
    file_format: str,
    progress: Progress,
) -> tuple[int, int]:
    """Write the pictures that the table just written names; return how many, and how many lack."""
    written = missing = 0
    with (partial / f"pictures.{file_format}").open("rb") as table:
        for sha256, kind, purged in _pictures(table, file_format):
            if purged:
                missing += 1
                continue
            name = picture_path(sha256, kind)
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                context.store.get_file(sha256, path)
            except PermanentError:
                missing += 1
                continue
            path.chmod(0o644)
            files[name] = {"bytes": path.stat().st_size, "sha256": sha256}
            written += 1
            if written % FETCHED == 0:
                progress("pictures", written)
    return written, missing


def _pictures(table: IO[bytes], file_format: str) -> Iterator[tuple[str, str, bool]]:
    if file_format == "csv":
        lines = (line.decode() for line in table)
        for row in csv.DictReader(lines):
            yield row["thumbnail_sha256"], row["format"], bool(row["purged_at"])
        return
    columns = ["thumbnail_sha256", "format", "purged_at"]
    for batch in pq.ParquetFile(table).iter_batches(ROWS, columns=columns):
        for row in batch.to_pylist():
            yield row["thumbnail_sha256"], row["format"], row["purged_at"] is not None


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
