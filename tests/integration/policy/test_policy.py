"""Approvals, and a purge that takes exactly what is due."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from db import ddl
from db.partitions import ensure_partitions
from db.queries.catalog import thumbnails, videos
from db.queries.learning import asof
from services.context import Context
from services.emulator.drawing import draw_thumbnail
from services.errors import UsageError
from services.policy import approvals, limits, ownership, retention
from services.settings import Settings
from services.work import maintenance
from services.youtube.perceptual import perceptual_hash
from tests.support.crawl import rows, value
from tests.support.databases import owner_engine

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
CHANNELS = ["UC" + letter * 22 for letter in "ab"]
VIDEOS = ["video_a____", "video_b____"]


@pytest.fixture
def aged(context: Context) -> Context:
    """Two channels with a video each; a count a day of the last hundred days."""
    context.clock = lambda: NOW
    with context.engine.begin() as connection:
        ensure_partitions(connection, start=NOW - timedelta(days=100), end=NOW)
        for channel, video in zip(CHANNELS, VIDEOS, strict=True):
            connection.execute(
                text("INSERT INTO channels (channel_id, added_at) VALUES (:c, :t)"),
                {"c": channel, "t": NOW},
            )
            connection.execute(
                text(
                    "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at) "
                    "VALUES (:v, :c, :t, :t)"
                ),
                {"v": video, "c": channel, "t": NOW - timedelta(days=200)},
            )
            for day in range(1, 101):
                at = {"t": NOW - timedelta(days=day) + timedelta(hours=1)}
                connection.execute(
                    text(
                        "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count) "
                        "VALUES (:v, :t, :t, 1)"
                    ),
                    {"v": video, **at},
                )
                connection.execute(
                    text(
                        "INSERT INTO channel_snapshots (channel_id, slot, captured_at) "
                        "VALUES (:c, :t, :t)"
                    ),
                    {"c": channel, **at},
                )
    return context


def with_settings(context: Context, **changes: object) -> Context:
    context.settings = Settings(**{**context.settings.model_dump(), **changes})
    return context


def left(context: Context, table: str = "video_snapshots") -> int:
    return int(value(context, f"SELECT count(*) FROM {table}"))


def by_kind(report: retention.PurgeReport) -> dict[str, retention.KindReport]:
    return {found.kind: found for found in report.kinds}


def test_a_dry_run_says_what_the_purge_then_does(aged: Context):
    said = by_kind(retention.purge(aged, dry_run=True))
    assert left(aged) == 200
    assert said["video-statistics"].rows == said["channel-statistics"].rows == 146
    done = by_kind(retention.purge(aged, dry_run=False))
    assert {k: r.rows for k, r in done.items()} == {k: r.rows for k, r in said.items()}
    assert done["video-statistics"].partitions == said["video-statistics"].partitions
    # All of the weeks are due but the one that the limit, 18 June, is in, and those after it.
    dropped = done["video-statistics"].partitions
    assert (dropped[0][-10:], dropped[-1][-10:]) == ("2026_04_06", "2026_06_08")
    assert left(aged) == left(aged, "channel_snapshots") == 54
    assert value(aged, "SELECT min(captured_at) FROM video_snapshots") >= NOW - timedelta(days=27)
    again = by_kind(retention.purge(aged, dry_run=False))
    assert all(found.rows == 0 for found in again.values())


def test_a_purge_that_is_broken_off_is_taken_up(aged: Context, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "BATCH", 7)

    def stop(_kind: str, gone: int) -> None:
        if gone > 120:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        retention.purge(aged, dry_run=False, kinds=["video-statistics"], progress=stop)
    assert 54 < left(aged) < 80
    retention.purge(aged, dry_run=False, kinds=["video-statistics"])
    assert left(aged) == 54


def test_a_partition_that_is_being_read_is_emptied_and_dropped_later(
    aged: Context, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ddl, "LOCK_S", 0.1)
    monkeypatch.setattr(ddl, "BETWEEN_S", 0.0)
    with aged.engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM video_snapshots"))
        found = retention.purge(aged, dry_run=False, kinds=["video-statistics"]).kinds[0]
        assert (found.rows, found.partitions) == (146, [])
        assert left(aged) == 54
    found = retention.purge(aged, dry_run=False, kinds=["video-statistics"]).kinds[0]
    assert found.partitions[0].endswith("2026_04_06")


def test_a_month_of_an_earlier_release_is_dropped_once_all_of_it_is_due(aged: Context):
    with owner_engine(aged) as engine, engine.begin() as connection:
        for month, after in (("2026-02-01", "2026-03-01"), ("2026-03-01", "2026-04-01")):
            connection.execute(
                text(
                    f"CREATE TABLE video_snapshots_{month[:7].replace('-', '_')} "
                    "PARTITION OF video_snapshots "
                    f"FOR VALUES FROM ('{month} 00:00+00') TO ('{after} 00:00+00')"
                )
            )
        add = text(
            "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count) "
            "VALUES (:v, :slot, :read, 1)"
        )
        slots = (datetime(2026, 2, 10, tzinfo=UTC), datetime(2026, 3, 31, 23, tzinfo=UTC))
        connection.execute(add, {"v": VIDEOS[0], "slot": slots[0], "read": slots[0]})
        # Read late: a partition whose slots are past may hold a count that is not.
        late = NOW - timedelta(days=1)
        connection.execute(add, {"v": VIDEOS[0], "slot": slots[1], "read": late})
    said = retention.purge(aged, dry_run=True, kinds=["video-statistics"]).kinds[0]
    done = retention.purge(aged, dry_run=False, kinds=["video-statistics"]).kinds[0]
    assert (done.rows, done.partitions) == (said.rows, said.partitions)
    assert done.rows == 147
    assert done.partitions[0] == "video_snapshots_2026_02"
    assert "video_snapshots_2026_03" not in done.partitions
    assert left(aged) == 55


def test_two_who_purge_at_once_drop_each_partition_once(aged: Context):
    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(retention.purge, aged, dry_run=False, kinds=["video-statistics"])
            for _ in range(2)
        ]
        found = [future.result(timeout=120).kinds[0] for future in futures]
    dropped = [name for each in found for name in each.partitions]
    assert len(dropped) == len(set(dropped)) == 10
    assert sum(each.rows for each in found) == 146
    assert left(aged) == 54


def test_counts_are_gone_in_thirty_days_though_two_daily_purges_are_missed(aged: Context):
    assert limits.DUE + timedelta(days=1 + 2) <= limits.TERMS
    for days, left_of_each in ((30, 27), (27, 27), (26, 26), (1, 1)):
        held = with_settings(aged, retention_video_statistics_days=days)
        found = retention.purge(held, dry_run=False, kinds=["video-statistics"]).kinds[0]
        assert (found.kept_days, found.note) == (left_of_each, None)
        assert left(aged) == 2 * left_of_each


def test_longer_retention_needs_an_approval(aged: Context):
    longer = with_settings(aged, retention_video_statistics_days=90)
    found = by_kind(retention.purge(longer, dry_run=True))["video-statistics"]
    assert (found.rows, found.kept_days) == (146, 27)
    assert "need an approval" in str(found.note)
    assert approvals.add(aged, "letter 7", scope="statistics") is True
    assert approvals.add(aged, "letter 7", scope="statistics") is False
    found = by_kind(retention.purge(longer, dry_run=True))["video-statistics"]
    assert (found.rows, found.kept_days, found.approvals) == (20, 90, ("letter 7",))
    assert approvals.revoke(aged, "letter 7") == 1
    assert by_kind(retention.purge(longer, dry_run=True))["video-statistics"].rows == 146
    assert [a.state for a in approvals.ledger(aged)] == ["revoked"]


def test_an_approval_of_one_channel_keeps_that_channel_only(aged: Context):
    longer = with_settings(
        aged, retention_video_statistics_days=90, retention_channel_statistics_days=90
    )
    approvals.add(aged, "letter 8", scope="statistics", channel_id=CHANNELS[0])
    retention.purge(longer, dry_run=False)
    assert dict(rows(aged, "SELECT video_id, count(*) FROM video_snapshots GROUP BY 1")) == {
        VIDEOS[0]: 90,
        VIDEOS[1]: 27,
    }
    assert left(aged, "channel_snapshots") == 117


@pytest.mark.parametrize(
    ("granted", "expires", "state", "due"),
    [(-10, -1, "expired", 146), (1, 9, "coming", 146), (-1, 1, "in force", 20)],
)
def test_an_approval_holds_between_its_days(
    aged: Context, granted: int, expires: int, state: str, due: int
):
    longer = with_settings(aged, retention_video_statistics_days=90)
    approvals.add(
        aged,
        "letter",
        scope="statistics",
        granted_at=NOW + timedelta(days=granted),
        expires_at=NOW + timedelta(days=expires),
    )
    assert approvals.ledger(aged)[0].state == state
    assert by_kind(retention.purge(longer, dry_run=True))["video-statistics"].rows == due


@pytest.mark.parametrize(
    ("reference", "values"),
    [
        ("", {"scope": "audio"}),
        ("a\0b", {"scope": "audio"}),
        ("a", {"scope": "everything"}),
        ("a", {"scope": "audio", "channel_id": "UCx"}),
        ("a", {"scope": "audio", "expires_at": NOW - timedelta(days=1)}),
    ],
)
def test_a_wrong_approval_is_refused(aged: Context, reference: str, values: dict[str, object]):
    with pytest.raises(UsageError):
        approvals.add(aged, reference, **values)
    with pytest.raises(UsageError):
        approvals.revoke(aged, "unknown")


def picture(context: Context, seed: int) -> tuple[str, thumbnails.StoredThumbnail]:
    content = draw_thumbnail(seed, 0.0)
    sha256 = context.store.put(content)
    return sha256, thumbnails.StoredThumbnail(
        VIDEOS[0], sha256, "jpeg", 320, 180, len(content), "mqdefault", None,
        perceptual_hash(content),
    )  # fmt: skip


def test_pictures_not_seen_for_long_go_and_come_back_when_shown_again(aged: Context):
    old, old_row = picture(aged, 1)
    shown, shown_row = picture(aged, 2)
    for row, ago in ((old_row, 80), (shown_row, 60), (shown_row, 3)):
        with aged.transaction() as session:
            thumbnails.record_thumbnails(session, [row], now=NOW - timedelta(days=ago))
    said = by_kind(retention.purge(aged, dry_run=True))["thumbnails"]
    assert said.rows == 1
    assert set(aged.store.names()) == {old, shown}
    retention.purge(aged, dry_run=False)
    assert aged.store.names() == [shown]
    # The history stays, and says so.
    assert rows(
        aged, "SELECT thumbnail_sha256, purged_at IS NULL FROM thumbnails ORDER BY stored_at"
    ) == [(old, False), (shown, True)]
    assert value(aged, "SELECT count(*) FROM thumbnail_changes") == 1
    with aged.transaction() as session:
        pages = asof.rows(session, as_of=NOW, span="lifetime", days=0)
        known = {r["video_id"]: r["thumbnail_sha256"] for page in pages for r in page}
        assert known[VIDEOS[0]] is None  # and not the later picture in its place
        back = thumbnails.record_thumbnails(session, [replace(old_row)], now=NOW)
    assert back.unspoken == {old}


def test_objects_that_no_row_speaks_of_go_after_a_week(aged: Context):
    ownership.claim(aged)
    aged.store.put(b"left by a run that was killed")
    _, row = picture(aged, 2)
    with aged.transaction() as session:
        thumbnails.record_thumbnails(session, [row], now=NOW)
    soon, later = datetime.now(UTC), datetime.now(UTC) + timedelta(days=8)
    aged.clock = lambda: soon
    assert by_kind(retention.purge(aged, dry_run=False, kinds=["orphans"]))["orphans"].rows == 0
    aged.clock = lambda: later
    assert by_kind(retention.purge(aged, dry_run=False, kinds=["orphans"]))["orphans"].rows == 1
    assert aged.store.names() == [row.thumbnail_sha256]


def test_stale_facts_are_read_again_in_full(aged: Context):
    with aged.engine.begin() as connection:
        connection.execute(
            text("UPDATE videos SET refreshed_at = :t"), {"t": NOW - timedelta(days=31)}
        )
    assert retention.purge(aged, dry_run=True).stale_videos == 2
    assert retention.purge(aged, dry_run=False).stale_videos == 2
    with aged.transaction() as session:
        assert videos.unsettled(session, VIDEOS, unknown_before=None) == set(VIDEOS)


def test_an_unknown_kind_is_refused(aged: Context):
    with pytest.raises(UsageError, match="nothing is kept as"):
        retention.purge(aged, dry_run=True, kinds=["everything"])


def forget_shown(aged: Context, *, since: datetime) -> None:
    """The first video went, and its channel closed; what was known of both stays."""
    with aged.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE videos SET title = 'a title', duration_s = 9, refreshed_at = :t, "
                "gone_at = CASE video_id WHEN :v THEN CAST(:t AS timestamptz) END, "
                "state = CASE video_id WHEN :v THEN 'gone' ELSE 'public' END"
            ),
            {"t": since, "v": VIDEOS[0]},
        )
        connection.execute(
            text(
                "UPDATE channels SET title = 'a name', handle = '@x', refreshed_at = :t, "
                "state = CASE channel_id WHEN :c THEN 'closed' ELSE 'active' END"
            ),
            {"t": since, "c": CHANNELS[0]},
        )


def titles(aged: Context) -> tuple[list[str], list[str]]:
    """The videos and channels that have a title."""
    shown = "SELECT {0}_id FROM {0}s WHERE title IS NOT NULL ORDER BY 1"
    found = [[only for (only,) in rows(aged, shown.format(k))] for k in ("video", "channel")]
    return found[0], found[1]


def test_facts_of_what_is_gone_go_when_nobody_can_read_them_anew(aged: Context):
    forget_shown(aged, since=NOW - timedelta(days=26))
    assert by_kind(retention.purge(aged, dry_run=False))["facts"].rows == 0
    forget_shown(aged, since=NOW - timedelta(days=28))
    assert by_kind(retention.purge(aged, dry_run=True))["facts"].rows == 2
    assert by_kind(retention.purge(aged, dry_run=False))["facts"].rows == 2
    assert titles(aged) == (VIDEOS[1:], CHANNELS[1:])
    assert rows(aged, "SELECT count(*) FROM channels WHERE handle = '@x'") == [(2,)]


def test_an_approval_lets_the_facts_of_what_is_gone_stay(aged: Context):
    forget_shown(aged, since=NOW - timedelta(days=31))
    approvals.add(aged, "letter 12", scope="statistics", channel_id=CHANNELS[0])
    assert by_kind(retention.purge(aged, dry_run=False))["facts"].rows == 0
    assert approvals.revoke(aged, "letter 12") == 1
    approvals.add(aged, "letter 13", scope="statistics")
    assert by_kind(retention.purge(aged, dry_run=False))["facts"].rows == 0
    assert titles(aged) == (VIDEOS, CHANNELS)


def test_what_was_missed_is_forgotten_with_the_counts_of_then(aged: Context):
    missed = text(
        "INSERT INTO missed_slots (kind, entity_id, first_slot, channel_id, last_slot, "
        "interval_s, reason, noted_at) VALUES ('video.snapshot', :v, :t, :c, :t, 60, 'x', :t)"
    )
    with aged.engine.begin() as connection:
        for days in (5, 26, 28, 300):
            values = {"v": VIDEOS[0], "c": CHANNELS[0], "t": NOW - timedelta(days=days)}
            connection.execute(missed, values)
    assert maintenance.forget_missed(aged) == 2
    assert left(aged, "missed_slots") == 2
