"""The frozen dataset's files: a Parquet manifest, tar shards of thumbnails, and a description.

``manifest.parquet`` has one row a video, ``thumbnails-00000.tar`` (and so on) hold each distinct
image once as ``<sha256>.jpg``, and ``dataset.json`` says what they should be. The same rows always
give the same dataset id and the same bytes.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.arrays import BoolArray, FloatArray
from ml.errors import LearningError

SCHEMA_VERSION = 1
MANIFEST = "manifest.parquet"
DESCRIPTION = "dataset.json"
SHARD_BYTES = 256 * 1024 * 1024
DEFAULT_THRESHOLD = 100.0
"""Views per day above which a video counts as over."""

_UTC = pa.timestamp("us", tz="UTC")
ROW_SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("channel_id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("published_at", _UTC, nullable=False),
        pa.field("captured_at", _UTC, nullable=False),
        pa.field("thumbnail_sha256", pa.string(), nullable=False),
        pa.field("subscriber_count", pa.int64()),  # null: hidden
        pa.field("view_count", pa.int64(), nullable=False),
        pa.field("age_days", pa.float64(), nullable=False),
        pa.field("views_per_day", pa.float64(), nullable=False),
        pa.field("label_kind", pa.string(), nullable=False),
    ]
)
"""What the caller brings, one row a video."""
MANIFEST_SCHEMA = ROW_SCHEMA.append(pa.field("is_over", pa.bool_(), nullable=False))
"""What the manifest holds: the label ``views_per_day >= threshold`` is added on writing."""


@dataclass(frozen=True)
class DatasetDescription:
    """The content of ``dataset.json``.

    Attributes:
        id: SHA-256 over schema version, threshold and rows. The moment of freezing and ``params``
            are not part of it: nothing new under another date is no new dataset.
        schema_version: Of the manifest.
        as_of: The moment the dataset looks back from, UTC.
        threshold: Views per day for ``is_over``.
        n_videos: Rows.
        n_channels: Distinct channels.
        n_thumbnails: Distinct images.
        base_rate: Share of rows over the threshold.
        files: SHA-256 of each other file by name.
        params: How the rows were chosen, for the reader.
    """

    id: str
    schema_version: int
    as_of: datetime
    threshold: float
    n_videos: int
    n_channels: int
    n_thumbnails: int
    base_rate: float
    files: Mapping[str, str]
    params: Mapping[str, Any]

    def to_json(self) -> str:
        """Return the text of ``dataset.json``."""
        content = asdict(self) | {"as_of": self.as_of.isoformat()}
        return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "DatasetDescription":
        """Read the text of ``dataset.json``."""
        content = json.loads(text)
        as_of = datetime.fromisoformat(content.pop("as_of"))
        return cls(**content, as_of=as_of)


@dataclass(frozen=True)
class DatasetFiles:
    """A dataset just written: its description and all its files, the description last."""

    description: DatasetDescription
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Dataset:
    """A dataset read and verified.

    Attributes:
        description: What it is.
        table: ``MANIFEST_SCHEMA``, sorted by video id.
        directory: Where its shards lie.
    """

    description: DatasetDescription
    table: pa.Table
    directory: Path

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def strings(self, column: str) -> list[str]:
        """Return a text column as a list."""
        return list(self.table[column].to_pylist())

    @property
    def subscriber_count(self) -> FloatArray:
        """Subscribers, shape (N,), NaN where hidden."""
        counts = self.table["subscriber_count"].cast(pa.float64())
        return np.asarray(pc.fill_null(counts, float("nan")).to_numpy(), dtype=np.float64)

    @property
    def log_views_per_day(self) -> FloatArray:
        """The regression target log10(views per day + 1), shape (N,)."""
        target: FloatArray = np.log10(self.table["views_per_day"].to_numpy() + 1)
        return target

    @property
    def is_over(self) -> BoolArray:
        """The classification target, shape (N,)."""
        return np.asarray(self.table["is_over"].to_numpy(zero_copy_only=False), dtype=np.bool_)

    def thumbnails(self) -> Iterator[tuple[str, bytes]]:
        """Read every distinct thumbnail once, in the order of the shards: (SHA-256, bytes)."""
        for shard in sorted(name for name in self.description.files if name.endswith(".tar")):
            with tarfile.open(self.directory / shard) as tar:
                for member in tar:
                    content = tar.extractfile(member)
                    assert content is not None, "shards hold plain files only"
                    yield member.name.removesuffix(".jpg"), content.read()


def write_dataset(
    rows: pa.Table,
    thumbnail: Callable[[str], bytes],
    directory: Path,
    *,
    as_of: datetime,
    threshold: float = DEFAULT_THRESHOLD,
    params: Mapping[str, Any] | None = None,
) -> DatasetFiles:
    """Freeze rows and their thumbnails.

    Args:
        rows: ``ROW_SCHEMA``; column order and row order do not matter.
        thumbnail: Returns the image with a given SHA-256.
        directory: Created if needed; should be empty.
        as_of: The moment the rows look back from, aware.
        threshold: Views per day for the label.
        params: How the rows were chosen; JSON values.

    Raises:
        LearningError: Wrong columns, no rows, a video twice, values that cannot be, or an image
            whose bytes do not have its hash.
    """
    manifest = _with_label(_checked(rows), threshold)
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(manifest, directory / MANIFEST, compression="zstd", version="2.6")
    hashes = sorted(set(manifest["thumbnail_sha256"].to_pylist()))
    names = [MANIFEST, *_write_shards(hashes, thumbnail, directory)]
    description = DatasetDescription(
        id=_content_id(manifest, threshold),
        schema_version=SCHEMA_VERSION,
        as_of=as_of.astimezone(UTC),
        threshold=threshold,
        n_videos=manifest.num_rows,
        n_channels=len(set(manifest["channel_id"].to_pylist())),
        n_thumbnails=len(hashes),
        base_rate=pc.mean(manifest["is_over"]).as_py(),
        files={name: _sha256(directory / name) for name in names},
        params=dict(params or {}),
    )
    # Last, so that its presence says that the dataset is whole.
    (directory / DESCRIPTION).write_text(description.to_json())
    return DatasetFiles(description, tuple(directory / name for name in [*names, DESCRIPTION]))


def read_dataset(directory: Path) -> Dataset:
    """Read a dataset and verify every file of it.

    Raises:
        LearningError: A file is missing, altered or cut short, or of another schema version.
    """
    try:
        description = DatasetDescription.from_json((directory / DESCRIPTION).read_text())
        if description.schema_version != SCHEMA_VERSION:
            raise _damaged(
                directory,
                f"schema version {description.schema_version} is not {SCHEMA_VERSION}",
            )
        for name, expected in description.files.items():
            if _sha256(directory / name) != expected:
                raise _damaged(directory, f"{name} was altered or cut short")
        table = pq.read_table(directory / MANIFEST, schema=MANIFEST_SCHEMA)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise _damaged(directory, str(error)) from error
    if _content_id(table, description.threshold) != description.id:
        raise _damaged(directory, "its rows do not match its id")
    return Dataset(description, table, directory)


def _checked(rows: pa.Table) -> pa.Table:
    if set(rows.column_names) != set(ROW_SCHEMA.names):
        different = sorted(set(rows.column_names) ^ set(ROW_SCHEMA.names))
        raise LearningError(
            f"dataset rows need exactly the columns of ROW_SCHEMA; they differ in {different}",
            reason="bad_rows",
        )
    if rows.num_rows == 0:
        raise LearningError("a dataset needs at least one row", reason="no_rows")
    try:
        rows = rows.select(ROW_SCHEMA.names).cast(ROW_SCHEMA).combine_chunks()
    except (pa.ArrowException, ValueError) as error:
        raise LearningError(f"dataset rows do not fit: {error}", reason="bad_rows") from error
    for field in ROW_SCHEMA:
        if not field.nullable and rows[field.name].null_count:
            raise LearningError(f"column {field.name} may not hold nulls", reason="bad_rows")
    for column in ("view_count", "age_days", "views_per_day", "subscriber_count"):
        values = rows[column].cast(pa.float64()).drop_null().to_numpy()
        if not (np.isfinite(values) & (values >= 0)).all():
            raise LearningError(
                f"column {column} holds negative or infinite numbers or NaN", reason="bad_rows"
            )
    if len(set(rows["video_id"].to_pylist())) != rows.num_rows:
        raise LearningError("a video occurs in two rows", reason="bad_rows")
    return rows.sort_by("video_id")


def _with_label(rows: pa.Table, threshold: float) -> pa.Table:
    over = pc.greater_equal(rows["views_per_day"], threshold)
    return rows.append_column(MANIFEST_SCHEMA.field("is_over"), over)


def _write_shards(
    hashes: list[str], thumbnail: Callable[[str], bytes], directory: Path
) -> list[str]:
    """Write the images into shards of at most about ``SHARD_BYTES``; return the files' names."""
    names: list[str] = []
    shard: tarfile.TarFile | None = None
    written = 0
    try:
        for sha256 in hashes:
            data = thumbnail(sha256)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise LearningError(
                    f"thumbnail {sha256} does not have its hash ({len(data)} bytes)",
                    reason="thumbnail_altered",
                )
            if shard is None or written + len(data) > SHARD_BYTES:
                if shard is not None:
                    shard.close()
                names.append(f"thumbnails-{len(names):05d}.tar")
                shard = tarfile.open(directory / names[-1], "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed below
                written = 0
            # TarInfo's defaults (no owner, time 0, mode 0644) keep the bytes reproducible.
            header = tarfile.TarInfo(f"{sha256}.jpg")
            header.size = len(data)
            shard.addfile(header, io.BytesIO(data))
            written += len(data)
    finally:
        if shard is not None:
            shard.close()
    return names


def _content_id(manifest: pa.Table, threshold: float) -> str:
    """Hash the rows' values rather than the file's bytes, which change with the Parquet writer."""
    digest = hashlib.sha256(f"{SCHEMA_VERSION} {threshold!r}\n".encode())
    for batch in manifest.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            line = json.dumps(row, sort_keys=True, default=datetime.isoformat)
            digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(directory: Path, what: str) -> LearningError:
    return LearningError(
        f"the dataset in {directory} cannot be used: {what}", reason="dataset_unusable"
    )
