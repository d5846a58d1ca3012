"""Reports on drift."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import DriftColumn, DriftReport


def add(session: Session, values: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> int:
    """Record a report with its columns; return its id."""
    report = DriftReport(**values)
    session.add(report)
    session.flush()
    if columns:
        rows = [{**column, "drift_report_id": report.drift_report_id} for column in columns]
        session.execute(insert(DriftColumn).values(rows))
    return report.drift_report_id


def newest(session: Session) -> DriftReport | None:
    """Return the newest report, or None."""
    return session.scalars(
        select(DriftReport).order_by(DriftReport.drift_report_id.desc()).limit(1)
    ).one_or_none()


def of_job(session: Session, job_id: uuid.UUID) -> DriftReport | None:
    """Return the report that a job made, or None."""
    return session.scalars(select(DriftReport).where(DriftReport.job_id == job_id)).one_or_none()


def forget(session: Session, *, before: datetime) -> int:
    """Delete the reports from before a moment, with what they compared; return how many."""
    statement = (
        delete(DriftReport)
        .where(DriftReport.created_at < before)
        .returning(DriftReport.drift_report_id)
    )
    return len(session.execute(statement).all())


def columns(session: Session, drift_report_id: int) -> list[DriftColumn]:
    """Return what a report compared: what drifted first, then by how near each is to it."""
    found = session.scalars(
        select(DriftColumn).where(DriftColumn.drift_report_id == drift_report_id)
    ).all()
    return sorted(found, key=lambda each: (not each.is_drifted, each.p_value, each.name))


def alarms(session: Session, *, since: datetime) -> Sequence[DriftReport]:
    """Return the reports since a moment that found drift, the oldest first."""
    return session.scalars(
        select(DriftReport)
        .where(DriftReport.status == "drift", DriftReport.created_at >= since)
        .order_by(DriftReport.drift_report_id)
    ).all()
