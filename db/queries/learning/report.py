"""What the report needs beyond the learning tables' own queries."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Channel, ModelVersion


def model_versions(session: Session, model_version_ids: Collection[int]) -> list[ModelVersion]:
    """Return those of the model versions that exist."""
    return list(
        session.scalars(
            select(ModelVersion).where(ModelVersion.model_version_id.in_(model_version_ids))
        )
    )


def channel_titles(session: Session, channel_ids: Collection[str]) -> dict[str, str | None]:
    """Return the titles of channels; None where it was never read."""
    rows = session.execute(
        select(Channel.channel_id, Channel.title).where(Channel.channel_id.in_(channel_ids))
    )
    return dict(rows.all())
