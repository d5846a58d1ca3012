"""Our own exports, read back: verified against their manifest before anything else."""

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import BigInteger, Boolean, Column, DateTime

from ml.runtime.files import file_sha256
from services.errors import UsageError
from services.storage import ObjectStore
from services.transfer import checks
from services.transfer.recorded import read_csv
from services.transfer.spool import RejectedRowError, RejectedRows, Spool
from services.transfer.tables import (
    FORMAT_NAME,
    FORMAT_VERSION,
    FORMATS,
    MANIFEST,
    NEUTRAL_VERSION,
    PARTS,
    Part,
    from_cell,
    picture_path,
)

PAGE = 5_000
"""Rows that are read at a time."""


def is_export(directory: Path) -> bool:
    """Tell whether a folder says that it is an export of ours."""
    return (directory / MANIFEST).is_file()


def read_export(
    directory: Path,
    store: ObjectStore,
    spool: Spool,
    rejected: RejectedRows,
    progress: Callable[[str, int], None],
) -> dict[str, int]:
    """Spool the rows of an export; return the rows of each file.

    Raises:
        UsageError: The folder is no export of a version that is known, or not as it was written.
        TransientError: The object store failed.
    """
    files, neutral = _verified(directory)
    rows: dict[str, int] = {}
    for part in PARTS:
        names = [f"{part.name}.{kind}" for kind in FORMATS if f"{part.name}.{kind}" in files]
        for name in names:
            rows[name] = 0
            for line, values in _rows(directory / name, part, rejected, neutral=neutral):
                rows[name] += 1
                try:
                    _check(values)
                    if part.name == "pictures" and values["purged_at"] is None:
                        _store(directory, store, values)
                    spool.add(part.table.name, values, file=name, line=line)
                except RejectedRowError as error:
                    rejected.add(name, line, error.reason, str(error))
                if rows[name] % 1_000 == 0:
                    progress(name, rows[name])
            progress(name, rows[name])
    return rows


def _verified(directory: Path) -> tuple[dict[str, Any], bool]:
    """Return the files of the manifest, each looked at: inside the folder and as written.

    And whether their cells were neutralised.
    """
    wrong = f"{directory / MANIFEST} is no manifest of an export"
    try:
        manifest = json.loads((directory / MANIFEST).read_text("utf-8"))
        version = manifest["version"]
        known = manifest["format"] == FORMAT_NAME and version in (FORMAT_VERSION, NEUTRAL_VERSION)
        files: dict[str, Any] = manifest["files"]
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(wrong) from error
    if not known:
        raise UsageError(wrong, hint=f"this release reads versions up to {NEUTRAL_VERSION}")
    for name, (size, sha256) in expected.items():
        try:
            path = checks.picture_file(directory, name)
        except RejectedRowError as error:
            raise UsageError(f"{directory / MANIFEST}: {error}") from error
        if (path.stat().st_size, file_sha256(path)) != (size, sha256):
            raise UsageError(
                f"{path} is not what the manifest says", hint="export it or copy it again"
            )
    return files, version == NEUTRAL_VERSION


def _rows(
    path: Path, part: Part, rejected: RejectedRows, *, neutral: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix == ".csv":
        for line, row in read_csv(path, tuple(part.column_names), rejected, strip=False):
            try:
                values = {c.name: from_cell(row[c.name], c, neutral=neutral) for c in part.columns}
                yield line, values
            except (ValueError, KeyError):
                rejected.add(path.name, line, "badValue", "a cell is not of its column's type")
        return
    try:
        file = pq.ParquetFile(path)
        lacking = set(part.column_names) - set(file.schema_arrow.names)
        if lacking:
            raise UsageError(f"{path} lacks the column {min(lacking)}")
        line = 0
        for batch in file.iter_batches(PAGE, columns=part.column_names):
            for row in batch.to_pylist():
                line += 1
                yield line, {c.name: _typed(row[c.name], c) for c in part.columns}
    except (pa.ArrowException, TypeError) as error:
        raise UsageError(f"{path} is not as an export writes it: {error}") from error


def _typed(value: Any, column: Column[Any]) -> Any:
    kinds: dict[type, type] = {DateTime: datetime, Boolean: bool, BigInteger: int}
    kind = next((k for sql, k in kinds.items() if isinstance(column.type, sql)), str)
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{column.name} holds {type(value).__name__}")
    return value


def _check(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if name == "channel_id":
            checks.channel_id(value or "")
        elif name == "video_id":
            checks.video_id(value or "")
        elif isinstance(value, str):
            checks.words(value)
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise RejectedRowError("badCount", f"{name} is more than the database can hold")


def _store(directory: Path, store: ObjectStore, values: dict[str, Any]) -> None:
    """Put a picture into the store if it is what its row says."""
    sha256 = values["thumbnail_sha256"]
    name = picture_path(str(sha256), str(values["format"]))
    content, facts = checks.picture(checks.picture_file(directory, name))
    if hashlib.sha256(content).hexdigest() != sha256 or facts.format != values["format"]:
        raise RejectedRowError("pictureAltered", f"{name} is not the picture of its row")
    store.put(content)
