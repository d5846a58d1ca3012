"""Frozen datasets."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import Dataset
from db.models.learning import THUMBNAILS


def add(session: Session, values: Mapping[str, Any]) -> None:
    """Record a dataset; one with the same content is there already and stays as it is."""
    session.execute(insert(Dataset).values(**values).on_conflict_do_nothing())


def get(session: Session, dataset_id: str) -> Dataset | None:
    """Return a dataset, or None."""
    return session.get(Dataset, dataset_id)


def renew(session: Session, dataset_id: str, *, now: datetime) -> Dataset | None:
    """Note that a dataset was frozen again, so that it stays; return it, or None.

    Its pictures count as there again: who freezes it puts them back.
    """
    return session.scalars(
        update(Dataset)
        .where(Dataset.dataset_id == dataset_id)
        .values(used_at=now, pictures_purged_at=None)
        .returning(Dataset)
    ).one_or_none()


def newest(session: Session) -> Dataset | None:
    """Return the dataset of thumbnails frozen last, or None."""
    return session.scalars(
        select(Dataset).where(Dataset.task == THUMBNAILS).order_by(Dataset.as_of.desc()).limit(1)
    ).one_or_none()


def with_prefix(session: Session, *, prefix: str = "") -> list[Dataset]:
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
