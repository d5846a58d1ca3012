"""What is counted for whoever watches: by index, and never more rows than a bound.

Asked every few seconds, so nothing here reads what grows from its beginning to its end.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.models import DriftReport, Job, ModelAlias, ModelVersion, Schedule

MOST_COUNTED = 10_000
"""Overdue items of a kind are counted up to here."""


@dataclass(frozen=True)
class OpenJobs:
    """Jobs of a kind that have not ended; ``oldest`` counts from when it was asked for or begun.

    Those that are paused, or wait until a moment that is known, count but are never the oldest.
    """

    kind: str
    state: str
    count: int
    oldest: datetime | None


def open_jobs(session: Session) -> list[OpenJobs]:
    """Return the jobs that are queued or running, by kind and state."""
    is_left_alone = Job.paused_at.is_not(None) | Job.waiting_until.is_not(None)
    since = func.min(func.coalesce(Job.started_at, Job.created_at)).filter(~is_left_alone)
    rows = session.execute(
        select(Job.kind, Job.state, func.count(), since)
        .where(Job.ready_at.is_not(None))
        .group_by(Job.kind, Job.state)
    )
    return [OpenJobs(kind, state, n, oldest) for kind, state, n, oldest in rows]


def jobs_failed(session: Session, *, since: datetime) -> dict[str, int]:
    """Return how many jobs failed since a moment, by kind."""
    rows = session.execute(
        select(Job.kind, func.count())
        .where(Job.state == "failed", Job.finished_at >= since)
        .group_by(Job.kind)
    )
    return {kind: n for kind, n in rows}  # noqa: C416 - a result has keys of its own


def overdue(session: Session, kinds: Collection[str], *, before: datetime) -> dict[str, int]:
    """Return how many items of each kind have been ready since before a moment, up to a bound."""
    rows = session.execute(
        text(
            """
            SELECT kinds.kind, n FROM unnest(CAST(:kinds AS text[])) AS kinds (kind)
            CROSS JOIN LATERAL (
                SELECT count(*) AS n FROM (
                    SELECT FROM work_items w
                    WHERE w.kind = kinds.kind AND w.ready_at < :before
                      AND w.ready_at IS NOT NULL AND NOT w.is_held
                    LIMIT :most
                ) AS first_ones
            ) AS counted
            """
        ),
        {"kinds": list(kinds), "before": before, "most": MOST_COUNTED},
    )
    return {kind: n for kind, n in rows}  # noqa: C416


def champions(session: Session) -> dict[str, datetime]:
    """Return when the champion of each task was trained."""
    rows = session.execute(
        select(ModelAlias.task, ModelVersion.trained_at)
        .join(ModelVersion, ModelVersion.model_version_id == ModelAlias.model_version_id)
        .where(ModelAlias.alias == "champion")
    )
    return {task: at for task, at in rows}  # noqa: C416


def newest_trainings(session: Session) -> dict[str, datetime]:
    """Return when models of each task were last trained; there are some hundreds of them."""
    rows = session.execute(
        select(ModelVersion.task, func.max(ModelVersion.trained_at)).group_by(ModelVersion.task)
    )
    return {task: at for task, at in rows}  # noqa: C416


def newest_drift(session: Session) -> tuple[str, datetime] | None:
    """Return what the newest report found, and when; None if there is none."""
    row = session.execute(
        select(DriftReport.status, DriftReport.created_at)
        .order_by(DriftReport.drift_report_id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else (row[0], row[1])


def schedules(session: Session) -> list[tuple[str, str, datetime | None]]:
    """Return the schedules in use that are not paused: name, kind, and their next slot."""
    rows = session.execute(
        select(Schedule.name, Schedule.kind, Schedule.next_slot).where(
            Schedule.removed_at.is_(None), Schedule.paused_at.is_(None)
        )
    )
    return [(name, kind, slot) for name, kind, slot in rows]


def connections(session: Session) -> tuple[int, int]:
    """Return how many connections the server has, of all databases, and how many it admits."""
    n, most = session.execute(
        text(
            "SELECT sum(numbackends), current_setting('max_connections')::int FROM pg_stat_database"
        )
    ).one()
    return int(n), int(most)


def newest_sizes(session: Session) -> dict[str, int]:
    """Return the bytes of each kind as upkeep last measured them."""
    rows = session.execute(
        text(
            "SELECT kind, bytes FROM sizes WHERE measured_at = (SELECT max(measured_at) FROM sizes)"
        )
    )
    return {kind: n for kind, n in rows}  # noqa: C416
