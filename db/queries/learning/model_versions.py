"""Model versions by name."""

from collections.abc import Collection

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from db.models import LanguageScore, ModelVersion, Score


def model_version(session: Session, *, task: str, rung: str, version: int) -> ModelVersion | None:
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
