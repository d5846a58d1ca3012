from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.youtube.quota import daily_limits, key_fingerprint, pacific_day, reset_at

seconds = st.integers(0, 4_000_000_000)  # from 1970 to 2096
moments = seconds.map(lambda second: datetime.fromtimestamp(second, UTC))


@pytest.mark.parametrize(
    ("now", "day", "reset"),
    [
        # Winter: UTC-8. Summer: UTC-7.
        ("2026-01-15T07:59:59+00:00", date(2026, 1, 14), "2026-01-15T08:00:00+00:00"),
        ("2026-01-15T08:00:00+00:00", date(2026, 1, 15), "2026-01-16T08:00:00+00:00"),
        ("2026-07-15T06:59:59+00:00", date(2026, 7, 14), "2026-07-15T07:00:00+00:00"),
        ("2026-07-15T07:00:00+00:00", date(2026, 7, 15), "2026-07-16T07:00:00+00:00"),
        # Daylight saving begins on 8 March and ends on 1 November 2026.
        ("2026-03-08T08:00:00+00:00", date(2026, 3, 8), "2026-03-09T07:00:00+00:00"),
        ("2026-11-01T07:00:00+00:00", date(2026, 11, 1), "2026-11-02T08:00:00+00:00"),
        # The day is the same whatever zone the clock speaks.
        ("2026-07-15T23:30:00+09:00", date(2026, 7, 15), "2026-07-16T07:00:00+00:00"),
    ],
)
def test_the_quota_day_is_pacific(now, day, reset):
    moment = datetime.fromisoformat(now)
    assert pacific_day(moment) == day
    assert reset_at(moment) == datetime.fromisoformat(reset)


@given(moments)
def test_the_reset_is_the_first_moment_of_the_next_day(now):
    reset = reset_at(now)
    assert reset.tzinfo is UTC
    assert timedelta() < reset - now <= timedelta(hours=25)
    assert pacific_day(reset) == pacific_day(now) + timedelta(days=1)
    assert pacific_day(reset - timedelta(microseconds=1)) == pacific_day(now)


@given(moments, moments)
def test_days_follow_time(earlier, later):
    earlier, later = sorted((earlier, later))
    assert pacific_day(earlier) <= pacific_day(later)
    assert reset_at(earlier) <= reset_at(later)


@given(moments)
def test_days_have_23_24_or_25_hours(now):
    day = reset_at(reset_at(now)) - reset_at(now)
    assert day in {timedelta(hours=hours) for hours in (23, 24, 25)}


def test_the_fingerprint_tells_keys_apart_and_does_not_hold_them():
    assert key_fingerprint("secret-one") != key_fingerprint("secret-two")
    assert len(key_fingerprint("secret-one")) == 12
    assert "secret" not in key_fingerprint("secret-one")


def test_only_the_shared_bucket_follows_the_setting():
    assert daily_limits(50_000) == {"units": 50_000, "search": 100, "batchGetStats": 10_000}
