"""What the quota was spent on, for people: today by bucket and purpose, and the days before."""

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from db.queries.work.quota import Booked, booked_between
from services.context import Context
from services.errors import UsageError
from services.youtube.quota import (
    BATCH_STATS,
    PURPOSES,
    SHARED,
    daily_limits,
    key_fingerprint,
    pacific_day,
    reset_at,
    shares,
)


@dataclass(frozen=True)
class BucketUse:
    """One bucket today.

    Attributes:
        bucket: Its name.
        units: Booked, for whatever purpose.
        limit: Units a Pacific day.
        exhausted_at: When YouTube itself said that it is empty.
        purposes: Units booked for each purpose.
        kept: Units kept for each purpose until the shares end; empty where nothing is.
    """

    bucket: str
    units: int
    limit: int
    exhausted_at: datetime | None
    purposes: dict[str, int]
    kept: dict[str, int]


@dataclass(frozen=True)
class DayUse:
    """Units booked on a bucket on one Pacific day, and for each purpose."""

    pacific_day: date
    bucket: str
    units: int
    purposes: dict[str, int]
    exhausted: bool


@dataclass(frozen=True)
class Spending:
    """The quota of one key.

    Attributes:
        pacific_day: Today, in YouTube's time zone.
        reset_at: When the next day begins, in UTC.
        shares_end_at: From when on nothing is kept for any purpose, in UTC.
        buckets: Today's use.
        days: The last days, newest first, today among them.
    """

    pacific_day: date
    reset_at: datetime
    shares_end_at: datetime
    buckets: tuple[BucketUse, ...]
    days: tuple[DayUse, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``; the reset in local time as well."""
        return {
            **asdict(self),
            "reset_at": self.reset_at.isoformat(),
            "reset_at_local": self.reset_at.astimezone().isoformat(),
            "shares_end_at": self.shares_end_at.isoformat(),
        }


def spending(context: Context, *, days: int = 7) -> Spending:
    """Return what the key in use has spent, today and in the last ``days`` days.

    Raises:
        UsageError: No key is set.
    """
    key = context.settings.youtube_api_key
    if key is None:
        raise UsageError(
            "no YouTube API key is set, so there is no quota",
            reason="keyMissing",
            hint="export TUBEGRADER_YOUTUBE_API_KEY=…; the README tells how to get one",
        )
    now = context.clock()
    today = pacific_day(now)
    with context.transaction() as session:
        booked = booked_between(
            session,
            key_fingerprint=key_fingerprint(key.get_secret_value()),
            first=today - timedelta(days=days - 1),
            last=today,
        )
    own = shares(context.settings)
    limits = daily_limits(context.settings.youtube_daily_units)
    return Spending(
        pacific_day=today,
        reset_at=reset_at(now),
        shares_end_at=own.end_at(now),
        buckets=tuple(
            _bucket(
                bucket,
                limits[bucket],
                [row for row in booked if (row.pacific_day, row.bucket) == (today, bucket)],
                own.kept(limits[bucket]) if bucket == SHARED and now < own.end_at(now) else {},
            )
            for bucket in (SHARED, BATCH_STATS)
        ),
        days=tuple(_days(booked)),
    )


def _bucket(bucket: str, limit: int, rows: list[Booked], kept: dict[str, int]) -> BucketUse:
    ended = [row.exhausted_at for row in rows if row.exhausted_at is not None]
    return BucketUse(
        bucket=bucket,
        units=sum(row.units for row in rows),
        limit=limit,
        exhausted_at=min(ended, default=None),
        purposes=_by_purpose(rows),
        kept=kept,
    )


def _days(booked: list[Booked]) -> list[DayUse]:
    accounts = sorted({(row.pacific_day, row.bucket) for row in booked}, reverse=True)
    found = []
    for day, bucket in accounts:
        rows = [row for row in booked if (row.pacific_day, row.bucket) == (day, bucket)]
        units = sum(row.units for row in rows)
        ended = any(row.exhausted_at is not None for row in rows)
        found.append(DayUse(day, bucket, units, _by_purpose(rows), ended))
    return found


def _by_purpose(rows: list[Booked]) -> dict[str, int]:
    return {p: sum(row.units for row in rows if row.purpose == p) for p in PURPOSES}
