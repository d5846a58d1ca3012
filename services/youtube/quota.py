"""The Data API's quota: buckets, Pacific days, and the ledger that books before each call."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session, sessionmaker

from db.queries.quota import mark_exhausted, reserve_units
from services.clock import Clock
from services.errors import QuotaError

Bucket = Literal["units", "search", "batchGetStats"]

SHARED: Final[Bucket] = "units"
BATCH_STATS: Final[Bucket] = "batchGetStats"

_PACIFIC = ZoneInfo("America/Los_Angeles")


def pacific_day(now: datetime) -> date:
    """Return the day that ``now`` (with a time zone) is booked on: YouTube's day is Pacific."""
    return now.astimezone(_PACIFIC).date()


def reset_at(now: datetime) -> datetime:
    """Return the next Pacific midnight after ``now``, in UTC: 23, 24 or 25 hours a day."""
    tomorrow = pacific_day(now) + timedelta(days=1)
    return datetime.combine(tomorrow, time(), _PACIFIC).astimezone(UTC)


def daily_limits(shared_units: int = 10_000) -> dict[Bucket, int]:
    """Return the units a Pacific day by bucket; Google grants only the shared bucket more."""
    return {"units": shared_units, "search": 100, "batchGetStats": 10_000}


def key_fingerprint(api_key: str) -> str:
    """Return 12 hex digits that tell keys apart in the ledger without holding the key."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:12]


class QuotaLedger(Protocol):
    """Books units before they are spent."""

    def reserve(self, bucket: Bucket, units: int) -> None:
        """Book ``units``.

        Raises:
            QuotaError: fewer are left today; nothing was booked.
        """

    def exhausted(self, bucket: Bucket, reset_at: datetime) -> None:
        """Take YouTube's word that the bucket is empty until ``reset_at`` (UTC)."""


class DatabaseLedger:
    """The ledger all processes share: one row a key, bucket and Pacific day.

    Each booking is its own short transaction, committed before the call it pays for: a worker
    killed in mid-call has spent its unit, and the ledger says so.
    """

    def __init__(
        self,
        session_factory: sessionmaker[Session],
        key_fingerprint: str,
        limits: Mapping[Bucket, int],
        clock: Clock,
    ) -> None:
        self._session_factory = session_factory
        self._key_fingerprint = key_fingerprint
        self._limits = limits
        self._clock = clock

    def reserve(self, bucket: Bucket, units: int) -> None:
        """Book ``units`` of ``bucket`` on today's row.

        Raises:
            QuotaError: the bucket has fewer left, or YouTube said that it is empty.
        """
        now = self._clock()
        with self._session_factory.begin() as session:
            booked = reserve_units(
                session,
                key_fingerprint=self._key_fingerprint,
                bucket=bucket,
                pacific_day=pacific_day(now),
                units=units,
                limit=self._limits[bucket],
            )
        if booked is None:
            raise quota_error(bucket, reset_at(now))

    def exhausted(self, bucket: Bucket, reset_at: datetime) -> None:
        """Close the bucket's row of the day that ends at ``reset_at``."""
        with self._session_factory.begin() as session:
            mark_exhausted(
                session,
                key_fingerprint=self._key_fingerprint,
                bucket=bucket,
                pacific_day=pacific_day(reset_at) - timedelta(days=1),
                now=self._clock(),
            )


def quota_error(bucket: str, reset: datetime) -> QuotaError:
    """Return the one way we say that a bucket is empty until ``reset`` (UTC)."""
    return QuotaError(
        f"The YouTube quota ({bucket}) is used up until {reset:%Y-%m-%d %H:%M} UTC.",
        reset_at=reset,
        hint="Crawling goes on by itself after that. Google grants more units on request.",
    )
