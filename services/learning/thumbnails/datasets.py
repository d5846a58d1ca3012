"""Datasets: what was known of each video before its views, frozen with its pictures."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog

from db.models import Dataset as DatasetRow
from db.queries.learning import asof, datasets
from ml.thumbnails.data.dataset import (
    DEFAULT_THRESHOLD,
    DESCRIPTION,
    MANIFEST,
    Dataset,
    DatasetDescription,
    check_version,
    read_dataset,
    write_dataset,
)
from ml.thumbnails.data.leakage import Finding, require_clean
from ml.thumbnails.data.schema import MANIFEST_SCHEMA, ROW_SCHEMA, SCHEMA_VERSION
from services.context import Context
from services.errors import PermanentError, UsageError
from services.learning.artifacts import get_folder, put_folder, workspace
from services.learning.errors import translate_errors
from services.learning.thumbnails.labels import AUTOMATIC, LABELS, LabelKind, label
from services.storage import ObjectStore

log = structlog.get_logger()

AUTO: Final = "auto"
ENOUGH_VIDEOS = 1_000
ENOUGH_SHARE = 0.5
"""``auto`` takes the first kind of label that so many videos have, or this share of all that can
be used; else the lifetime average. One dataset has labels of one kind: which kind a video could
have goes with its age, so a mixture would let age tell the labels apart."""
FRESH = timedelta(hours=20)
"""A dataset of the same videos and pictures that is not older is used again: their counts have
hardly moved. Shorter than a day, so that nightly retraining always freezes anew."""
READ_AHEAD = 512
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Request:
    """Which dataset is asked for.

    Attributes:
        threshold: Views per day that split over from under.
        label: ``day7``, ``day30``, ``week``, ``lifetime``, or ``auto``: the first of day7, week
            and lifetime that enough videos have.
        pictures: Whether videos without a picture are left out. False is for models that look at
            none: the dataset then has no pictures at all.
        force: Freeze anew even if nothing was added.
    """

    threshold: float = DEFAULT_THRESHOLD
    label: str = AUTO
    pictures: bool = True
    force: bool = False

    def __post_init__(self) -> None:
        """Refuse an unknown label."""
        if self.label not in (AUTO, *LABELS):
            raise UsageError(
                f"there is no label {self.label!r}", hint=f"one of {AUTO}, {', '.join(LABELS)}"
            )


@dataclass(frozen=True)
class FrozenDataset:
    """A dataset in the store; ``is_new`` tells whether it was frozen just now."""

    dataset_id: str
    files: dict[str, str]
    excluded: dict[str, int]
    is_new: bool


@dataclass(frozen=True)
class Selected:
    """The rows that have a label of one kind, and how many videos have not, by reason."""

    rows: pa.Table
    excluded: dict[str, int]
    kind: LabelKind


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
    selected = _select(context, request, now)
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
            },
        )
        _tell(require_clean(read_dataset(folder)))
        with context.transaction() as session:
            existing = datasets.get(session, written.description.id)
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
    try:
        get_folder(context.store, row.files, folder)
    except PermanentError as error:
        raise PermanentError(
            f"dataset {dataset_id[:12]} cannot be read: {error}",
            reason=error.reason,
            hint="`tubegrader train --force` freezes it anew and puts what is damaged right",
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


def _select(context: Context, request: Request, now: datetime) -> Selected:
    """Choose the kind of label and the rows that have it."""
    names = AUTOMATIC if request.label == AUTO else (request.label,)
    for name in names:
        selected = select_labelled(context, LABELS[name], request, now)
        unlabelled = sum(selected.excluded.get(r, 0) for r in _OF_THE_LABEL)
        enough = min(ENOUGH_VIDEOS, ENOUGH_SHARE * (selected.rows.num_rows + unlabelled))
        if selected.rows.num_rows and (name == names[-1] or selected.rows.num_rows >= enough):
            return selected
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(selected.excluded.items()))
    raise PermanentError(
        f"no video can be learned from ({reasons or 'none is known'})",
        reason="noData",
        hint="crawl some channels first: `tubegrader crawl @handle`"
        if request.label in (AUTO, "lifetime")
        else "collect for longer, or ask for another label: `--label auto`",
    )


_OF_THE_LABEL: Final = ("noCountAtAge", "noCountBefore", "seenTooLate", "metricBreak", "tooYoung")
"""The reasons that another kind of label might not have."""


def select_labelled(context: Context, kind: LabelKind, request: Request, now: datetime) -> Selected:
    """Return the videos that have a label of one kind, as of ``now``."""
    excluded: Counter[str] = Counter()
    batches: list[pa.RecordBatch] = []
    with context.transaction() as session:
        for page in asof.rows(session, as_of=now, span=kind.span, days=kind.days):
            rows = []
            for video in page:
                row = _why_not(video, request) or _row(kind, video, request)
                if isinstance(row, str):
                    excluded[row] += 1
                else:
                    rows.append(row)
            batches.append(pa.RecordBatch.from_pylist(rows, schema=ROW_SCHEMA))
    table = pa.Table.from_batches(batches, schema=ROW_SCHEMA)
    return Selected(*_one_size(table, excluded), kind)


def _why_not(video: Mapping[str, Any], request: Request) -> str | None:
    if video["is_gone"]:
        return "gone"
    if video["live_broadcast_content"] != "none":
        return "liveOrUpcoming"
    if request.pictures and video["thumbnail_sha256"] is None:
        return "noThumbnail"
    return None


def _row(kind: LabelKind, video: Mapping[str, Any], request: Request) -> dict[str, Any] | str:
    found = label(kind, video)
    if isinstance(found, str):
        return found
    began, predicted = video["began_at"], video["predicted_at"]
    subscribers_at, title = video["subscribers_at"], video["title"]
    picture = request.pictures
    return {
        "video_id": video["video_id"],
        "channel_id": video["channel_id"],
        "title": title,
        "published_at": began,
        "predicted_at": predicted,
        "thumbnail_sha256": video["thumbnail_sha256"] if picture else None,
        "thumbnail_variant": video["variant"] if picture else None,
        "thumbnail_width": video["width"] if picture else None,
        "thumbnail_height": video["height"] if picture else None,
        "perceptual_hash": video["perceptual_hash"] if picture else None,
        "thumbnail_known_at": video["first_seen_at"] if picture else None,
        "subscriber_count": video["subscriber_count"],
        "subscriber_count_high": video["subscriber_count_high"],
        "subscribers_known_at": subscribers_at,
        "subscribers_after": subscribers_at is not None and subscribers_at > predicted,
        "channel_age_days": _days(video["channel_published_at"], predicted),
        "n_earlier_videos": video["n_earlier"],
        "earlier_log_views_per_day": video["earlier_log_views_per_day"],
        "history_known_at": video["history_at"],
        "days_since_last_upload": _days(video["last_upload_at"], began),
        "format": video["format"],
        "duration_s": video["duration_s"],
        "category_id": video["category_id"],
        "published_hour": began.hour,
        "published_weekday": began.weekday(),
        "title_length": None if title is None else len(title),
        "label_kind": kind.name,
        **found.as_row(),
    }


def _days(start: datetime | None, end: datetime) -> float | None:
    return None if start is None else max((end - start) / _DAY, 0.0)


def _one_size(rows: pa.Table, excluded: Counter[str]) -> tuple[pa.Table, dict[str, int]]:
    """Leave out pictures of another size than most: the size goes with a video's age and format."""
    sizes = Counter(
        zip(rows["thumbnail_width"].to_pylist(), rows["thumbnail_height"].to_pylist(), strict=True)
    )
    sizes.pop((None, None), None)
    if len(sizes) > 1:
        (width, height), _ = sizes.most_common(1)[0]
        same = pc.and_(
            pc.equal(rows["thumbnail_width"], width), pc.equal(rows["thumbnail_height"], height)
        )
        kept = rows.filter(same)
        excluded["otherThumbnailSize"] += rows.num_rows - kept.num_rows
        rows = kept
    return rows, dict(excluded)


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


def _videos_sha256(selected: Selected) -> str:
    columns = (selected.rows[name].to_pylist() for name in ("video_id", "thumbnail_sha256"))
    digest = hashlib.sha256(f"{SCHEMA_VERSION} {selected.kind.name}\n".encode())
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
