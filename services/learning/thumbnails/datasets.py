"""Datasets: what was known of each video before its views, frozen with its pictures."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import structlog

from db.models import Dataset as DatasetRow
from db.queries.learning import datasets
from ml.thumbnails.data.dataset import (
    DESCRIPTION,
    MANIFEST,
    Dataset,
    DatasetDescription,
    check_version,
    read_dataset,
    write_dataset,
)
from ml.thumbnails.data.leakage import Finding, require_clean
from ml.thumbnails.data.schema import MANIFEST_SCHEMA, SCHEMA_VERSION
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import get_folder, put_folder, workspace
from services.learning.errors import translate_errors
from services.learning.sampling import SAMPLED_OUT
from services.learning.thumbnails.selection import Request, Selected, select
from services.storage import ObjectStore

log = structlog.get_logger()

FRESH = timedelta(hours=20)
"""A dataset of the same videos and pictures that is not older is used again: their counts have
hardly moved. Shorter than a day, so that nightly retraining always freezes anew."""
READ_AHEAD = 512
PAGE = 5_000


@dataclass(frozen=True)
class FrozenDataset:
    """A dataset in the store; ``is_new`` tells whether it was frozen just now."""

    dataset_id: str
    files: dict[str, str]
    excluded: dict[str, int]
    is_new: bool


def freeze(context: Context, request: Request | None = None) -> FrozenDataset:
    """Freeze a dataset of everything known now, or return the fresh one that has the same videos.

    Args:
        context: What to work with.
        request: Which dataset; by default labels as they are to be had, at 100 views a day.

    Raises:
        PermanentError: No video can be used (the message counts why), or the dataset leaks.
    """
    request = request or Request()
    now = context.clock()
    selected = select(context, request, now)
    videos_sha256 = _videos_sha256(selected)
    with context.transaction() as session:
        newest = datasets.newest(session)
    if (
        not request.force
        and newest is not None
        and newest.videos_sha256 == videos_sha256
        and newest.threshold == request.threshold
        and now - newest.as_of < FRESH
    ):
        return _frozen(newest, is_new=False)
    hashes = sorted(set(selected.rows["thumbnail_sha256"].drop_null().to_pylist()))
    with workspace(context, "dataset") as folder:
        written = write_dataset(
            selected.rows,
            _ReadAhead(context.store, hashes),
            folder,
            as_of=now,
            threshold=request.threshold,
            params={
                "excluded": selected.excluded,
                "label": selected.kind.name,
                "label_asked": request.label,
                "pictures": request.pictures,
                **_sampled(context, selected),
            },
        )
        _tell(require_clean(read_dataset(folder)))
        with context.transaction() as session:
            existing = datasets.renew(session, written.description.id, now=now)
        if existing is not None:
            _put_right(context.store, existing, written.description, folder)
            return _frozen(existing, is_new=False)
        files = put_folder(context.store, folder)
    _record(context, written.description, files, selected.excluded, videos_sha256)
    return FrozenDataset(written.description.id, files, selected.excluded, is_new=True)


def known(context: Context, dataset_id: str, *, is_new: bool) -> FrozenDataset:
    """Return a dataset that was frozen before.

    Raises:
        PermanentError: It is not known.
    """
    return _frozen(_row_of(context, dataset_id), is_new=is_new)


def fetch(context: Context, dataset_id: str, folder: Path) -> Dataset:
    """Bring a dataset from the store into a folder and read it, verified.

    Raises:
        PermanentError: It is not known, or its files are missing or damaged.
    """
    row = _row_of(context, dataset_id)
    if row.pictures_purged_at is not None:
        raise PermanentError(
            f"the pictures of dataset {dataset_id[:12]} were removed on "
            f"{row.pictures_purged_at:%Y-%m-%d}: its models are kept, but not in use",
            reason="datasetPicturesPurged",
            hint="`tubegrader models train --force` freezes a new one",
        )
    try:
        get_folder(context.store, row.files, folder)
    except PermanentError as error:
        raise PermanentError(
            f"dataset {dataset_id[:12]} cannot be read: {error}",
            reason=error.reason,
            hint="`tubegrader models train --force` freezes it anew and puts what is damaged right",
        ) from error
    with translate_errors(folder):
        return read_dataset(folder)


def _row_of(context: Context, dataset_id: str) -> DatasetRow:
    with context.transaction() as session:
        row = datasets.get(session, dataset_id)
    if row is None:
        raise PermanentError(f"there is no dataset {dataset_id}", reason="datasetUnknown")
    return row


def fetch_without_pictures(context: Context, dataset_id: str, folder: Path) -> Dataset:
    """As :func:`fetch`, but its pictures, which may be gigabytes, stay in the store."""
    return fetch_rows(context, _row_of(context, dataset_id), folder)


def fetch_rows(context: Context, row: DatasetRow, folder: Path) -> Dataset:
    """Read a dataset's rows; its pictures, which may be gigabytes, stay in the store.

    The store verifies each file against its hash, so nothing is left to check here.

    Raises:
        PermanentError: Its files are missing or damaged, or of another schema version.
    """
    wanted = {name: row.files[name] for name in (MANIFEST, DESCRIPTION)}
    get_folder(context.store, wanted, folder)
    description = DatasetDescription.from_json((folder / DESCRIPTION).read_text())
    with translate_errors(folder):
        check_version(description)
    return Dataset(description, pq.read_table(folder / MANIFEST, schema=MANIFEST_SCHEMA), folder)


def _put_right(
    store: ObjectStore, existing: DatasetRow, written: DatasetDescription, folder: Path
) -> None:
    """Put back what is missing from the store of a dataset, or damaged there.

    Args:
        store: Where its files should be.
        existing: The dataset.
        written: The same content, frozen again just now.
        folder: Its files.
    """
    params = {**written.params, "excluded": existing.excluded}
    described = replace(written, as_of=existing.as_of, params=params)
    (folder / DESCRIPTION).write_text(described.to_json())
    for name, sha256 in existing.files.items():
        try:
            store.get_file(sha256, folder / "stored")
        except PermanentError as error:
            log.warning("dataset.damaged", dataset=existing.dataset_id, file=name, why=error.reason)
            store.delete_many([sha256])
            store.put_file(folder / name)


def _sampled(context: Context, selected: Selected) -> dict[str, int]:
    """Return for the reader how many videos there were to be at most, if more could be used."""
    if SAMPLED_OUT not in selected.excluded:
        return {}
    return {"most_videos": context.settings.training_videos}


def _videos_sha256(selected: Selected) -> str:
    digest = hashlib.sha256(f"{SCHEMA_VERSION} {selected.kind.name}\n".encode())
    for batch in selected.rows.select(["video_id", "thumbnail_sha256"]).to_batches(PAGE):
        columns = (column.to_pylist() for column in batch.columns)
        digest.update("".join(f"{v} {t}\n" for v, t in zip(*columns, strict=True)).encode())
    return digest.hexdigest()


def _tell(notes: Sequence[Finding]) -> None:
    for note in notes:
        log.info("dataset.note", reason=note.reason, message=note.message, rows=note.rows)


class _ReadAhead:
    """Hands out objects in order of their hashes, fetched many at a time."""

    def __init__(self, store: ObjectStore, names: Sequence[str]) -> None:
        self._store = store
        self._names = names
        self._position = {name: i for i, name in enumerate(names)}
        self._held: dict[str, bytes] = {}

    def __call__(self, sha256: str) -> bytes:
        if sha256 not in self._held:
            start = self._position[sha256]
            ahead = self._names[start : start + READ_AHEAD]
            self._held = dict(zip(ahead, self._store.get_many(ahead), strict=True))
        return self._held[sha256]


def _record(
    context: Context,
    description: DatasetDescription,
    files: dict[str, str],
    excluded: dict[str, int],
    videos_sha256: str,
) -> None:
    now: datetime = context.clock()
    with context.transaction() as session:
        datasets.add(
            session,
            {
                "dataset_id": description.id,
                "as_of": description.as_of,
                "created_at": now,
                "n_videos": description.n_videos,
                "n_channels": description.n_channels,
                "threshold": description.threshold,
                "base_rate": description.base_rate,
                "videos_sha256": videos_sha256,
                "excluded": excluded,
                "files": files,
            },
        )


def _frozen(row: DatasetRow, *, is_new: bool) -> FrozenDataset:
    return FrozenDataset(row.dataset_id, dict(row.files), dict(row.excluded), is_new=is_new)
