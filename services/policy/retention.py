"""Purge: let go of what may not be kept, in batches that a killed run leaves ready to go on.

What datasets and scores need is not taken from under them silently. Frozen datasets keep their own
copies; the report counts those that hold statistics past the limit. Pictures of the datasets in use
(the newest, and those of the newest models) are held back and counted. A score stays when the bytes
of its picture go: it needs only their hash. What was learned goes by nights
(:mod:`services.policy.learned`).
"""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from db.queries.catalog import thumbnails
from db.queries.learning import embeddings as vectors
from db.queries.policy import exports, objects
from db.queries.policy import retention as rows
from db.queries.policy.retention import Limit
from db.queries.speech import clips
from services.context import Context
from services.errors import (
    BusyError,
    InfrastructureError,
    PermanentError,
    TubeGraderError,
    UsageError,
)
from services.policy import embeddings, folders, learned, limits, orphans, ownership, permission
from services.policy.deleting import hold_off_backups
from services.policy.purged import KindReport, PurgeReport, Refused, Run
from services.transactions import DEADLOCK, LOCKED

log = structlog.get_logger()

BATCH = 10_000
MOST_ENTITIES = 20_000
"""Videos or channels that one transaction looks through; of most of them nothing is due."""
PICTURES = 200
CLIPS = 20
"""So few, because each has some dozen objects, and recorders wait while they are deleted."""
PURGED = (*limits.KINDS, *learned.KINDS, "facts", embeddings.KIND, "orphans")
WITH_OBJECTS = ("thumbnails", "audio", "models", "datasets", embeddings.KIND, "orphans")
"""What goes from the object store, too."""


def purge(
    context: Context,
    *,
    dry_run: bool,
    kinds: Iterable[str] = PURGED,
    force: bool = False,
    progress: Callable[[str, int], None] = lambda _kind, _rows: None,
) -> PurgeReport:
    """Remove what is past its limit, or only count it.

    Each batch commits by itself: a run that is killed or cancelled leaves the rest to the next.
    Where something would be deleted that may be somebody else's, that kind is left and says why.

    Args:
        context: The database and the object store; its clock tells now.
        dry_run: Count and change nothing.
        kinds: Which of ``PURGED``.
        force: Also where more objects are left behind than :mod:`services.policy.orphans` admits.
        progress: Told after each batch; may raise to stop.

    Raises:
        UsageError: There is no such kind.
        TransientError: The object store failed; running it again goes on.
    """
    wanted = list(dict.fromkeys(kinds))
    for kind in wanted:
        if kind not in PURGED:
            raise UsageError(f"nothing is kept as “{kind}”", hint=f"use {', '.join(PURGED)}")
    report = PurgeReport(dry_run, [])
    for kind in wanted:
        found = KindReport(kind)
        report.kinds.append(found)
        run = Run(context, dry_run=dry_run, force=force, progress=progress)
        try:
            _purge_kind(run, kind, found)
        except BusyError as error:
            _refuse(found, error)
    report.stale_videos = refresh(context, dry_run=dry_run)
    return report


def _purge_kind(run: Run, kind: str, found: KindReport) -> None:
    context = run.context
    work: dict[str, Callable[[Run, Limit, KindReport], None]] = {
        "video-statistics": _video_statistics,
        "channel-statistics": _channel_statistics,
        "thumbnails": _thumbnails,
        "audio": _audio,
        "exports": _exports,
    }
    try:
        if kind == "orphans":
            _orphans(run, found)
            return
        if kind == embeddings.KIND:
            embeddings.purge(run, found)
            return
        if kind in WITH_OBJECTS:
            ownership.check_not_foreign(context)
    except PermanentError as error:
        _refuse(found, error)
        return
    if kind == "facts":
        _facts(run, found)
        return
    if kind in learned.KINDS:
        learned.purge(run, found)
        return
    with context.transaction() as session:
        held = limits.in_force(session, context.settings, kind, now=context.clock())
    found.kept_days, found.approvals, found.note = held.kept.days, held.approvals, held.note
    work[kind](run, held.limit, found)


