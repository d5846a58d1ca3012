"""The frozen dataset's files: a Parquet manifest, tar shards of thumbnails, and a description.

``manifest.parquet`` has one row a video, ``thumbnails-00000.tar`` (and so on) hold each distinct
image once as ``<sha256>.jpg``, and ``dataset.json`` says what they should be. The same rows always
give the same dataset id and the same bytes.
"""

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml.arrays import BoolArray, FloatArray
from ml.errors import LearningError
from ml.runtime.files import file_sha256
from ml.thumbnails.data.duplicates import duplicate_groups, split_groups
from ml.thumbnails.data.schema import MANIFEST_SCHEMA, SCHEMA_VERSION, checked

MANIFEST = "manifest.parquet"
DESCRIPTION = "dataset.json"
SHARD_BYTES = 256 * 1024 * 1024
DEFAULT_THRESHOLD = 100.0
"""Views per day above which a video counts as over."""


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
        n_thumbnails: Distinct images; 0 in a dataset for models that need none.
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

    def numbers(self, column: str) -> FloatArray:
        """Return a numeric column, shape (N,), NaN where it is null."""
        values = self.table[column].cast(pa.float64())
        return np.asarray(pc.fill_null(values, float("nan")).to_numpy(), dtype=np.float64)

    @property
    def subscriber_count(self) -> FloatArray:
        """Subscribers, shape (N,), NaN where hidden."""
        return self.numbers("subscriber_count")

    @property
    def n_without_history(self) -> int:
        """Rows without any count of the channel's earlier videos at the moment of prediction."""
        return int(self.table["earlier_log_views_per_day"].null_count)

    def split_group_by_channel(self) -> dict[str, str]:
        """Return what folds keep together with each channel, see :mod:`ml.evaluation.splits`."""
        return dict(zip(self.strings("channel_id"), self.strings("split_group"), strict=True))

    @property
    def log10_views_per_day(self) -> FloatArray:
        """The regression target log10(views per day + 1), shape (N,)."""
        target: FloatArray = np.log10(self.table["views_per_day"].to_numpy() + 1)
        return target

    @property
    def is_over(self) -> BoolArray:
        """The classification target, shape (N,)."""
        return np.asarray(self.table["is_over"].to_numpy(zero_copy_only=False), dtype=np.bool_)

    def thumbnails(self, wanted: AbstractSet[str] | None = None) -> Iterator[tuple[str, bytes]]:
        """Read every distinct thumbnail once, in the order of the shards: (SHA-256, bytes).

        Args:
            wanted: Only those of these hashes; None: all.
        """
        for shard in self._shards():
            with tarfile.open(shard) as tar:
                for member in _members(tar):
                    if wanted is not None and member.name.removesuffix(".jpg") not in wanted:
                        continue
                    content = tar.extractfile(member)
                    assert content is not None, "shards hold plain files only"
                    yield member.name.removesuffix(".jpg"), content.read()

    @contextmanager
    def pictures(self) -> "Iterator[Pictures]":
        """Open the shards while the block runs, to read thumbnails one by one in any order."""
        with ExitStack() as opened:
            places: dict[str, tuple[BinaryIO, int, int]] = {}
            for shard in self._shards():
                file = opened.enter_context(shard.open("rb"))
                with tarfile.open(shard) as tar:
                    for member in _members(tar):
                        name = member.name.removesuffix(".jpg")
                        places[name] = file, member.offset_data, member.size
            yield Pictures(places)

    def _shards(self) -> list[Path]:
        names = sorted(name for name in self.description.files if name.endswith(".tar"))
        return [self.directory / name for name in names]


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield an archive's members, which it keeps otherwise: a kilobyte each."""
    for member in tar:
        tar.members.clear()  # type: ignore[attr-defined]
        yield member


class Pictures:
    """Reads thumbnails of open shards by their SHA-256; memory holds only where each one lies."""

    def __init__(self, places: Mapping[str, tuple[BinaryIO, int, int]]) -> None:
        self._places = places
        self._lock = threading.Lock()

    def read(self, sha256: str) -> bytes:
        """Return a thumbnail's bytes; from any thread.

        Raises:
            KeyError: The dataset has none of that hash.
        """
        file, start, size = self._places[sha256]
        with self._lock:
            file.seek(start)
            return file.read(size)


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
        rows: ``ml.thumbnails.data.schema.ROW_SCHEMA``; column order and row order do not matter.
        thumbnail: Returns the image with a given SHA-256.
        directory: Created if needed; should be empty.
        as_of: The moment the rows look back from, aware.
        threshold: Views per day for the label.
        params: How the rows were chosen; JSON values.

    Raises:
        LearningError: Wrong columns, no rows, a video twice, values that cannot be, or an image
            whose bytes do not have its hash.
    """
    manifest = _completed(checked(rows), threshold)
    directory.mkdir(parents=True, exist_ok=True)
    pq.write_table(manifest, directory / MANIFEST, compression="zstd", version="2.6")
    hashes = sorted(set(manifest["thumbnail_sha256"].drop_null().to_pylist()))
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
        files={name: file_sha256(directory / name) for name in names},
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
        check_version(description)
        for name, expected in description.files.items():
            if file_sha256(directory / name) != expected:
                raise _damaged(directory, f"{name} was altered or cut short")
        table = pq.read_table(directory / MANIFEST, schema=MANIFEST_SCHEMA)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise _damaged(directory, str(error)) from error
    if _content_id(table, description.threshold) != description.id:
        raise _damaged(directory, "its rows do not match its id")
    return Dataset(description, table, directory)


def check_version(description: DatasetDescription) -> None:
    """Refuse a dataset of another schema.

    Raises:
        LearningError: It is of another version; says which, and what to do.
    """
    if description.schema_version != SCHEMA_VERSION:
        raise LearningError(
            f"dataset {description.id[:12]} has schema version {description.schema_version}, this"
            f" program reads {SCHEMA_VERSION}: freeze a new one"
            " (`tubegrader models train --force`)",
            reason="datasetVersion",
        )


def _completed(rows: pa.Table, threshold: float) -> pa.Table:
    """Add the columns that follow from the rows."""
    duplicates = duplicate_groups(
        rows["video_id"].to_pylist(),
        rows["thumbnail_sha256"].to_pylist(),
        rows["perceptual_hash"].to_pylist(),
    )
    added = {
        "is_over": pc.greater_equal(rows["views_per_day"], threshold),
        "duplicate_group": pa.array(duplicates),
        "split_group": pa.array(split_groups(rows["channel_id"].to_pylist(), duplicates)),
    }
    for name, values in added.items():
        rows = rows.append_column(MANIFEST_SCHEMA.field(name), values)
    return rows.cast(MANIFEST_SCHEMA)


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
                    reason="thumbnailAltered",
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
    digest = hashlib.sha256(f"{SCHEMA_VERSION} {threshold!r} {manifest.num_rows}\n".encode())
    for name in manifest.column_names:
        digest.update(f"{name}\n".encode())
        column = manifest[name]
        digest.update(column.is_null().to_numpy().tobytes())
        if pa.types.is_string(column.type):
            texts = [text.encode() for text in column.drop_null().to_pylist()]
            digest.update(np.array([len(text) for text in texts], dtype="<i8").tobytes())
            digest.update(b"".join(texts))
            continue
        if pa.types.is_timestamp(column.type) or pa.types.is_boolean(column.type):
            column = column.cast(pa.int64())
        values = column.drop_null().to_numpy()
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _damaged(directory: Path, what: str) -> LearningError:
    return LearningError(
        f"the dataset in {directory} cannot be used: {what}", reason="datasetUnusable"
    )
