"""Datasets, model versions, scores and evaluations."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from db.models import Dataset, Evaluation, EvaluationMetric, ModelVersion, Score
from db.models.learning import THUMBNAILS


def add_dataset(session: Session, values: Mapping[str, Any]) -> None:
    """Record a dataset; one with the same content is there already and stays as it is."""
    session.execute(insert(Dataset).values(**values).on_conflict_do_nothing())


def dataset(session: Session, dataset_id: str) -> Dataset | None:
    """Return a dataset, or None."""
    return session.get(Dataset, dataset_id)


def newest_dataset(session: Session) -> Dataset | None:
    """Return the dataset of thumbnails frozen last, or None."""
    return session.scalars(
        select(Dataset).where(Dataset.task == THUMBNAILS).order_by(Dataset.as_of.desc()).limit(1)
    ).one_or_none()


def datasets(session: Session, *, prefix: str = "") -> list[Dataset]:
    """Return the datasets of thumbnails whose id begins with ``prefix``, the newest first."""
    return list(
        session.scalars(
            select(Dataset)
            .where(
                Dataset.task == THUMBNAILS, Dataset.dataset_id.startswith(prefix, autoescape=True)
            )
            .order_by(Dataset.as_of.desc(), Dataset.dataset_id)
        )
    )


def add_model_version(
    session: Session,
    *,
    rung: str,
    dataset_id: str,
    job_id: uuid.UUID | None,
    trained_at: datetime,
    code_version: str,
    seed: int,
    config: dict[str, Any],
    files: dict[str, str],
    task: str,
) -> ModelVersion:
    """Record a trained rung of a task under the next version number of that rung."""
    # Two trainings may end at once; the lock makes the numbers follow each other.
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('model_versions:' || :r))"), {"r": rung}
    )
    version = session.scalar(
        select(func.coalesce(func.max(ModelVersion.version), 0) + 1).where(
            ModelVersion.rung == rung
        )
    )
    assert version is not None
    row = ModelVersion(
        rung=rung,
        version=version,
        dataset_id=dataset_id,
        job_id=job_id,
        trained_at=trained_at,
        code_version=code_version,
        seed=seed,
        config=config,
        files=files,
        task=task,
    )
    session.add(row)
    session.flush()
    return row


def model_versions_like(
    session: Session, *, dataset_id: str, seed: int, code_version: str, config: dict[str, Any]
) -> list[ModelVersion]:
    """Return the newest version of each rung that was trained in exactly this way."""
    return list(
        session.scalars(
            select(ModelVersion)
            .ext(distinct_on(ModelVersion.rung))
            .where(
                ModelVersion.dataset_id == dataset_id,
                ModelVersion.seed == seed,
                ModelVersion.code_version == code_version,
                ModelVersion.config == config,
            )
            .order_by(ModelVersion.rung, ModelVersion.version.desc())
        )
    )


def newest_model_versions(session: Session, *, task: str) -> list[ModelVersion]:
    """Return the newest version of every rung, all trained on the newest dataset they share."""
    newest = session.scalars(
        select(ModelVersion)
        .where(ModelVersion.task == task)
        .order_by(ModelVersion.trained_at.desc(), ModelVersion.rung)
        .limit(1)
    ).one_or_none()
    if newest is None:
        return []
    return list(
        session.scalars(
            select(ModelVersion)
            .ext(distinct_on(ModelVersion.rung))
            .where(ModelVersion.dataset_id == newest.dataset_id)
            .order_by(ModelVersion.rung, ModelVersion.version.desc())
        )
    )


def upsert_scores(session: Session, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write scores; one that exists for its video, thumbnail and model stays. Return how many."""
    if not rows:
        return 0
    statement = insert(Score).values(list(rows)).on_conflict_do_nothing().returning(Score.video_id)
    return len(session.execute(statement).all())


def scores_of(
    session: Session, *, model_version_ids: Collection[int]
) -> list[tuple[str, str, int, float, float]]:
    """Return (video_id, thumbnail_sha256, model_version_id, probability, log10) of models."""
    statement = select(
        Score.video_id,
        Score.thumbnail_sha256,
        Score.model_version_id,
        Score.probability_over,
        Score.log10_views_per_day,
    ).where(Score.model_version_id.in_(model_version_ids))
    return [(v, t, m, p, y) for v, t, m, p, y in session.execute(statement)]


def fully_scored(session: Session, *, model_version_ids: Collection[int]) -> set[tuple[str, str]]:
    """Return the (video_id, thumbnail_sha256) that have a score of every one of the models."""
    rows = session.execute(
        select(Score.video_id, Score.thumbnail_sha256)
        .where(Score.model_version_id.in_(model_version_ids))
        .group_by(Score.video_id, Score.thumbnail_sha256)
        .having(func.count() == len(set(model_version_ids)))
    )
    return {(video, picture) for video, picture in rows}


def add_evaluation(
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


def newest_evaluation(session: Session, *, task: str) -> Evaluation | None:
    """Return the newest comparison of a task, or None."""
    return session.scalars(
        select(Evaluation)
        .join(Dataset, Dataset.dataset_id == Evaluation.dataset_id)
        .where(Dataset.task == task)
        .order_by(Evaluation.evaluation_id.desc())
        .limit(1)
    ).one_or_none()


def evaluation_of(session: Session, model_version_ids: Mapping[str, int]) -> Evaluation | None:
    """Return the newest comparison of exactly these models, given by rung; or None."""
    return session.scalars(
        select(Evaluation)
        .where(Evaluation.detail["model_version_ids"] == dict(model_version_ids))
        .order_by(Evaluation.evaluation_id.desc())
        .limit(1)
    ).one_or_none()
