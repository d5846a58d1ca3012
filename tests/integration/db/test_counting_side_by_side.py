"""Who counts, who collects and who forgets a channel do not wait for each other."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from services import tick
from services.context import Context
from services.crawl import overdue
from tests.support.catalogue import Catalogue

NOW = datetime(2025, 7, 15, 12, tzinfo=UTC)
A, B = ("UC" + letter * 22 for letter in "ab")


@pytest.fixture
def catalogue(context: Context) -> Catalogue:
    context.clock = lambda: NOW
    return Catalogue(context, NOW)


@pytest.mark.parametrize("few", [overdue.FEW, 0], ids=["at once", "by channel"])
def test_who_counts_what_is_overdue_and_who_forgets_a_channel_do_not_wait_for_each_other(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, few: int
):
    monkeypatch.setattr(overdue, "FEW", few)
    catalogue.add(12)
    catalogue.sql(
        "INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at, interval_s) "
        "SELECT 'video.snapshot', video_id, channel_id, 'due', :now, :now, 86400 FROM videos",
        now=NOW,
    )
    catalogue.context.clock = lambda: NOW + timedelta(days=3)
    assert overdue.count(catalogue.context)
    before = catalogue.sql("SELECT * FROM overdue_counts WHERE channel_id = :a", a=A)
    assert before
    # Other days, and some of those that there were are not overdue any more.
    catalogue.sql("UPDATE work_items SET slot = slot + interval '2 days'")
    catalogue.context.clock = lambda: NOW + timedelta(days=6)
    with catalogue.context.engine.connect() as forgetting:
        # As DELETE does, before it comes to what belongs to the channel.
        forget = text("SELECT FROM channels WHERE channel_id = :a FOR UPDATE")
        forgetting.execute(text("SET LOCAL lock_timeout = '5s'"))
        forgetting.execute(forget, {"a": A})
        assert overdue.count(catalogue.context)
        assert catalogue.sql("SELECT * FROM overdue_counts WHERE channel_id = :a", a=A) == before
        forgetting.execute(text("DELETE FROM channels WHERE channel_id = :a"), {"a": A})
        forgetting.commit()
    assert overdue.count(catalogue.context)
    assert catalogue.sql("SELECT DISTINCT channel_id FROM overdue_counts") == [(B,)]


def test_two_who_collect_of_one_channel_do_not_wait_for_each_other(catalogue: Catalogue):
    ids = catalogue.add(4)
    collect = text(
        "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count) "
        "VALUES (:v, :t, :t, 1)"
    )
    with catalogue.context.engine.connect() as one, catalogue.context.engine.connect() as other:
        for connection, video in ((one, ids[0]), (other, ids[2])):
            connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
            connection.execute(collect, {"v": video, "t": NOW})
        # Nor does who adds up, and it leaves what is not committed for the next time.
        tick.add_up(catalogue.context)
        other.commit()
        tick.add_up(catalogue.context)
        one.commit()
    tick.add_up(catalogue.context)
    assert catalogue.sql("SELECT channel_id, collected FROM completeness WHERE collected > 0") == [
        (A, 2)
    ]
