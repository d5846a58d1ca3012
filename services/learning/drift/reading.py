"""Reading reports on drift, without importing what makes them."""

from datetime import datetime
from typing import Any

from db.models import DriftColumn, DriftReport, ModelVersion
from db.queries.learning import drift as reports
from services.context import Context


def newest(context: Context) -> dict[str, Any] | None:
    """Return the newest report as JSON values, or None: what ``drift --json`` prints."""
    with context.transaction() as session:
        report = reports.newest(session)
        if report is None:
            return None
        columns = reports.columns(session, report.drift_report_id)
        champion = session.get_one(ModelVersion, report.model_version_id)
        return {
            **_values(report),
            "champion": {"rung": champion.rung, "version": champion.version},
            "columns": [_values(column) for column in columns],
        }


def _values(row: DriftReport | DriftColumn) -> dict[str, Any]:
    values = {column.key: getattr(row, column.key) for column in row.__table__.columns}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
        if name != "job_id"
    }
