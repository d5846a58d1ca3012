"""Booking quota units: never more than the limit, whatever number of workers book at once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import QuotaPlan, QuotaUsage

_KEY = ("key_fingerprint", "bucket", "pacific_day", "purpose")


@dataclass(frozen=True)
class Spent:
    """What was booked on a bucket in a day, and whether YouTube says that it is empty."""

    units: int
    exhausted: bool


@dataclass(frozen=True)
class Booked:
    """What was booked on a bucket in a day for one purpose."""

    pacific_day: date
    bucket: str
    purpose: str
    units: int
    exhausted_at: datetime | None


def reserve_units(
    session: Session,
    *,
    key_fingerprint: str,
    bucket: str,
    pacific_day: date,
    units: int,
    limit: int,
    purpose: str = "adHoc",
    kept: Mapping[str, int] | None = None,
) -> int | None:
    """Book ``units`` for a purpose, if they fit and the bucket is not exhausted.

    They fit if the day's total stays within ``limit`` less what is kept for the other purposes
    and not used by them yet. One statement of the database's own function ``reserve_quota``: in a
    session in autocommit nobody waits for a process that is frozen in between; in a transaction
    the bookings of a bucket's day wait for its end.

    Args:
        session: A session in which nothing else is done.
        key_fingerprint: Which key.
        bucket: Which of its buckets.
        pacific_day: The day of the quota.
        units: How many.
        limit: The bucket's units a day.
        purpose: What they are for.
        kept: Units kept for each purpose; None keeps nothing for anybody.

    Returns:
        The day's total after the booking, or None where nothing was booked.
    """
    statement = text(
        "SELECT reserve_quota(:key, :bucket, :day, :purpose, :units, :limit, CAST(:kept AS jsonb))"
    )
    values = {
        "key": key_fingerprint,
        "bucket": bucket,
        "day": pacific_day,
        "purpose": purpose,
        "units": units,
        "limit": limit,
        "kept": json.dumps(dict(kept or {})),
    }
    total: int | None = session.execute(statement, values).scalar_one()
    return total


def held_back(booked: Mapping[str, int], kept: Mapping[str, int], *, purpose: str) -> int:
    """Return the units kept for others than ``purpose`` that those have not used yet.

    Args:
        booked: Units of the day by purpose.
        kept: Units kept by purpose.
        purpose: Who asks.
    """
    return sum(
        max(share - booked.get(other, 0), 0) for other, share in kept.items() if other != purpose
    )


def mark_exhausted(
    session: Session,
    *,
    key_fingerprint: str,
    bucket: str,
    pacific_day: date,
    now: datetime,
    purpose: str = "adHoc",
) -> None:
    """Close a bucket for a day because YouTube says it is empty; the first moment is kept.

    The whole bucket is closed; ``purpose`` says whose call found out.
    """
    statement = insert(QuotaUsage).values(
        key_fingerprint=key_fingerprint,
        bucket=bucket,
        pacific_day=pacific_day,
        purpose=purpose,
        units=0,
        exhausted_at=now,
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=_KEY,
            set_={"exhausted_at": func.coalesce(QuotaUsage.exhausted_at, now)},
        )
    )


def spent(session: Session, *, key_fingerprint: str, pacific_day: date) -> dict[str, Spent]:
    """Return what a key spent on a day, by bucket; those without a booking are left out."""
    rows = session.execute(
        select(
            QuotaUsage.bucket,
            func.sum(QuotaUsage.units),
            func.bool_or(QuotaUsage.exhausted_at.is_not(None)),
        )
        .where(QuotaUsage.key_fingerprint == key_fingerprint, QuotaUsage.pacific_day == pacific_day)
        .group_by(QuotaUsage.bucket)
    )
    return {bucket: Spent(int(units), exhausted) for bucket, units, exhausted in rows}


def forget(session: Session, *, before: date) -> int:
    """Delete what was booked on days before one; return how many rows there were."""
    statement = (
        delete(QuotaUsage).where(QuotaUsage.pacific_day < before).returning(QuotaUsage.bucket)
    )
    return len(session.execute(statement).all())


def booked_between(
    session: Session, *, key_fingerprint: str, first: date, last: date
) -> list[Booked]:
    """Return what a key spent on some days, both included, by day, bucket and purpose."""
    rows = session.execute(
        select(
            QuotaUsage.pacific_day,
            QuotaUsage.bucket,
            QuotaUsage.purpose,
            QuotaUsage.units,
            QuotaUsage.exhausted_at,
        )
        .where(
            QuotaUsage.key_fingerprint == key_fingerprint,
            QuotaUsage.pacific_day.between(first, last),
        )
        .order_by(QuotaUsage.pacific_day, QuotaUsage.bucket, QuotaUsage.purpose)
    )
    return [Booked(*row) for row in rows]


def note_plan(session: Session, units: Mapping[tuple[str, str], int], *, now: datetime) -> None:
    """Note what a day will cost, by bucket and purpose, in place of what was noted before."""
    session.execute(delete(QuotaPlan))
    rows = [
        {"bucket": bucket, "purpose": purpose, "units": n, "planned_at": now}
        for (bucket, purpose), n in units.items()
    ]
    if rows:
        session.execute(insert(QuotaPlan).values(rows))


def planned(session: Session) -> list[tuple[str, str, int]]:
    """Return what was noted last: bucket, purpose and units."""
    rows = session.execute(select(QuotaPlan.bucket, QuotaPlan.purpose, QuotaPlan.units))
    return [(bucket, purpose, units) for bucket, purpose, units in rows]
