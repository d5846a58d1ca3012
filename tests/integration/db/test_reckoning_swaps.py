"""Swaps are reckoned while others work: nobody waits, no channel starves, nothing wrong is kept."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from db.queries.catalog import counted, kept_swaps, turns
from services import tick
from services.context import Context
from tests.support.catalogue import Catalogue
from tests.support.databases import owner_engine
from tests.support.kept_swaps import DAY, NOW, Happenings, both, keep_all, make_view_before


@pytest.fixture
def catalogue(context: Context) -> Catalogue:
    return Catalogue(context, NOW)


@pytest.fixture
def swapped(catalogue: Catalogue) -> Happenings:
    """Forty days of counts; a swap of each channel long ago, and one lately of a third video."""
    happenings = Happenings(catalogue, 0)
    for day in range(40):
        happenings.now = NOW + day * DAY
        happenings.count(happenings.ids, happenings.now, happenings.now)
        for video, swapped_on in ((0, 10), (1, 10), (2, 38)):
            if day == swapped_on:
                catalogue.show(happenings.ids[video], 99, now=happenings.now)
        happenings.see_again(most=15)
        catalogue.sql(
            "UPDATE video_thumbnails SET last_seen_at = :now WHERE is_current", now=happenings.now
        )
    make_view_before(catalogue.context)
    tick.add_up(catalogue.context)
    keep_all(happenings)
    assert stale(catalogue) == []
    return happenings


def stale(catalogue: Catalogue) -> list[int]:
    """Return the numbers of the videos with swaps that are to be reckoned."""
    found = catalogue.sql("SELECT video_id FROM kept_swaps WHERE is_stale ORDER BY 1")
    return [int(video.removeprefix("video_")) for (video,) in found]


def looked_through(happenings: Happenings) -> list[int]:
    tick.add_up(happenings.catalogue.context)
    with happenings.catalogue.context.transaction() as session:
        kept_swaps.take_notes(session, most=99, now=happenings.now)
    return stale(happenings.catalogue)


def the_view_is_right(catalogue: Catalogue) -> bool:
    ours, theirs = both(catalogue)
    return ours == theirs and len(ours) >= 3


def test_a_swap_has_only_those_reckoned_again_that_it_was_beside(swapped: Happenings):
    swapped.catalogue.show(swapped.ids[4], 99, now=swapped.now)
    assert looked_through(swapped) == [2, 4]
    assert the_view_is_right(swapped.catalogue)


def test_new_counts_have_a_swap_reckoned_again_hourly_at_most(swapped: Happenings):
    catalogue = swapped.catalogue
    tick.keep_swaps(catalogue.context)
    for minutes in (0, 20, 20):
        swapped.now += timedelta(minutes=minutes)
        swapped.count(swapped.ids, swapped.now, swapped.now)
        assert looked_through(swapped) == [2]
        # Once an hour has passed since it was kept by the fixture.
        tick.keep_swap(catalogue.context)
        assert the_view_is_right(catalogue)
    assert stale(catalogue) == [2]
    swapped.now += timedelta(minutes=30)
    assert tick.keep_swap(catalogue.context)
    assert stale(catalogue) == []
    assert the_view_is_right(catalogue)


def test_nobody_waits_for_who_reckons_and_what_changed_meanwhile_is_not_kept(swapped: Happenings):
    catalogue, context = swapped.catalogue, swapped.catalogue.context
    swapped.now += 2 * kept_swaps.AGAIN
    swapped.count(swapped.ids[:5], swapped.now, swapped.now)
    assert looked_through(swapped) == [2]
    with context.transaction() as session:
        claimed = kept_swaps.claim(session, now=swapped.now)
    assert claimed is not None
    with context.transaction() as session:
        found = kept_swaps.read(session, claimed, at_most=timedelta(minutes=1))
        swapped.count(swapped.ids, swapped.now + DAY, swapped.now + DAY)
        with context.transaction() as other:
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            assert counted.add_up(other, batches=99)
    with context.transaction() as session:
        assert not kept_swaps.keep(session, claimed, found, now=swapped.now)
    assert stale(catalogue) == [2]
    assert tick.keep_swap(context)
    assert the_view_is_right(catalogue)


def test_a_swap_that_takes_too_long_is_put_off_and_others_are_not(swapped: Happenings):
    catalogue, context = swapped.catalogue, swapped.catalogue.context
    for video in (3, 5):
        swapped.now += timedelta(seconds=1)
        catalogue.show(swapped.ids[video], 99, now=swapped.now)
    assert looked_through(swapped) == [3, 5]
    at_most = timedelta(milliseconds=50)
    with context.transaction() as other:
        turns.take_reckoning_turn(other)
        assert tick.keep_swap(context, at_most=at_most) is False
    swapped.now += timedelta(minutes=1)
    tick.keep_swaps(context, for_s=60)
    [left] = stale(catalogue)
    assert left in (3, 5)
    assert the_view_is_right(catalogue)
    swapped.now += kept_swaps.PUT_OFF
    assert tick.keep_swap(context)
    assert stale(catalogue) == []


def test_channels_take_turns_where_swaps_take_long(
    swapped: Happenings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tick, "SLOW_S", 0.0)
    catalogue = swapped.catalogue
    # Of the one channel much is swapped all the time, of the other something a moment later.
    for video in (0, 2, 4, 6, 8):
        catalogue.show(swapped.ids[video], 7, now=swapped.now)
    looked_through(swapped)
    swapped.now += timedelta(milliseconds=1)
    catalogue.show(swapped.ids[7], 7, now=swapped.now)
    assert set(looked_through(swapped)) >= {0, 2, 4, 6, 7, 8}
    assert tick.keep_swap(catalogue.context)
    assert tick.keep_swap(catalogue.context)
    assert 7 not in stale(catalogue)
    assert len(stale(catalogue)) >= 4


def test_a_chore_rests_so_that_it_takes_its_share():
    [chore] = [one for one in tick.CHORES if one.do is tick.keep_swaps]
    assert chore.pause_s(0.1) == 10
    assert chore.pause_s(5.0) == pytest.approx(45)


def test_an_older_release_that_adds_up_or_drops_leaves_nothing_wrong(swapped: Happenings):
    catalogue = swapped.catalogue
    swapped.count(swapped.ids, swapped.now + DAY, swapped.now + DAY)
    swapped.add_up_as_before()
    assert the_view_is_right(catalogue)
    notes = "SELECT count(*) FROM swaps_to_keep"
    assert catalogue.sql(notes) == [(2,)]
    # It may do so for days.
    swapped.count(swapped.ids, swapped.now + 2 * DAY, swapped.now + 2 * DAY)
    swapped.add_up_as_before()
    assert catalogue.sql(notes) == [(2,)]
    keep_all(swapped)
    assert stale(catalogue) == []
    [(part,)] = catalogue.sql(
        "SELECT DISTINCT tableoid::regclass::text FROM video_snapshots WHERE slot = :slot",
        slot=NOW + 3 * DAY,
    )
    with owner_engine(catalogue.context) as engine, engine.begin() as connection:
        connection.execute(
            text(
                "DELETE FROM daily_counts WHERE kind = 'video.snapshot' "
                f"AND day IN (SELECT slot::date FROM {part})"
            )
        )
        connection.execute(text(f"DROP TABLE {part}"))
    assert the_view_is_right(catalogue)
    keep_all(swapped)
    assert the_view_is_right(catalogue)


def test_who_looks_through_what_was_collected_notes_nothing(swapped: Happenings):
    swapped.count(swapped.ids, swapped.now + DAY, swapped.now + DAY)
    tick.add_up(swapped.catalogue.context)
    assert swapped.catalogue.sql("SELECT count(*) FROM swaps_to_keep") == [(0,)]
