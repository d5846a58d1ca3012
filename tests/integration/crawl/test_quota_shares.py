"""Quota by purpose on real PostgreSQL: shares are kept, borrowed late, and never overdrawn."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from sqlalchemy import text

from db.session import make_engine, make_session_factory
from services.context import Context
from services.crawl.spending import spending
from services.errors import QuotaError, UsageError
from services.settings import Settings
from services.work import admission
from services.youtube.quota import (
    PURPOSES,
    DatabaseLedger,
    Shares,
    daily_limits,
    key_fingerprint,
    pacific_day,
    reset_at,
)
from tests.support.crawl import TurnableClock

NOON = datetime(2026, 7, 15, 19, 0, tzinfo=UTC)
RESET = datetime(2026, 7, 16, 7, 0, tzinfo=UTC)
LATE = datetime(2026, 7, 16, 1, 0, tzinfo=UTC)
EVEN = Shares(0.3, 0.6, 0.1)


@pytest.fixture
def sessions(context: Context):
    engine = make_engine(context.settings.database_url or "", pool_size=8)
    yield make_session_factory(engine)
    engine.dispose()


def ledger_of(sessions, clock, *, units, shares=EVEN, key="fingerprint1"):
    return DatabaseLedger(sessions.begin, key, daily_limits(units), clock, shares=shares)


def book(ledger, purpose, n, units=1, bucket="units"):
    """Book until it is refused; return how often it went and the refusal."""
    booked, own = 0, ledger.for_purpose(purpose)
    for _ in range(n):
        try:
            own.reserve(bucket, units)
        except QuotaError as error:
            return booked, error
        booked += 1
    return booked, None


def test_a_purpose_that_wants_everything_gets_its_share_until_late(sessions):
    clock = TurnableClock(NOON)
    ledger = ledger_of(sessions, clock, units=100)
    booked, refusal = book(ledger, "discovery", 200)
    assert booked == 30
    assert (refusal.reason, refusal.reset_at) == ("quotaShareUsed", LATE)
    assert book(ledger, "adHoc", 200)[0] == 10
    clock.now = LATE - timedelta(seconds=1)
    assert book(ledger, "discovery", 200)[0] == 0
    clock.now = LATE
    booked, refusal = book(ledger, "discovery", 200)
    assert booked == 60  # what statistics has not used would be lost at midnight
    assert (refusal.reason, refusal.reset_at) == ("quotaExceeded", RESET)
    assert book(ledger, "statistics", 1)[0] == 0
    clock.now = RESET
    assert book(ledger, "statistics", 200)[0] == 60


def test_what_is_kept_for_nobody_is_for_whoever_comes_first(sessions):
    ledger = ledger_of(sessions, TurnableClock(NOON), units=100, shares=Shares(0.2, 0.3, 0.0))
    assert book(ledger, "discovery", 200)[0] == 70
    assert book(ledger, "adHoc", 200)[0] == 0
    assert book(ledger, "statistics", 200)[0] == 30


def test_a_bucket_of_one_purpose_has_no_shares(sessions):
    ledger = ledger_of(sessions, TurnableClock(NOON), units=10)
    assert book(ledger, "statistics", 40, units=250, bucket="batchGetStats") == (40, None)


def test_what_youtube_calls_exhausted_is_closed_for_every_purpose(sessions):
    clock = TurnableClock(NOON)
    ledger = ledger_of(sessions, clock, units=100)
    ledger.for_purpose("discovery").exhausted("units", RESET)
    for purpose in PURPOSES:
        booked, refusal = book(ledger, purpose, 1)
        assert (booked, refusal.reset_at) == (0, RESET)
    clock.now = RESET
    assert book(ledger, "adHoc", 1)[0] == 1


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(
    limit=st.integers(0, 60),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    wants=st.lists(
        st.tuples(st.sampled_from(PURPOSES), st.integers(1, 3)), min_size=1, max_size=80
    ),
    late=st.booleans(),
)
def test_no_number_of_workers_overdraws_a_bucket_or_a_share(sessions, limit, cuts, wants, late):
    low, high = sorted(cuts)
    shares = Shares(low, high - low, 1 - high)
    clock = TurnableClock(LATE if late else NOON)
    key = uuid.uuid4().hex
    ledgers = {
        purpose: ledger_of(sessions, clock, units=limit, shares=shares, key=key).for_purpose(
            purpose
        )
        for purpose in PURPOSES
    }

    def want(purpose_and_units):
        purpose, units = purpose_and_units
        try:
            ledgers[purpose].reserve("units", units)
        except QuotaError:
            return (purpose, 0)
        return (purpose, units)

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(want, wants))
    booked: Counter[str] = Counter()
    for purpose, units in done:
        booked[purpose] += units
    with sessions() as session:
        rows = dict(
            session.execute(
                text("SELECT purpose, units FROM quota_usage WHERE key_fingerprint = :key"),
                {"key": key},
            ).all()
        )
    assert rows == {p: n for p, n in booked.items() if n}
    assert booked.total() <= limit
    kept = shares.kept(limit)
    if late:
        return
    assert booked.total() + sum(max(kept[p] - booked[p], 0) for p in PURPOSES) <= limit
    for (purpose, units), (_, got) in zip(wants, done, strict=True):
        # Nobody is refused within its own share.
        assert got or booked[purpose] + units > kept[purpose]


starts = st.sampled_from(
    # The days on which daylight saving begins and ends, and one in between.
    [datetime(2026, 3, 8, 8, tzinfo=UTC), datetime(2026, 11, 1, 7, tzinfo=UTC), NOON]
)


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(starts, st.lists(st.integers(0, 60 * 60), min_size=3, max_size=12), st.integers(1, 5))
def test_a_day_of_23_24_or_25_hours_holds_one_limit(sessions, start, minutes, limit):
    """Bookings at any moments of two and a half days: each Pacific day holds its own limit."""
    moments = sorted(start + timedelta(minutes=m) for m in minutes)
    key = uuid.uuid4().hex
    clock = TurnableClock(start)
    ledger = ledger_of(sessions, clock, units=limit, shares=None, key=key)
    expected: Counter[object] = Counter()
    for clock.now in moments:
        day = pacific_day(clock.now)
        booked, refusal = book(ledger, "adHoc", 1)
        assert booked == (expected[day] < limit)
        assert refusal is None or pacific_day(refusal.reset_at) == day + timedelta(days=1)
        expected[day] += booked
    assert max(expected.values()) <= limit


def spender(context: Context, now: datetime, **changes: object) -> Context:
    key = {"youtube_api_key": SecretStr("a-key")}
    return Context(context.settings.model_copy(update=key | changes), TurnableClock(now))


def test_what_was_spent_is_shown_by_bucket_purpose_and_day(context: Context, sessions):
    clock = TurnableClock(NOON - timedelta(days=1))
    ledger = ledger_of(sessions, clock, units=100, key=key_fingerprint("a-key"))
    book(ledger, "discovery", 4)
    ledger.exhausted("units", reset_at(clock.now))
    clock.now = NOON
    book(ledger, "discovery", 2)
    book(ledger, "statistics", 3)
    book(ledger, "statistics", 5, bucket="batchGetStats")
    own = spender(context, NOON, youtube_daily_units=100)
    shown = spending(own)
    own.close()
    today, stats = shown.buckets
    assert (today.units, today.limit, today.exhausted_at) == (5, 100, None)
    assert today.purposes == {"discovery": 2, "statistics": 3, "adHoc": 0}
    assert today.kept == {"discovery": 30, "statistics": 60, "adHoc": 10}
    assert (stats.bucket, stats.units, stats.limit) == ("batchGetStats", 5, 10_000)
    assert (shown.reset_at, shown.shares_end_at) == (RESET, LATE)
    assert [(d.bucket, d.units, d.exhausted) for d in shown.days] == [
        ("units", 5, False),
        ("batchGetStats", 5, False),
        ("units", 4, True),
    ]
    assert shown.as_json()["reset_at"] == "2026-07-16T07:00:00+00:00"


def test_work_whose_share_is_used_is_not_even_claimed(context: Context, sessions):
    ledger = ledger_of(sessions, TurnableClock(NOON), units=100, key=key_fingerprint("a-key"))
    book(ledger, "discovery", 200)
    own = spender(context, NOON, youtube_daily_units=100)

    def closed(now):
        with sessions() as session:
            return {k: g.until for k, g in admission.blocked_work(own, session, now=now).items()}

    assert closed(NOON) == {"channel.discover": LATE}
    assert closed(LATE) == {}
    book(ledger, "statistics", 200)
    # Counts have a bucket of their own as well.
    assert closed(NOON) == {"channel.discover": LATE, "channel.snapshot": LATE}
    own.close()


def test_without_a_key_there_is_no_quota_to_show(context: Context):
    with pytest.raises(UsageError, match="no YouTube API key"):
        spending(context)


def test_shares_beyond_the_whole_are_refused():
    with pytest.raises(ValidationError, match=r"add up to 1\.4"):
        Settings(quota_share_discovery=0.7)
