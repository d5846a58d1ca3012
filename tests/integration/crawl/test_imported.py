"""Channels that were imported: known, learned from, and crawled only once they are watched."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from db.queries.catalog import channels
from db.queries.policy import retention
from db.queries.work import planning
from services.context import Context
from services.crawl import intake, runs, watchlist
from services.crawl.channels import ask_again
from services.crawl.intake import ADDED, KNOWN
from services.crawl.sources import NamedChannel
from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from services.errors import UsageError
from services.schedules.kinds import KINDS, NO_CHANNELS
from services.transfer.importing import import_folder
from tests.support.crawl import NOW, counts, offline_crawl, rows, value
from tests.support.csv_files import write_csv

STRANGER = "UC" + "s" * 22
STATES = "SELECT channel_id, watched, state FROM channels ORDER BY channel_id"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=3, epoch=NOW, channels=2, videos=10)


@pytest.fixture
def folder(tmp_path: Path, catalog: Catalog) -> Path:
    """A folder with a video of a channel that YouTube has, and one of a channel it has not."""
    (tmp_path / "recorded").mkdir()
    first = min(catalog.channels)
    video = min(v for v, found in catalog.videos.items() if found.channel_id == first)
    recorded = {
        "channel_title": "C",
        "title": "T",
        "published_at": "2026-06-01T00:00:00Z",
        "collected_at": "2026-07-01T00:00:00Z",
        "view_count": "1000",
        "subscriber_count": "12300",
    }
    lines = [
        {"video_id": video, "channel_id": first, **recorded},
        {"video_id": "strange_one", "channel_id": STRANGER, **recorded},
    ]
    write_csv(tmp_path / "recorded" / "videos.csv", tuple(lines[0]), lines)
    return tmp_path / "recorded"


def test_a_crawl_of_everything_leaves_imported_channels_alone(
    context: Context, catalog: Catalog, folder: Path
):
    first, second = sorted(catalog.channels)
    with offline_crawl(context, catalog, watch=False) as crawl:
        import_folder(crawl.context, folder)
        with crawl.context.transaction() as session:
            assert KINDS["crawl"].request(session, {}) is NO_CHANNELS
            assert KINDS["train"].request(session, {}) == {}  # they are learned from
            assert planning.watched(session, now=NOW) == planning.Watched(0, 0, 0)
        with pytest.raises(UsageError, match="no channel is watched"):
            runs.start(crawl.context)
        intake.add_all(crawl.context, [second])
        with crawl.context.transaction() as session:
            named = {"channel_ids": [first, second, STRANGER]}
            assert KINDS["crawl"].request(session, named) == {"channel_ids": [second]}
        crawl.run()
        crawl.run([first, second, STRANGER])
        crawl.turn(days=3)
        crawl.settle()
        crawl.turn(days=60)
        ask_again(crawl.context)
        crawl.settle()
    assert set(rows(context, STATES)) == {
        (first, False, "active"),
        (second, True, "active"),
        (STRANGER, False, "active"),
    }
    assert rows(context, "SELECT DISTINCT channel_id FROM work_items") == [(second,)]
    listed = {c["channel_id"]: c["watched"] for c in watchlist.overview(context)}
    assert listed == {first: False, second: True, STRANGER: False}
    imported = watchlist.overview(context, state="imported")
    assert {c["channel_id"] for c in imported} == {first, STRANGER}
    assert [c["channel_id"] for c in watchlist.overview(context, state="watched")] == [second]


def test_adding_an_imported_channel_watches_it_and_its_videos(
    context: Context, catalog: Catalog, folder: Path
):
    first = min(catalog.channels)
    with offline_crawl(context, catalog, watch=False) as crawl:
        import_folder(crawl.context, folder)
        [added] = intake.add(crawl.context, [NamedChannel(1, first)])
        [again] = intake.add(crawl.context, [NamedChannel(1, first)])
        assert (added.status, again.status) == (ADDED, KNOWN)
        crawl.settle()
        assert import_folder(crawl.context, folder).watched == 0
    assert (first, True, "active") in rows(context, STATES)
    read = "SELECT count(*) FROM video_snapshots JOIN videos USING (video_id) WHERE source = :s"
    assert value(context, read, s="import") == 3  # as recorded twice, and one of our own


def test_an_import_that_watches_does_so_with_channels_of_an_earlier_one(
    context: Context, folder: Path
):
    assert import_folder(context, folder).watched == 0
    assert counts(context)["work_items"] == 0
    assert import_folder(context, folder, watch=True).watched == 2
    assert import_folder(context, folder, watch=True).watched == 0
    assert {watched for _, watched, _ in rows(context, STATES)} == {True}


def test_facts_that_came_by_an_import_are_not_purged_as_those_of_gone_channels(
    context: Context, folder: Path
):
    import_folder(context, folder)
    with context.transaction() as session:
        session.execute(text("UPDATE channels SET state = 'gone', refreshed_at = now()"))
        later = context.clock() + timedelta(days=400)
        limit = retention.Limit(general=later, approved=later)
        assert retention.blank_channels(session, limit) == 0
        channels.add(session, [STRANGER], now=context.clock())
        assert retention.blank_channels(session, limit) == 1
