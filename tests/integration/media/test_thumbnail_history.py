"""Thumbnail history against the offline YouTube's swaps, and what they did to the views."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from db.partitions import ensure_partitions
from services.context import Context
from services.emulator.catalog import Catalog
from services.emulator.living import Life, living_catalog
from tests.support.crawl import NOW, TurnableClock, offline_crawl, rows, value

CHANNEL = "UC" + "a" * 22
QUIET = Life(
    uploads=0.001, deleted=0, private=0, swapped=0.5, reencoded=0.5, closed=0, suspended=0,
    hiding=0, shorts=0, streams=0, premieres=0,
)  # fmt: skip


def test_swaps_open_versions_and_encoding_again_does_not(context: Context):
    catalog = living_catalog(seed=3, epoch=NOW, days=20, channels=3, videos=24, life=QUIET)
    clock = TurnableClock()
    with offline_crawl(context, catalog, clock=clock) as crawl:
        crawl.run()
        for _ in range(4):
            crawl.turn(days=7)
            crawl.settle()
        expected = {
            video_id: 1 + sum(not t.reencoded for t in video.thumbnails[1:])
            for video_id, video in catalog.videos.items()
            if video.published_at <= NOW
        }
        assert any(n > 1 for n in expected.values())
        assert any(t.reencoded for v in catalog.videos.values() for t in v.thumbnails)
        found = dict(
            rows(crawl.context, "SELECT video_id, max(version) FROM video_thumbnails GROUP BY 1")
        )
        assert {v: found[v] for v in expected} == expected
        changes = rows(crawl.context, "SELECT video_id, distance FROM thumbnail_changes")
        assert len([v for v, _ in changes if v in expected]) == sum(expected.values()) - len(
            expected
        )
        assert all(distance > 10 for _, distance in changes)
        # What was encoded again is remembered, its bytes are not kept, and it is asked for only
        # if it changes once more.
        again = rows(
            crawl.context, "SELECT seen_sha256, etag FROM video_thumbnails WHERE seen_sha256 <> ''"
        )
        assert again
        assert not {sha for sha, _ in again} & set(crawl.context.store.names())
        before = crawl.served()
        crawl.turn(days=7)
        crawl.settle()
        after = crawl.served()
        [host] = [name for name in after if "304" in after[name]]
        assert after[host].get("200", 0) == before[host].get("200", 0)


def test_a_picture_from_before_the_hashes_is_compared_all_the_same(context: Context):
    catalog = living_catalog(seed=5, epoch=NOW, days=6, channels=2, videos=12, life=QUIET)
    catalog = only_reencoded(catalog)
    with offline_crawl(context, catalog) as crawl:
        crawl.run()
        with crawl.context.engine.begin() as connection:
            connection.execute(text("UPDATE thumbnails SET perceptual_hash = NULL"))
        crawl.turn(days=8)
        crawl.settle()
        assert value(crawl.context, "SELECT max(version) FROM video_thumbnails") == 1
        assert value(crawl.context, "SELECT count(seen_sha256) FROM video_thumbnails") > 0


def only_reencoded(catalog: Catalog) -> Catalog:
    videos = [
        replace(v, thumbnails=(v.thumbnails[0], *(t for t in v.thumbnails if t.reencoded)))
        for v in catalog.videos.values()
        if all(t.reencoded for t in v.thumbnails[1:])
    ]
    return replace(catalog, videos={v.video_id: v for v in videos})


CHANGED = datetime(2026, 5, 20, tzinfo=UTC)


def history(context: Context, *, redefined: bool = False, snapshots_until: int = 15) -> None:
    """One swapped video of 100 views a day before and 300 after; two others of 100, then 150."""
    with context.engine.begin() as connection:
        days = timedelta(days=100)
        ensure_partitions(connection, start=CHANGED - days, end=CHANGED + days)
        connection.execute(
            text("INSERT INTO channels (channel_id, added_at) VALUES (:c, :t)"),
            {"c": CHANNEL, "t": CHANGED},
        )
        for index, later_rate in enumerate((300, 150, 150, 900)):
            video = f"video_{index:05d}"
            connection.execute(
                text(
                    "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at) "
                    "VALUES (:v, :c, :t, :t)"
                ),
                {"v": video, "c": CHANNEL, "t": CHANGED - timedelta(days=60)},
            )
            # Off the moment of the change, so that its views must be interpolated.
            for day in range(-15, snapshots_until):
                at = CHANGED + timedelta(days=day)
                if day == 0:
                    continue
                count = 10_000 + 100 * day if day < 0 else 10_000 + later_rate * day
                definition = "started" if redefined and day >= 0 else "watched"
                connection.execute(
                    text(
                        "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count, "
                        "view_definition) VALUES (:v, :t, :t, :n, :d)"
                    ),
                    {"v": video, "t": at, "n": count, "d": definition},
                )
        for digit, known in (("0", 0), ("1", 2**40 - 1)):
            connection.execute(
                text("INSERT INTO thumbnails VALUES (:s, 'jpeg', 320, 180, 9000, :t)"),
                {"s": digit * 64, "t": CHANGED},
            )
            connection.execute(
                text("UPDATE thumbnails SET perceptual_hash = :h WHERE thumbnail_sha256 = :s"),
                {"s": digit * 64, "h": known},
            )
        # The last one changed as well and is no control.
        for video in ("video_00000", "video_00003"):
            for version, first, last in ((1, -30, -1.5), (2, 1.5, 20)):
                connection.execute(
                    text(
                        "INSERT INTO video_thumbnails (video_id, version, thumbnail_sha256, "
                        "variant, is_current, first_seen_at, last_seen_at) "
                        "VALUES (:v, :n, :s, 'mqdefault', :c, :f, :l)"
                    ),
                    {
                        "v": video,
                        "n": version,
                        "s": str(version - 1) * 64,
                        "c": version == 2,
                        "f": CHANGED + timedelta(days=first),
                        "l": CHANGED + timedelta(days=last),
                    },
                )


def the_change(context: Context) -> dict[str, object]:
    with context.engine.connect() as connection:
        [found] = connection.execute(
            text("SELECT * FROM thumbnail_changes WHERE video_id = 'video_00000'")
        ).mappings()
        return dict(found)


def test_the_view_finds_the_known_change_and_the_control(context: Context):
    history(context)
    change = the_change(context)
    assert change["distance"] == 40
    assert change["version"] == 2
    assert change["window_days"] == pytest.approx(7)
    assert change["views_per_day_before"] == pytest.approx(100)
    assert change["views_per_day_after"] == pytest.approx(300)
    assert change["ratio"] == pytest.approx(3)
    assert change["control_videos"] == 2
    assert change["control_ratio"] == pytest.approx(1.5)


def test_windows_shrink_to_what_was_collected_on_both_sides(context: Context):
    history(context, snapshots_until=6)
    change = the_change(context)
    assert change["window_days"] == pytest.approx(3.5)  # from 1.5 days after to the fifth
    assert change["views_per_day_before"] == pytest.approx(100)
    assert change["views_per_day_after"] == pytest.approx(300)


def test_no_rate_crosses_a_break_in_what_counts_as_a_view(context: Context):
    history(context, redefined=True)
    change = the_change(context)
    assert change["views_per_day_before"] is None
    assert change["ratio"] is None
    assert change["control_videos"] == 0


def test_no_rate_where_hardly_anything_was_collected(context: Context):
    history(context, snapshots_until=2)
    change = the_change(context)
    assert change["window_days"] is None
    assert change["ratio"] is None
    assert change["control_videos"] == 0
