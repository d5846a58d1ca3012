"""The quota ledger on real PostgreSQL."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from db.models import QuotaUsage
from db.session import make_engine, make_session_factory
from services.errors import QuotaError
from services.youtube.quota import DatabaseLedger, daily_limits, reset_at
from tests.support.embedded import session_stack

NOON = datetime(2026, 7, 15, 19, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with session_stack(tmp_path_factory.mktemp("ledger")) as endpoints:
        engine = make_engine(endpoints.database_url, pool_size=8)
        yield make_session_factory(engine)
        engine.dispose()


@pytest.fixture
def sessions(database):
    yield database
    with database.begin() as session:
        session.query(QuotaUsage).delete()


class Hands:
    """A clock one can turn."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Hands()


def ledger_of(sessions, clock, key="fingerprint1", **limits):
    return DatabaseLedger(sessions.begin, key, daily_limits() | limits, clock)


def rows(sessions):
    with sessions() as session:
        return {
            (row.key_fingerprint, row.bucket, row.pacific_day): row.units
            for row in session.scalars(select(QuotaUsage))
        }


def test_units_add_up_by_key_bucket_and_day(sessions, clock):
    ledger = ledger_of(sessions, clock)
    ledger.reserve("units", 1)
    ledger.reserve("units", 2)
    ledger.reserve("search", 1)
    ledger_of(sessions, clock, "fingerprint2").reserve("units", 1)
    day = date(2026, 7, 15)
    assert rows(sessions) == {
        ("fingerprint1", "units", day): 3,
        ("fingerprint1", "search", day): 1,
        ("fingerprint2", "units", day): 1,
    }


def test_the_limit_can_be_reached_and_not_passed(sessions, clock):
    ledger = ledger_of(sessions, clock, units=5)
    ledger.reserve("units", 5)
    with pytest.raises(QuotaError) as caught:
        ledger.reserve("units", 1)
    assert caught.value.reset_at == reset_at(NOON)
    assert set(rows(sessions).values()) == {5}


@pytest.mark.parametrize("limit", [0, 3])
def test_the_first_booking_of_a_day_is_held_to_the_limit_too(sessions, clock, limit):
    with pytest.raises(QuotaError):
        ledger_of(sessions, clock, units=limit).reserve("units", 4)
    assert not rows(sessions)


def test_a_new_pacific_day_starts_from_nothing(sessions, clock):
    ledger = ledger_of(sessions, clock, units=1)
    ledger.reserve("units", 1)
    clock.now = reset_at(NOON) - timedelta(seconds=1)
    with pytest.raises(QuotaError):
        ledger.reserve("units", 1)
    clock.now = reset_at(NOON)
    ledger.reserve("units", 1)
    assert len(rows(sessions)) == 2


@pytest.mark.parametrize("booked_before", [True, False])
def test_what_youtube_calls_exhausted_is_closed_for_the_day_only(sessions, clock, booked_before):
    ledger = ledger_of(sessions, clock)
    if booked_before:
        ledger.reserve("units", 1)
    ledger.exhausted("units", reset_at(NOON))
    ledger.exhausted("units", reset_at(NOON))
    with pytest.raises(QuotaError):
        ledger.reserve("units", 1)
    ledger.reserve("batchGetStats", 1)
    clock.now = reset_at(NOON)
    ledger.reserve("units", 1)


def test_workers_that_book_at_once_never_pass_the_limit(sessions, clock):
    ledger = ledger_of(sessions, clock, units=50)

    def book(_):
        try:
            ledger.reserve("units", 1)
        except QuotaError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        booked = sum(pool.map(book, range(120)))
    assert booked == 50
    assert set(rows(sessions).values()) == {50}


BOOKING = """
import sys
from datetime import UTC, datetime
from db.session import make_engine, make_session_factory
from services.youtube.quota import DatabaseLedger, daily_limits
sessions = make_session_factory(make_engine(sys.argv[1]))
ledger = DatabaseLedger(sessions.begin, "fingerprint1", daily_limits() | {"units": 10**9},
                        lambda: datetime(2026, 7, 15, 19, tzinfo=UTC))
ledger.reserve("units", 1)
print("books", flush=True)
while True:
    ledger.reserve("units", 1)
"""


def test_a_frozen_worker_holds_up_no_booking(sessions, clock):
    url = sessions.kw["bind"].url.render_as_string(hide_password=False)
    own = ledger_of(sessions, clock, units=10**9)
    with subprocess.Popen(
        [sys.executable, "-c", BOOKING, url], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        try:
            assert worker.stdout.readline() == "books\n"
            for _ in range(40):
                # Wherever in its booking it happens to be.
                worker.send_signal(signal.SIGSTOP)
                own.reserve("units", 1)
                worker.send_signal(signal.SIGCONT)
        finally:
            worker.kill()


def test_who_stands_still_in_a_transaction_is_put_out_of_it(sessions):
    with sessions() as session:
        assert (
            session.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "30s"
        )
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
        session.execute(text("SELECT 1 FROM quota_usage FOR UPDATE"))
        mine = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with sessions() as other:
            gone = text("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = :pid)")
            while not other.execute(gone, {"pid": mine}).scalar_one():
                other.rollback()
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT 1"))
        session.invalidate()
