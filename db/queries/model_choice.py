"""One model version among all."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import ModelVersion


def model_version(session: Session, *, task: str, rung: str, version: int) -> ModelVersion | None:
    """Return a version of a rung of a task, or None."""
    return session.scalars(
        select(ModelVersion).where(
            ModelVersion.task == task, ModelVersion.rung == rung, ModelVersion.version == version
        )
    ).one_or_none()
