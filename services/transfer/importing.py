"""Import: recorded folders and our own exports, checked on disk first, written all or nothing.

Every row is checked before the first is written; what cannot be taken, or what the database refuses
all the same, is rejected with its reason and the rest goes on. Writing is one transaction, so a
fatal error leaves the tables as they were (pictures that reached the store are removed by a purge).
What is there already stays as it is: importing twice changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db.base import Base
from db.partitions import ensure_partitions_of
from db.queries import transfer
from db.queries.catalog import channels, videos
from db.queries.work import work_items
from services.context import Context
from services.errors import UsageError
from services.transactions import (
    REFUSED,
    RefusedByDatabaseError,
    refusing,
    savepoint,
    write_apart,
)
from services.transfer.own import is_export, read_export
from services.transfer.recorded import NEEDED, RecordedFolder
from services.transfer.spool import RejectedRows, Spool
from services.work import kinds

BATCH = 5_000
_HAS_PICTURES = "EXISTS (SELECT FROM video_thumbnails r WHERE r.video_id = s.video_id)"


@dataclass(frozen=True)
class _Target:
    table: str
    requires: tuple[tuple[str, str], ...] = ()
    unless: str | None = None
    extra: dict[str, str | bool] = field(default_factory=dict)


_TARGETS = (
    _Target("channels", extra={"watched": False}),
    _Target("videos", (("channel_id", "channels"),), extra={"source": "import"}),
    _Target("channel_snapshots", (("channel_id", "channels"),)),
    _Target("video_snapshots", (("video_id", "videos"),)),
    _Target("thumbnails"),
    # A video's history is taken whole or not at all: two could contradict each other.
    _Target(
        "video_thumbnails",
        (("video_id", "videos"), ("thumbnail_sha256", "thumbnails")),
        _HAS_PICTURES,
    ),
)


@dataclass
class Imported:
    """What came of an import."""

    rows: dict[str, int]
    """Rows read, by file."""
    new: dict[str, int]
    """Rows that were not there before, by table."""
    refused: dict[str, int]
    """Rows rejected, by reason."""
    refusals: list[dict[str, Any]]
    """The first of them: file, line, reason and message."""
    watched: int = 0
    """Channels that are crawled from now on."""
    all_refused: bool = False
    """There were rows, and none of them could be taken."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


def import_folder(
    context: Context,
    directory: Path,
    *,
    watch: bool = False,
    progress: Callable[[str, int], None] = lambda _name, _rows: None,
) -> Imported:
    """Take in a folder: an export of ours, or recorded CSVs with pictures.

    Channels and videos that come this way are not crawled, unless that is asked for.

    Args:
        context: The database and the object store.
        directory: Holds ``manifest.json``, or any of ``videos.csv``, ``snapshots.csv``,
            ``channel_snapshots.csv``.
        watch: Crawl the channels and videos from now on.
        progress: Told the file or table, and how many rows of it are done.

    Raises:
        UsageError: The folder or one of its files cannot be taken at all; nothing was written.
        TransientError: The object store failed; nothing was written.
    """
    rejected = RejectedRows()
    with Spool() as spool:
        if _is_export(directory):
            rows = read_export(directory, context.store, spool, rejected, progress)
        elif any((directory / name).is_file() for name in NEEDED):
            now = context.clock()
            folder = RecordedFolder(directory, context.store, spool, rejected, now)
            rows = folder.read(progress)
        else:
            raise UsageError(
                f"{directory} holds nothing that can be imported",
                hint=f"an export with manifest.json, or {', '.join(sorted(NEEDED))}",
            )
        _make_partitions(context, spool)
        with refusing(), context.transaction() as session:
            new = _write(session, spool, rejected, progress)
            watched = _watch(context, session, spool) if watch else 0
    return Imported(
        rows,
        new,
        dict(rejected.counts),
        [asdict(one) for one in rejected.listed],
        watched,
        all_refused=_all_refused(spool, rows, new, rejected),
    )


def _is_export(directory: Path) -> bool:
    try:
        return is_export(directory)
    except OSError as error:
        raise UsageError(f"{directory} cannot be read: {error.strerror}") from error


def _all_refused(
    spool: Spool, rows: dict[str, int], new: dict[str, int], rejected: RejectedRows
) -> bool:
    if not spool.columns:
        return bool(rejected.counts)
    # What refers to nothing is told only when it is written, of each table up to so many.
    refused = rejected.counts["unknownReference"] + rejected.counts[REFUSED]
    return not any(new.values()) and refused >= min(sum(rows.values()), transfer.MISSING_TOLD)


def _make_partitions(context: Context, spool: Spool) -> None:
    """Make those that are needed, each in a moment of its own: it locks the whole table."""
    for day in sorted(spool.days):
        with context.transaction() as session:
            ensure_partitions_of(session.connection(), [day])


def _write(
    session: Session, spool: Spool, rejected: RejectedRows, progress: Callable[[str, int], None]
) -> dict[str, int]:
    new: dict[str, int] = {}
    for target in _TARGETS:
        if target.table not in spool.columns:
            continue
        file = spool.sources[target.table]
        table, columns = Base.metadata.tables[target.table], spool.columns[target.table]
        n_rows = transfer.stage(session, table, columns, spool.rows(target.table))
        for line, column in transfer.unresolved(session, table, target.requires):
            rejected.add(file, line, "unknownReference", f"its {column} is not known")
        new[target.table] = sum(_merge(session, target, columns, n_rows, file, rejected))
        progress(target.table, new[target.table])
    return new


def _merge(
    session: Session,
    target: _Target,
    columns: Sequence[str],
    n_rows: int,
    file: str,
    rejected: RejectedRows,
) -> list[int]:
    table = Base.metadata.tables[target.table]

    def merge(part: Session, some: Sequence[int]) -> int:
        return transfer.merge(
            part,
            table,
            columns,
            requires=target.requires,
            unless=target.unless,
            extra=target.extra,
            places=range(some[0], some[-1] + 1) if len(some) < n_rows else None,
        )

    def refused(place: int, error: RefusedByDatabaseError) -> None:
        rejected.add(file, transfer.line_of(session, table, place), error.reason, str(error))

    return write_apart(lambda: savepoint(session), range(n_rows), merge, refused)


def _watch(context: Context, session: Session, spool: Spool) -> int:
    now = context.clock()
    watched = 0
    of_channels = kinds.recurring("channel")
    if "channels" in spool.columns:
        at = spool.columns["channels"].index("channel_id")
        for batch in _batches(row[at] for row in spool.rows("channels")):
            known = channels.known(session, batch)
            watched += len(channels.add(session, known, now=now))
            for kind in of_channels:
                work_items.add_items(session, kind, [(c, c) for c in known], slot=now)
    if "videos" in spool.columns:
        ids = [spool.columns["videos"].index(c) for c in ("video_id", "channel_id")]
        for batch in _batches(tuple(row[i] for i in ids) for row in spool.rows("videos")):
            known = videos.known_ids(session, {video for video, _ in batch})
            pairs = sorted({(video, channel) for video, channel in batch if video in known})
            for kind in kinds.recurring("video"):
                work_items.add_items(session, kind, pairs, slot=now)
    return watched


def _batches(values: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(values, BATCH)):
        yield batch
