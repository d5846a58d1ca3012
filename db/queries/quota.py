"""Booking quota units: one atomic statement, whatever number of workers book at once."""

from datetime import date, datetime

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import QuotaUsage


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
