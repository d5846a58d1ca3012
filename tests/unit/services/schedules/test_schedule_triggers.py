"""When schedules are due: cron in zones with odd clocks, intervals, and looking back."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import UsageError
from services.schedules.names import checked_name, length_text, parse_length
from services.schedules.triggers import (
    Cron,
    Interval,
    checked,
    last_fire_time,
    next_fire_time,
    next_fire_times,
)

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Los_Angeles",
    "Australia/Lord_Howe",  # goes forward by half an hour
    "Africa/Cairo",
    "America/Havana",  # goes back at midnight
    "Asia/Kathmandu",
    "Pacific/Apia",  # left out a whole day in 2011
)
starts = st.datetimes(
    min_value=datetime(2011, 1, 1),  # noqa: DTZ001 (hypothesis adds the zone)
    max_value=datetime(2032, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
# Near the changes of clocks, where it matters.
changes = st.sampled_from(
    [
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 1, tzinfo=UTC),
        datetime(2026, 3, 8, 10, tzinfo=UTC),
        datetime(2026, 11, 1, 9, tzinfo=UTC),
        datetime(2026, 4, 4, 15, tzinfo=UTC),
        datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
        datetime(2011, 12, 30, 10, tzinfo=UTC),
    ]
)
near_changes = st.builds(
    lambda change, minutes: change + timedelta(minutes=minutes),
    changes,
    st.integers(-2000, 200),
)
fixed_minutes = st.lists(st.integers(0, 59), min_size=1, max_size=3).map(
    lambda m: ",".join(map(str, sorted(set(m))))
)
fixed_hours = st.lists(st.integers(0, 23), min_size=1, max_size=4).map(
    lambda h: ",".join(map(str, sorted(set(h))))
)
fixed_times = st.builds(lambda m, h: f"{m} {h} * * *", fixed_minutes, fixed_hours)
rolling = st.sampled_from(["*/15 * * * *", "7 * * * *", "*/20 */2 * * *", "* 2 * * *"])
zones = st.sampled_from(ZONES)


def exists(local: datetime) -> bool:
    """Whether clocks show this wall time at all that day."""
    back = local.astimezone(UTC).astimezone(local.tzinfo)
    return back.replace(tzinfo=None) == local.replace(tzinfo=None)


@given(st.one_of(fixed_times, rolling), zones, st.one_of(starts, near_changes))
def test_cron_slots_strictly_increase_and_none_comes_twice(expression, zone, start):
    slots = next_fire_times(Cron(expression, zone), start, 60)
    assert slots[0] > start
    assert all(a < b for a, b in pairwise(slots))
    assert all(slot.tzinfo is UTC for slot in slots)


@given(fixed_times, zones, st.one_of(starts, near_changes))
def test_a_fixed_time_comes_once_a_day_or_at_the_end_of_the_gap(expression, zone, start):
    minutes, hours = ({int(x) for x in field.split(",")} for field in expression.split()[:2])
    slots = next_fire_times(Cron(expression, zone), start, 60)
    seen = set()
    for slot in slots:
        local = slot.astimezone(ZoneInfo(zone))
        wall = local.replace(tzinfo=None, fold=0)
        assert wall not in seen
        seen.add(wall)
        if local.hour not in hours or local.minute not in minutes:
            # Only where the clock has just gone forward: the moment before is another wall time.
            before = (slot - timedelta(minutes=1)).astimezone(ZoneInfo(zone))
            gap = wall - before.replace(tzinfo=None)
            assert gap > timedelta(minutes=1)


@given(fixed_times, zones, near_changes)
def test_every_time_of_a_day_that_exists_has_its_slot(expression, zone, start):
    tz = ZoneInfo(zone)
    minutes, hours = ({int(x) for x in field.split(",")} for field in expression.split()[:2])
    end = start + timedelta(days=4)
    slots = {s for s in next_fire_times(Cron(expression, zone), start, 60) if s <= end}
    day = start.astimezone(tz).date() + timedelta(days=1)
    while day < end.astimezone(tz).date():
        for hour in hours:
            for minute in minutes:
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=tz)
                if exists(local):
                    assert local.astimezone(UTC) in slots
        day += timedelta(days=1)


def test_a_time_that_does_not_exist_comes_at_the_end_of_the_gap():
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    slots = next_fire_times(Cron("30 2 * * *", "Europe/Berlin"), before, 3)
    assert slots == [
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC),  # 03:00 in Berlin; 02:30 is not
        datetime(2026, 3, 30, 0, 30, tzinfo=UTC),
        datetime(2026, 3, 31, 0, 30, tzinfo=UTC),
    ]


def test_a_time_that_comes_twice_is_taken_once():
    before = datetime(2026, 10, 24, 12, tzinfo=UTC)
    slots = next_fire_times(Cron("30 2 * * *", "Europe/Berlin"), before, 2)
    assert slots == [
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 26, 1, 30, tzinfo=UTC),
    ]
    between = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # in the hour that comes again
    assert next_fire_time(Cron("30 2 * * *", "Europe/Berlin"), between) == slots[1]


def test_every_quarter_of_an_hour_follows_the_time_that_passes():
    start = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    slots = next_fire_times(Cron("*/15 * * * *", "Europe/Berlin"), start, 12)
    assert [b - a for a, b in pairwise(slots)] == [timedelta(minutes=15)] * 11


@given(st.integers(60, 10**7), starts, st.integers(0, 10**8))
def test_interval_slots_lie_on_the_grid_of_their_anchor(seconds, anchor, later):
    trigger = Interval(seconds, anchor)
    start = anchor + timedelta(seconds=later)
    slots = next_fire_times(trigger, start, 3)
    assert start < slots[0] <= start + timedelta(seconds=seconds)
    assert all((slot - anchor) % timedelta(seconds=seconds) == timedelta(0) for slot in slots)
    assert next_fire_times(trigger, slots[0], 1) == [slots[1]]


@given(st.one_of(fixed_times, rolling), zones, near_changes, st.integers(1, 4000))
def test_looking_back_finds_the_newest_slot_that_has_come(expression, zone, start, minutes):
    trigger = Cron(expression, zone)
    first = next_fire_times(trigger, start, 1)[0]
    now = first + timedelta(minutes=minutes)
    one_by_one = first
    while (after := next_fire_time(trigger, one_by_one)) is not None and after <= now:
        one_by_one = after
    assert last_fire_time(trigger, first, now) == one_by_one


def test_looking_back_over_a_year_of_minutes_is_no_long_walk():
    trigger = Cron("* * * * *", "Europe/Berlin")
    first = datetime(2024, 1, 1, tzinfo=UTC)
    now = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert last_fire_time(trigger, first, now) == now.replace(second=0)
    leap = Cron("0 0 29 2 *", "UTC")
    assert last_fire_time(leap, datetime(2024, 2, 29, tzinfo=UTC), now).year == 2024


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "* * * * * *", "60 * * * *", "a b c d e", "*/0 * * * *", "5-1 * * * *",
     "0 0 30 2 *", "0 0 * * 9", "0 0 L-3 * *", "-1 * * * *", "0 0 LW,5-L * *"],
)  # fmt: skip
def test_what_is_no_cron_is_refused_in_words(expression):
    with pytest.raises(UsageError):
        checked(Cron(expression, "UTC"), now=datetime(2026, 1, 1, tzinfo=UTC))


@given(st.text(alphabet="0123456789*/,-#LW SUNJA", max_size=24))
def test_whatever_is_typed_is_a_trigger_or_refused(text):
    try:
        found = checked(Cron(text, "UTC"), now=datetime(2026, 1, 1, tzinfo=UTC))
    except UsageError:
        return
    assert next_fire_time(found, datetime(2026, 1, 1, tzinfo=UTC)) is not None


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "../../etc/passwd", "/etc/passwd", "\0"])
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(UsageError, match="no time zone"):
        checked(Cron("0 0 * * *", zone), now=datetime(2026, 1, 1, tzinfo=UTC))


@given(st.integers(1, 10**8))
def test_lengths_are_said_as_they_are_read(seconds):
    assert parse_length(length_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "6", "h", "-1h", "1.5h", "6y", "99999999w", "٣h"])
def test_what_is_no_length_is_refused(text):
    with pytest.raises(UsageError):
        parse_length(text)


@pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a" * 64, "a/b", "ä"])
def test_what_cannot_be_a_name_is_refused(name):
    with pytest.raises(UsageError):
        checked_name(name)
