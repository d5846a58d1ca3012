"""A row that the database refuses fails alone; whatever was to be written with it is written."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from services.context import Context
from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from tests.support.crawl import NOW, offline_crawl, rows, value
from tests.support.databases import owner_engine


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=6, epoch=NOW, channels=3, videos=45)


def refuse(context: Context, table: str, column: str, *values: str, unless: str = "false") -> None:
    """Have the database refuse these values from now on, as it would what nobody thought of."""
    named = ", ".join(f"'{value}'" for value in values)
    rule = f"CHECK ({column} NOT IN ({named}) OR {unless}) NOT VALID"
    with owner_engine(context) as engine, engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT refused_here {rule}"))


def unfinished(context: Context) -> list[tuple[object, ...]]:
    return rows(
        context,
        "SELECT kind, entity_id, state, error_reason FROM work_items "
        "WHERE state <> 'due' OR done_at IS NULL ORDER BY 1, 2",
    )


@pytest.mark.parametrize(
    ("kind", "table", "unless"),
    [
        ("video.snapshot", "video_snapshots", "false"),
        ("video.snapshot", "videos", "title IS NULL"),
        ("video.thumbnail", "video_thumbnails", "false"),
        ("channel.snapshot", "channel_snapshots", "false"),
        ("channel.discover", "channels", "walked_at IS NULL"),
    ],
)
def test_what_a_crawl_may_not_write_fails_alone(
    context: Context, catalog: Catalog, kind: str, table: str, unless: str
):
    column = "video_id" if table.startswith("video") else "channel_id"
    chosen = sorted(catalog.videos if column == "video_id" else catalog.channels)[1:3]
    with offline_crawl(context, catalog) as crawl:
        refuse(context, table, column, *chosen, unless=unless)
        job = crawl.run()
        assert job.state == "succeeded"
        assert job.result is not None
        assert job.result["failed"] == len(chosen)
        assert unfinished(context) == [(kind, c, "failed", "refusedByDatabase") for c in chosen]
        if table == "video_snapshots":
            assert value(context, "SELECT count(*) FROM video_snapshots") == 43
        # The breaker of the host that answered has heard of nothing.
        assert value(context, "SELECT count(*) FROM breakers WHERE failures > 0") == 0


def test_a_listed_video_that_is_refused_costs_its_channel_nothing(
    context: Context, catalog: Catalog
):
    refused = min(catalog.videos)
    with offline_crawl(context, catalog) as crawl:
        refuse(context, "videos", "video_id", refused)
        assert crawl.run().state == "succeeded"
        assert unfinished(context) == []
        known = {v for (v,) in rows(context, "SELECT video_id FROM videos")}
        assert known == set(catalog.videos) - {refused}


def test_what_was_refused_is_tried_again_when_asked_for(context: Context, catalog: Catalog):
    from services.work import retries

    refused = min(catalog.videos)
    with offline_crawl(context, catalog) as crawl:
        refuse(context, "video_snapshots", "video_id", refused)
        crawl.run()
        with owner_engine(context) as engine, engine.begin() as connection:
            connection.execute(text("ALTER TABLE video_snapshots DROP CONSTRAINT refused_here"))
        assert retries.retry_items(crawl.context, reason="refusedByDatabase") == 1
        crawl.clock.advance(timedelta(minutes=1))
        crawl.settle()
        assert unfinished(context) == []
        assert value(context, "SELECT count(*) FROM video_snapshots") == 45
