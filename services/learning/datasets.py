"""Datasets: what was known at one moment, frozen with its pictures into the object store."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from db.models import Dataset as DatasetRow
from db.queries import learning, videos
from db.session import unit_of_work
from ml.datasets import ROW_SCHEMA, Dataset, DatasetDescription, read_dataset, write_dataset
from ml.errors import LearningError
from services.context import Context
from services.errors import PermanentError
from services.learning.files import get_folder, put_folder
from services.storage import ObjectStore

YOUNGEST = timedelta(days=1)
"""Younger videos have no views per day worth the name."""
FRESH = timedelta(hours=20)
"""A dataset of the same videos and pictures that is not older is used again: their counts have
hardly moved. Shorter than a day, so that nightly retraining always freezes anew."""
READ_AHEAD = 512


@dataclass(frozen=True)
class FrozenDataset:
    """A dataset in the store; ``is_new`` tells whether it was frozen just now."""

    dataset_id: str
    files: dict[str, str]
    excluded: dict[str, int]
    is_new: bool


def freeze(context: Context, *, threshold: float, force: bool = False) -> FrozenDataset:
    """Freeze a dataset of everything known now, or return the fresh one that has the same videos.

    Args:
        context: What to work with.
        threshold: Views per day that split over from under.
        force: Freeze anew even if nothing was added.

    Raises:
        PermanentError: No video can be used; the message counts why.
    """
    now = context.clock()
    with unit_of_work(context.sessions) as session:
        known = videos.learning_rows(session, as_of=now)
        newest = learning.newest_dataset(session)
    rows, excluded = _select(known)
    if not rows:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(excluded.items()))
        raise PermanentError(
            f"no video can be learned from ({reasons or 'none is known'})",
            reason="noData",
            hint="crawl some channels first: `tubegrader crawl @handle`",
        )
    videos_sha256 = _videos_sha256(rows)
    if (
        not force
        and newest is not None
        and newest.videos_sha256 == videos_sha256
        and newest.threshold == threshold
        and now - newest.as_of < FRESH
    ):
        return _frozen(newest, is_new=False)
    with tempfile.TemporaryDirectory(prefix="tubegrader-dataset-") as folder:
        table = pa.Table.from_pylist(rows, schema=ROW_SCHEMA)
        thumbnails = _ReadAhead(context.store, sorted({r["thumbnail_sha256"] for r in rows}))
        written = write_dataset(
            table,
            thumbnails,
            Path(folder),
            as_of=now,
            threshold=threshold,
            params={"excluded": excluded, "label": "lifetime average"},
        )
        with unit_of_work(context.sessions) as session:
            existing = learning.dataset(session, written.description.id)
        if existing is not None:
            return _frozen(existing, is_new=False)
        files = put_folder(context.store, Path(folder))
    _record(context, written.description, files, excluded, videos_sha256)
    return FrozenDataset(written.description.id, files, excluded, is_new=True)


def fetch(context: Context, dataset_id: str, folder: Path) -> Dataset:
    """Bring a dataset from the store into a folder and read it, verified.

    Raises:
        PermanentError: It is not known, or its files are missing or damaged.
    """
    with unit_of_work(context.sessions) as session:
        row = learning.dataset(session, dataset_id)
    if row is None:
        raise PermanentError(f"there is no dataset {dataset_id}", reason="datasetUnknown")
    try:
        return read_dataset(get_folder(context.store, row.files, folder))
    except LearningError as error:
        raise PermanentError(str(error), reason=error.reason) from error


def _select(known: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Split what is known into rows to learn from and counts of what was left out, by reason."""
    rows: list[dict[str, Any]] = []
    excluded: Counter[str] = Counter()
    for video in known:
        reason = _why_not(video)
        if reason is not None:
            excluded[reason] += 1
            continue
        age = video["captured_at"] - video["published_at"]
        age_days = age / timedelta(days=1)
        rows.append(
            {
                **{c: video[c] for c in ("video_id", "channel_id", "title", "published_at")},
                **{c: video[c] for c in ("captured_at", "thumbnail_sha256", "view_count")},
                "subscriber_count": video["subscriber_count"],
                "age_days": age_days,
                "views_per_day": video["view_count"] / age_days,
                "label_kind": "lifetime",
            }
        )
    return rows, dict(excluded)


def _why_not(video: Mapping[str, Any]) -> str | None:
    if video["state"] != "public":
        return "gone"
    if video["live_broadcast_content"] != "none":
        return "liveOrUpcoming"
    if video["view_count"] is None:
        return "noViewCount"
    if video["thumbnail_sha256"] is None:
        return "noThumbnail"
    if video["captured_at"] - video["published_at"] < YOUNGEST:
        return "tooYoung"
    return None


def _videos_sha256(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = sorted(f"{r['video_id']} {r['thumbnail_sha256']}\n" for r in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


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
    with unit_of_work(context.sessions) as session:
        learning.add_dataset(
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
