"""Trained models: versions of rungs."""

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, select, text
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from db.models import LanguageScore, ModelVersion, RungVersion, Score


def add(
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
    row = ModelVersion(
        rung=rung,
        version=_next_version(session, rung),
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


def _next_version(session: Session, rung: str) -> int:
    """Return a number that no model of the rung has or ever had."""
    # Two trainings may end at once; the lock makes the numbers follow each other.
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('model_versions:' || :r))"), {"r": rung}
    )
    given = (
        select(func.coalesce(func.max(ModelVersion.version), 0) + 1)
        .where(ModelVersion.rung == rung)
        .scalar_subquery()
    )
    row = insert(RungVersion).values(rung=rung, last_version=given)
    version: int = session.execute(
        row.on_conflict_do_update(
            index_elements=[RungVersion.rung],
            # A worker of an earlier release notes none.
            set_={
                "last_version": func.greatest(
                    RungVersion.last_version + 1, row.excluded.last_version
                )
            },
        ).returning(RungVersion.last_version)
    ).scalar_one()
    return version


def like(
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


def newest(session: Session, *, task: str) -> list[ModelVersion]:
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


def get(session: Session, *, task: str, rung: str, version: int) -> ModelVersion | None:
    """Return a version of a rung of a task, or None."""
    return session.scalars(
        select(ModelVersion).where(
            ModelVersion.task == task, ModelVersion.rung == rung, ModelVersion.version == version
        )
    ).one_or_none()


def versions_of(session: Session, rung: str) -> list[ModelVersion]:
    """Return all versions of a rung, the newest first. No two tasks have a rung of one name."""
    return list(
        session.scalars(
            select(ModelVersion)
            .where(ModelVersion.rung == rung)
            .order_by(ModelVersion.version.desc())
        )
    )


def by_ids(session: Session, ids: Collection[int]) -> dict[int, ModelVersion]:
    """Return model versions by id."""
    found = session.scalars(select(ModelVersion).where(ModelVersion.model_version_id.in_(ids)))
    return {version.model_version_id: version for version in found}


def all_versions(session: Session, *, task: str) -> list[ModelVersion]:
    """Return all model versions of a task, the newest training first."""
    return list(
        session.scalars(
            select(ModelVersion)
            .where(ModelVersion.task == task)
            .order_by(ModelVersion.trained_at.desc(), ModelVersion.rung)
        )
    )


def has_scores(session: Session, model_version_id: int) -> bool:
    """Tell whether a model version has scored anything."""
    return any(
        session.scalar(select(exists().where(table.model_version_id == model_version_id)))
        for table in (Score, LanguageScore)
    )