def _refuse(found: KindReport, error: TubeGraderError) -> None:
    log.warning("purge.refused", kind=found.kind, reason=error.reason, problem=str(error))
    found.refused = Refused(error.reason, str(error), error.hint)


def refresh(context: Context, *, dry_run: bool) -> int:
    """Have facts that the terms want refreshed read again; return of how many videos.

    Titles and the like may be kept as long as they are read anew every 30 days: a stale video is
    asked for in full, instead of its counts only, when it is next due.
    """
    before = context.clock() - limits.DUE
    if dry_run:
        with context.transaction() as session:
            return rows.stale_videos(session, before=before)
    total = 0
    while True:
        with context.transaction() as session:
            marked = rows.mark_for_refresh(session, before=before, batch=BATCH)
        total += marked
        if marked < BATCH:
            return total


def _video_statistics(run: Run, limit: Limit, found: KindReport) -> None:
    with run.context.transaction() as session:
        whole = rows.whole_partitions(session, limit)
        old = objects.count_datasets_before(session, limit.general)
        if old:
            found.held["frozen datasets hold statistics of then"] = old
        if run.dry_run:
            found.partitions = whole
            found.rows = rows.count_video_snapshots(session, limit)
            return
    for name in whole:
        try:
            with run.context.transaction() as session:
                gone = rows.drop_partition(session, name, limit)
        except InfrastructureError as error:
            if error.reason not in (LOCKED, DEADLOCK):
                raise
            log.info("purge.partition_in_use", partition=name)
            break  # emptied in batches; the next purge finds it empty and drops it
        if gone is not None:
            found.partitions.append(name)
            run.count(found, gone)
    _in_turn(
        run,
        found,
        lambda session, after, n: rows.delete_video_snapshots(
            session, limit, after=after, videos=n
        ),
    )


def _channel_statistics(run: Run, limit: Limit, found: KindReport) -> None:
    if run.dry_run:
        with run.context.transaction() as session:
            found.rows = rows.count_channel_snapshots(session, limit)
        return
    _in_turn(
        run,
        found,
        lambda session, after, n: rows.delete_channel_snapshots(
            session, limit, after=after, channels=n
        ),
    )


def _facts(run: Run, found: KindReport) -> None:
    """Blank what the terms want refreshed and nobody can: facts of what is not shown any more."""
    with run.context.transaction() as session:
        limit = limits.of_facts(session, now=run.context.clock())
        found.kept_days = limits.DUE.days
        if limit is None:
            found.note = "an approval of the scope statistics is in force"
            return
        if run.dry_run:
            found.rows = rows.count_lasting_facts(session, limit)
            return
    _in_batches(run, limit, found, rows.blank_facts)
    with run.context.transaction() as session:
        run.count(found, rows.blank_channels(session, limit))


def forget_missed(context: Context, work: str, *, kept_as: str) -> int:
    """Forget which slots of a kind of work were missed, as long ago as counts are kept.

    Args:
        context: The database and the settings.
        work: The kind of work.
        kept_as: The kind of counts that it collects, one of ``limits.KINDS``.

    Returns:
        How many notes were deleted.
    """
    gone, deleted = 0, BATCH
    while deleted == BATCH:
        with context.transaction() as session:
            now = context.clock()
            held = limits.in_force(session, context.settings, kept_as, now=now)
            deleted = rows.delete_missed_slots(session, held.limit, kind=work, batch=BATCH)
        gone += deleted
    return gone


def _in_batches(run: Run, limit: Limit, found: KindReport, delete: Callable[..., int]) -> None:
    while True:
        with run.context.transaction() as session:
            gone = delete(session, limit, batch=BATCH)
        run.count(found, gone)
        if gone < BATCH:
            return


