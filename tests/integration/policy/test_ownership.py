"""What deletes objects checks first that database and object store belong together."""

import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from db.queries.catalog import thumbnails
from services.context import Context
from services.emulator.drawing import draw_thumbnail
from services.errors import PermanentError
from services.policy import orphans, ownership, retention
from services.storage import object_name
from services.youtube.perceptual import perceptual_hash
from tests.support.crawl import value
from tests.support.databases import owner_engine

VIDEO, CHANNEL = "video_a____", "UC" + "a" * 22
OBJECTS = 120


@pytest.fixture
def full(context: Context) -> Context:
    """A store of an installation of an earlier release: pictures that rows speak of, no marker."""
    now = datetime.now(UTC)
    context.clock = lambda: now + timedelta(days=30)
    with context.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO channels (channel_id, added_at) VALUES (:c, now())"), {"c": CHANNEL}
        )
        connection.execute(
            text(
                "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at) "
                "VALUES (:v, :c, now(), now())"
            ),
            {"v": VIDEO, "c": CHANNEL},
        )
    contents = [draw_thumbnail(seed, 0.0) for seed in range(OBJECTS)]
    for content, sha256 in zip(contents, context.store.put_many(contents), strict=True):
        row = thumbnails.StoredThumbnail(
            VIDEO, sha256, "jpeg", 320, 180, len(content), "mqdefault", None,
            perceptual_hash(content),
        )  # fmt: skip
        with context.transaction() as session:
            thumbnails.record_thumbnails(session, [row], now=now)
    return context


def become_another_installation(context: Context) -> None:
    """The database is fresh: another id, and no row."""
    with owner_engine(context) as engine, engine.begin() as connection:
        connection.execute(text("TRUNCATE channels CASCADE"))
        connection.execute(text("TRUNCATE thumbnails CASCADE"))
        connection.execute(text("UPDATE installation SET installation_id = gen_random_uuid()"))


def swept(context: Context, **options: object) -> retention.KindReport:
    return retention.purge(context, dry_run=False, kinds=["orphans"], **options).kinds[0]


def test_a_fresh_database_deletes_nothing_of_a_store_that_nobody_claimed(full: Context):
    before = full.store.names()
    become_another_installation(full)
    found = swept(full)
    assert found.refused is not None
    assert found.refused.reason == "unclaimedStore"
    assert "0 of 120 objects" in found.refused.message
    assert full.store.names() == before
    assert full.store.marker() is None


def test_an_installation_of_an_earlier_release_claims_its_store_and_others_are_refused(
    full: Context,
):
    assert swept(full).refused is None
    own = value(full, "SELECT installation_id FROM installation")
    marker = ownership.Marker.from_bytes(full.store.marker() or b"")
    assert marker.installation_id == own
    before = full.store.names()
    become_another_installation(full)
    for kind in retention.WITH_OBJECTS:
        found = retention.purge(full, dry_run=False, kinds=[kind], force=True).kinds[0]
        assert found.refused is not None
        assert found.refused.reason == "foreignStore"
    assert full.store.names() == before
    # The other kinds go on.
    report = retention.purge(full, dry_run=False)
    assert {k.kind for k in report.kinds if k.refused} == set(retention.WITH_OBJECTS)


def test_more_orphans_than_killed_runs_explain_need_force(full: Context):
    ownership.claim(full)
    with owner_engine(full) as engine, engine.begin() as connection:
        connection.execute(text("TRUNCATE thumbnails CASCADE"))
    found = swept(full)
    assert found.refused is not None
    assert found.refused.reason == "tooManyOrphans"
    assert len(full.store.names()) == OBJECTS
    assert swept(full, force=True).rows == OBJECTS
    assert full.store.names() == []


def test_what_was_put_away_comes_back_when_it_is_read_and_goes_after_a_week(context: Context):
    ownership.claim(context)
    wanted, left = (context.store.put(content) for content in (b"wanted", b"left behind"))
    folder = Path(str(context.settings.storage_url).removeprefix("file://"))
    for name in (wanted, left):
        os.utime(folder / object_name(name), (0, 0))
    assert swept(context).rows == 2
    assert context.store.names() == []
    assert context.store.get(wanted) == b"wanted"
    assert context.store.names() == [wanted]
    now = context.clock()
    for days, gone in ((6, 0), (8, 1)):
        context.clock = lambda days=days: now + timedelta(days=days)
        found = orphans.sweep(context, dry_run=False, force=False, progress=lambda _more: None)
        assert found.deleted == gone
    with pytest.raises(PermanentError, match="not in the store"):
        context.store.get(left)


def test_a_row_that_came_meanwhile_brings_its_object_back(full: Context):
    ownership.claim(full)
    name = full.store.names()[0]
    full.store.quarantine([name])
    found = orphans.sweep(full, dry_run=False, force=False, progress=lambda _more: None)
    assert found.deleted == 0
    assert name in full.store.names()


def test_a_damaged_marker_is_nobodys(full: Context):
    full.store.set_marker(b"{}")
    found = swept(full)
    assert found.refused is not None
    assert found.refused.reason == "storeMarkerDamaged"
    ownership.claim(full)
    assert swept(full).refused is None


def test_each_database_is_an_installation_of_its_own(context: Context):
    assert isinstance(value(context, "SELECT installation_id FROM installation"), uuid.UUID)


def test_many_readers_of_one_object_that_was_put_away_all_get_it(context: Context):
    name = context.store.put(b"wanted")
    for _ in range(20):
        context.store.quarantine([name])
        assert context.store.get_many([name] * 32) == [b"wanted"] * 32
