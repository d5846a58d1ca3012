"""How models compare."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Dataset, Evaluation, EvaluationMetric


def add(
    session: Session,
    *,
    dataset_id: str,
    job_id: uuid.UUID | None,
    created_at: datetime,
    n_videos: int,
    n_channels: int,
    sentence: str,
    detail: dict[str, Any],
    metrics: Sequence[Mapping[str, Any]],
) -> int:
    """Record a comparison and its figures; return its id."""
    row = Evaluation(
        dataset_id=dataset_id,
        job_id=job_id,
        created_at=created_at,
        n_videos=n_videos,
        n_channels=n_channels,
        sentence=sentence,
        detail=detail,
    )
    session.add(row)
    session.flush()
    session.execute(
        insert(EvaluationMetric).values(
            [{**m, "evaluation_id": row.evaluation_id} for m in metrics]
        )
    )
    return row.evaluation_id


def newest(session: Session, *, task: str) -> Evaluation | None:
    """Return the newest comparison of a task, or None."""
    return session.scalars(
        select(Evaluation)
        .join(Dataset, Dataset.dataset_id == Evaluation.dataset_id)
        .where(Dataset.task == task)
        .order_by(Evaluation.evaluation_id.desc())
        .limit(1)
    ).one_or_none()


def of_models(session: Session, model_version_ids: Mapping[str, int]) -> Evaluation | None:
    """Return the newest comparison of exactly these models, given by rung; or None."""
    return session.scalars(
        select(Evaluation)
        .where(Evaluation.detail["model_version_ids"] == dict(model_version_ids))
        .order_by(Evaluation.evaluation_id.desc())
        .limit(1)
    ).one_or_none()


def metrics_of(session: Session, ids: Sequence[int]) -> dict[int, dict[str, dict[str, float]]]:
    """Return each model version's figures with intervals, by metric, as it was last compared."""
    rows = session.execute(
        select(EvaluationMetric)
        .where(EvaluationMetric.model_version_id.in_(ids), EvaluationMetric.baseline == "")
        .order_by(EvaluationMetric.evaluation_id)
    ).scalars()
    found: dict[int, dict[str, dict[str, float]]] = {}
    for row in rows:
        assert row.model_version_id is not None
        interval = {"value": row.value, "low": row.low, "high": row.high}
        found.setdefault(row.model_version_id, {})[row.metric] = interval
    return found
