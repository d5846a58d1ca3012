"""The Data API's quota: buckets, Pacific days, purposes, and the ledger that books each call."""

import hashlib
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, Protocol, Self
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from db.queries.work.quota import mark_exhausted, reserve_units, spent
from services.clock import Clock
from services.errors import QuotaError
from services.metrics.instruments import UNITS
from services.settings import Settings
from services.transactions import Transaction

Bucket = Literal["units", "search", "batchGetStats"]
Purpose = Literal["discovery", "statistics", "adHoc"]

PURPOSES: Final[tuple[Purpose, ...]] = ("discovery", "statistics", "adHoc")

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


@dataclass(frozen=True)
class Shares:
    """What each purpose may count on of the shared bucket, until late in the Pacific day.

    A share keeps the others out; it does not bind its owner, who may also take what is kept for
    nobody. In the last hours of the day nothing is kept any more: what is not used by then would
    be lost at midnight.

    Attributes:
        discovery: Share of the limit kept for finding videos, 0 to 1.
        statistics: Share kept for counts and facts.
        ad_hoc: Share kept for what people ask for by hand.
        late: How long before the reset the shares end.
    """

    discovery: float = 0.3
    statistics: float = 0.6
    ad_hoc: float = 0.1
    late: timedelta = timedelta(hours=6)

    def kept(self, limit: int) -> dict[str, int]:
        """Return the whole units kept for each purpose of a bucket of ``limit`` units."""
        shares = zip(PURPOSES, (self.discovery, self.statistics, self.ad_hoc), strict=True)
        # 0.29 * 100 is a hair under 29.
        return {purpose: int(share * limit + 1e-9) for purpose, share in shares}

    def end_at(self, now: datetime) -> datetime:
        """Return when the shares of the day of ``now`` end, in UTC."""
        return reset_at(now) - self.late


def shares(settings: Settings) -> Shares:
    """Return the shares that the operator has set."""
    return Shares(
        settings.quota_share_discovery,
        settings.quota_share_statistics,
        settings.quota_share_ad_hoc,
        timedelta(hours=settings.quota_late_hours),
    )


class QuotaLedger(Protocol):
    """Books units before they are spent."""

    def for_purpose(self, purpose: Purpose) -> Self:
        """Return this ledger, booking for ``purpose``."""

    def reserve(self, bucket: Bucket, units: int) -> None:
        """Book ``units``.

        Raises:
            QuotaError: fewer are left today; nothing was booked.
        """

    def exhausted(self, bucket: Bucket, reset_at: datetime) -> None:
        """Take YouTube's word that the bucket is empty until ``reset_at`` (UTC)."""


class DatabaseLedger:
    """The ledger all processes share: one row a key, bucket, Pacific day and purpose.

    Only the shared bucket has shares; the others serve one purpose each. Each booking is
    one statement, committed before the call it pays for: a worker killed in mid-call has spent its
    unit, and the ledger says so.
    """

    def __init__(
        self,
        transaction: Transaction,
        key_fingerprint: str,
        limits: Mapping[Bucket, int],
        clock: Clock,
        *,
        shares: Shares | None = None,
        purpose: Purpose = "adHoc",
    ) -> None:
        self._transaction = transaction
        self._key_fingerprint = key_fingerprint
        self._limits = limits
        self._clock = clock
        self._shares = shares
        self._purpose: Purpose = purpose

    def for_purpose(self, purpose: Purpose) -> Self:
        """Return this ledger, booking for ``purpose``."""
        other = copy(self)
        other._purpose = purpose  # noqa: SLF001  (our own copy)
        return other

    def reserve(self, bucket: Bucket, units: int) -> None:
        """Book ``units`` of ``bucket`` on today's row of this purpose.

        Raises:
            QuotaError: the bucket has fewer left, YouTube said that it is empty, or what is left
                is kept for other purposes; ``reset_at`` is when more may be had.
        """
        now = self._clock()
        kept = kept_units(self._shares, bucket, self._limits[bucket], now=now)
        with self._transaction() as session:
            # Committed by the database itself: whoever is frozen after it holds no lock.
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            booked = reserve_units(
                session,
                key_fingerprint=self._key_fingerprint,
                bucket=bucket,
                pacific_day=pacific_day(now),
                units=units,
                limit=self._limits[bucket],
                purpose=self._purpose,
                kept=kept,
            )
            is_share = booked is None and kept and not self._is_used_up(session, bucket, now)
        if is_share and self._shares is not None:
            raise share_error(bucket, self._purpose, self._shares.end_at(now))
        if booked is None:
            raise quota_error(bucket, reset_at(now))
        UNITS.add(units, bucket, self._purpose)

    def _is_used_up(self, session: Session, bucket: Bucket, now: datetime) -> bool:
        day = spent(session, key_fingerprint=self._key_fingerprint, pacific_day=pacific_day(now))
        used = day.get(bucket)
        return used is not None and (used.exhausted or used.units >= self._limits[bucket])

    def exhausted(self, bucket: Bucket, reset_at: datetime) -> None:
        """Close the bucket's row of the day that ends at ``reset_at``."""
        with self._transaction() as session:
            mark_exhausted(
                session,
                key_fingerprint=self._key_fingerprint,
                bucket=bucket,
                pacific_day=pacific_day(reset_at) - timedelta(days=1),
                now=self._clock(),
                purpose=self._purpose,
            )


def kept_units(
    shares: Shares | None, bucket: Bucket, limit: int, *, now: datetime
) -> dict[str, int]:
    """Return what is kept of a bucket for each purpose at this moment; nothing late in the day."""
    if shares is None or bucket != SHARED or now >= shares.end_at(now):
        return {}
    return shares.kept(limit)


def quota_error(bucket: str, reset: datetime) -> QuotaError:
    """Return the one way we say that a bucket is empty until ``reset`` (UTC)."""
    return QuotaError(
        f"The YouTube quota ({bucket}) is used up until {reset:%Y-%m-%d %H:%M} UTC.",
        reset_at=reset,
        hint="Crawling goes on by itself after that. Google grants more units on request.",
    )


def share_error(bucket: str, purpose: Purpose, end: datetime) -> QuotaError:
    """Return the one way we say that the rest of a bucket is kept for others until ``end``."""
    return QuotaError(
        f"The share of {purpose} in the YouTube quota ({bucket}) is used up until "
        f"{end:%Y-%m-%d %H:%M} UTC.",
        reset_at=end,
        reason="quotaShareUsed",
        hint="What others leave may be used then. `tubegrader quota` shows the shares.",
    )
