"""Booking quota units: one atomic statement, whatever number of workers book at once."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import QuotaUsage


@dataclass(frozen=True)
class Spent:
    """What was booked on a bucket in a day, and whether YouTube says that it is empty."""

    units: int
    exhausted: bool


def reserve_units(
    session: Session,
    *,
    key_fingerprint: str,
    bucket: str,
    pacific_day: date,
    units: int,
    limit: int,
) -> int | None:
    """Book ``units`` if the day's total stays within ``limit`` and the bucket is not exhausted.

    Returns:
        The day's total after the booking, or None where nothing was booked.
    """
    if units > limit:  # the first booking of a day has no row to compare with
        return None
    booking = insert(QuotaUsage).values(
        key_fingerprint=key_fingerprint, bucket=bucket, pacific_day=pacific_day, units=units
    )
    total = QuotaUsage.units + booking.excluded.units
    statement = booking.on_conflict_do_update(
        index_elements=[QuotaUsage.key_fingerprint, QuotaUsage.bucket, QuotaUsage.pacific_day],
        set_={"units": total},
        where=(total <= limit) & QuotaUsage.exhausted_at.is_(None),
    ).returning(QuotaUsage.units)
    return session.execute(statement).scalar_one_or_none()


def mark_exhausted(
    session: Session, *, key_fingerprint: str, bucket: str, pacific_day: date, now: datetime
) -> None:
    """Close a bucket for a day because YouTube says it is empty; the first moment is kept."""
    statement = insert(QuotaUsage).values(
        key_fingerprint=key_fingerprint,
        bucket=bucket,
        pacific_day=pacific_day,
        units=0,
        exhausted_at=now,
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[QuotaUsage.key_fingerprint, QuotaUsage.bucket, QuotaUsage.pacific_day],
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
