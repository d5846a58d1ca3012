"""Snapshots from parsed answers into the database, against raw COPY into the same table."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from sqlalchemy import text

from benchmarks import place
from benchmarks.measure import Measurement, interleaved, timed
from db.partitions import ensure_partitions
from db.queries.catalog import videos
from db.queries.work import work_items
from services.context import Context
from services.crawl import statistics
from services.work.kinds import WORK_KINDS
from services.work.leases import Batch
from services.youtube.facts import VideoStatistics

NOW = datetime(2026, 7, 15, tzinfo=UTC)
VIDEOS, ROUNDS = 20_000, 9
LEASE = timedelta(hours=1)
COLUMNS = "video_id, slot, captured_at, view_count, like_count, comment_count"

Answer = dict[str, VideoStatistics]


def measure(*, full: bool) -> list[Measurement]:
    """Write the counts of the same videos for slot after slot, in each way in turn."""
    del full
    with place.folder() as folder, place.empty_context(folder) as context:
        place.add_videos(context, VIDEOS, slot=NOW)
        with context.engine.begin() as connection:
            ensure_partitions(connection, start=NOW, end=NOW + timedelta(days=3))
        ids = [f"{i:011d}" for i in range(1, VIDEOS + 1)]
        size = WORK_KINDS["video.snapshot"].batch_size
        answers = [
            {v: VideoStatistics(v, 123_456, 789, 12) for v in ids[start : start + size]}
            for start in range(0, VIDEOS, size)
        ]
        slots = (NOW + timedelta(minutes=n) for n in count(1))
        whole, raw, ended = interleaved(
            [
                lambda: _append(context, answers, next(slots)),
                lambda: _copy(context, ids, next(slots)),
                lambda: _ingest(context, answers, next(slots)),
            ],
            rounds=ROUNDS,
        )
    against = f"raw COPY, {VIDEOS / raw:,.0f}/s"
    return [
        Measurement(
            f"snapshots ingested, {size} an answer",
            f"{VIDEOS / whole:,.0f}/s",
            against,
            raw / whole,
            at_least=0.5,
        ),
        Measurement(
            "the same, and the end of their leased work",
            f"{VIDEOS / ended:,.0f}/s",
            against,
            raw / ended,
        ),
    ]


def _append(context: Context, answers: Sequence[Answer], slot: datetime) -> float:
    """Write each answer's snapshots in a unit of work of its own."""

    def append() -> None:
        for answer in answers:
            with context.transaction() as session:
                rows = [
                    {
                        "video_id": s.video_id,
                        "slot": slot,
                        "captured_at": slot,
                        "view_count": s.view_count,
                        "like_count": s.like_count,
                        "comment_count": s.comment_count,
                    }
                    for s in answer.values()
                ]
                added = videos.append_snapshots(session, rows)
            assert added == len(answer)

    return timed(append)


def _ingest(context: Context, answers: Sequence[Answer], slot: datetime) -> float:
    """Do all that a worker does once YouTube has answered."""
    batches = _batches(context, slot)

    def ingest() -> None:
        for batch in batches:
            with context.transaction() as session:
                counts = {v: VideoStatistics(v, 123_456, 789, 12) for v in batch.items}
                found = statistics.Found(counts, dict.fromkeys(batch.items, slot))
                added = statistics.ingest(session, batch, found, now=slot)
            assert added == len(batch.items)

    assert len(batches) == len(answers)
    return timed(ingest)


def _batches(context: Context, slot: datetime) -> list[Batch]:
    """Make all videos due and lease them in batches."""
    due = text(
        "UPDATE work_items SET state = 'due', slot = :slot, ready_at = :slot, lease_token = NULL "
        "WHERE kind = 'video.snapshot'"
    )
    with context.engine.begin() as connection:
        connection.execute(due, {"slot": slot})
    with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM work_items"))
    claim = partial(work_items.claim, kind="video.snapshot", now=slot, lease=LEASE)
    found: list[Batch] = []
    while True:
        with context.transaction() as session:
            token = claim(session, limit=WORK_KINDS["video.snapshot"].batch_size)
            if token is None:
                return found
            token, items = work_items.begin(session, token, until=slot + LEASE)
            found.append(Batch(context, token, items))


def _copy(context: Context, ids: Sequence[str], slot: datetime) -> float:
    """Send all rows, written out beforehand, in one COPY."""
    moment = slot.isoformat()
    rows = "".join(f"{v}\t{moment}\t{moment}\t123456\t789\t12\n" for v in ids).encode()
    connection = context.engine.raw_connection()
    driver = connection.driver_connection
    assert driver is not None

    def copy() -> None:
        with driver.cursor().copy(f"COPY video_snapshots ({COLUMNS}) FROM STDIN") as sink:
            sink.write(rows)
        driver.commit()

    # Raw: without the newest and the daily counts, which ours keeps as well.
    trigger = "ALTER TABLE video_snapshots {} TRIGGER USER"
    with context.engine.begin() as other:
        other.execute(text(trigger.format("DISABLE")))
    try:
        return timed(copy)
    finally:
        connection.close()
        with context.engine.begin() as other:
            other.execute(text(trigger.format("ENABLE")))