def _in_turn(
    run: Run, found: KindReport, delete: Callable[[Session, str, int], tuple[str | None, int]]
) -> None:
    """Delete what is due of all entities in the order of their ids, some ``BATCH`` rows at once."""
    after, entities = "", 1
    while True:
        with run.context.transaction() as session:
            last, gone = delete(session, after, entities)
        if last is None:
            return
        after = last
        if gone:
            run.count(found, gone)
        if gone < BATCH // 2:
            entities = min(2 * entities, MOST_ENTITIES)
        elif gone > 2 * BATCH:
            entities = max(entities // 2, 1)


def _thumbnails(run: Run, limit: Limit, found: KindReport) -> None:
    needed = _pictures_in_use(run.context)
    after = ""
    while True:
        with run.context.transaction() as session:
            due = objects.due_pictures(session, limit, after=after, batch=PICTURES)
            if not due:
                return
            after = due[-1]
            free = [name for name in due if name not in needed]
            found.hold("needed by a dataset in use", len(due) - len(free))
            if run.dry_run:
                found.hold("scores of it stay", objects.scored_pictures(session, free))
            else:
                # Deleted before the commit: whoever sees such a picture anew waits for that, and
                # stores the bytes once more.
                thumbnails.hold(session)
                hold_off_backups(session)
                free = objects.purge_pictures(session, limit, free, now=run.context.clock())
                found.hold("scores of it stay", objects.scored_pictures(session, free))
                vectors.forget(session, free)
                run.context.store.delete_many(free)
        run.count(found, len(free))


def _audio(run: Run, limit: Limit, found: KindReport) -> None:
    """Remove clips past the limit, and at once those whose approval ended or was revoked."""
    after = 0
    while True:
        with run.context.transaction() as session:
            now = run.context.clock()
            standing = permission.standing(session, run.context.settings, now=now)
            due = clips.due_clips(session, limit, standing, after=after, batch=CLIPS)
            if not due:
                return
            after = due[-1]
            listed = clips.clips_in_datasets(session, due)
            free = [clip_id for clip_id in due if clip_id not in listed]
            found.hold("needed by a dataset in use", len(listed))
            found.hold("scores of it stay", clips.count_scored(session, free))
            gone = len(free)
            if not run.dry_run:
                hold_off_backups(session)
                gone, objects = clips.purge_clips(session, limit, standing, free, now=now)
                # Before the commit: whoever records such a clip anew waits for it, and stores
                # the bytes once more.
                run.context.store.delete_many(objects)
        run.count(found, gone)


def _pictures_in_use(context: Context) -> set[str]:
    """Return the hashes of the pictures in the datasets in use: scoring them reads the store."""
    import pyarrow.parquet as pq  # noqa: PLC0415  (only where there are datasets)

    with context.transaction() as session:
        used = objects.datasets_in_use(session)
    needed: set[str] = set()
    for _dataset_id, files in used:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "manifest.parquet"
            context.store.get_file(files["manifest.parquet"], path)
            needed.update(pq.read_table(path, columns=["thumbnail_sha256"])[0].to_pylist())
    return needed


def _orphans(run: Run, found: KindReport) -> None:
    swept = orphans.sweep(
        run.context,
        dry_run=run.dry_run,
        force=run.force,
        progress=lambda more: run.count(found, more),
    )
    found.rows = swept.orphans
    if swept.deleted:
        found.note = f"{swept.deleted:,} {'would be' if run.dry_run else 'were'} deleted for good"


def _exports(run: Run, limit: Limit, found: KindReport) -> None:
    with run.context.transaction() as session:
        due = exports.due_exports(session, before=limit.general)
    for export in due:
        reason = folders.why_kept(export)
        if reason is not None:
            found.hold(reason, 1)
            continue
        if not run.dry_run:
            folder = Path(export.directory)
            try:
                folders.remove(folder)
                with run.context.transaction() as session:
                    exports.end_export(session, export.export_id, now=run.context.clock())
                folders.forget(folder)
            except OSError as error:
                log.warning("export.not_removed", folder=str(folder), problem=str(error))
                found.hold("cannot be removed", 1)
                continue
        run.count(found, 1)
