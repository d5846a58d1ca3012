"""Champions and challengers: which model of a task is in use, and what was decided about it."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from db.models import ModelAlias, ModelVersion, Promotion
from db.queries.learning import current_scores

CHAMPION, CHALLENGER = "champion", "challenger"


def lock_task(session: Session, task: str) -> None:
    """Let nobody else decide about the champion of a task until the transaction ends."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('promotion:' || :task))"), {"task": task}
    )


def model_of(session: Session, *, task: str, alias: str = CHAMPION) -> ModelVersion | None:
    """Return the model version that has an alias, or None."""
    return session.scalars(
        select(ModelVersion)
        .join(ModelAlias, ModelAlias.model_version_id == ModelVersion.model_version_id)
        .where(ModelAlias.task == task, ModelAlias.alias == alias)
    ).one_or_none()


def aliases(session: Session) -> dict[int, list[str]]:
    """Return the aliases of each model version that has any."""
    found: dict[int, list[str]] = {}
    for row in session.scalars(select(ModelAlias).order_by(ModelAlias.alias)):
        found.setdefault(row.model_version_id, []).append(row.alias)
    return found


def set_alias(
    session: Session, *, task: str, alias: str, model_version_id: int, now: datetime
) -> None:
    """Give an alias to a model version of the task; whoever had it has it no more.

    What a new champion's ladder says of the pictures shown now is there to be read by the same
    transaction: the newest's is kept ready, an older one's is taken up.
    """
    kept = current_scores.models(session)
    values = {"model_version_id": model_version_id, "set_at": now}
    session.execute(
        insert(ModelAlias)
        .values(task=task, alias=alias, **values)
        .on_conflict_do_update(index_elements=["task", "alias"], set_=values)
    )
    current_scores.take_up(session, current_scores.models(session) - kept)


def champion_ladder(session: Session, *, task: str) -> list[ModelVersion]:
    """Return the champion with what was trained together with it, by rung; empty without one."""
    in_use = text("SELECT model_version_id FROM champion_ladders WHERE task = :task")
    ids = session.scalars(in_use, {"task": task}).all()
    return list(
        session.scalars(
            select(ModelVersion)
            .where(ModelVersion.model_version_id.in_(ids))
            .order_by(ModelVersion.rung)
        )
    )


def ladder_of(session: Session, version: ModelVersion) -> list[ModelVersion]:
    """Return what was trained together with a model version, itself among it, by rung.

    As the view ``champion_ladders`` does it for champions.
    """
    return list(
        session.scalars(
            select(ModelVersion)
            .ext(distinct_on(ModelVersion.rung))
            .where(
                ModelVersion.task == version.task,
                ModelVersion.dataset_id == version.dataset_id,
                ModelVersion.seed == version.seed,
                ModelVersion.code_version == version.code_version,
                ModelVersion.config == version.config,
                ModelVersion.job_id.is_not_distinct_from(version.job_id),
            )
            .order_by(
                ModelVersion.rung,
                func.abs(ModelVersion.model_version_id - version.model_version_id),
            )
        )
    )


def was_champion(session: Session, model_version_id: int) -> bool:
    """Tell whether a model version was ever made the champion."""
    statement = select(
        exists().where(
            Promotion.decision != "kept", Promotion.challenger_version_id == model_version_id
        )
    )
    return bool(session.scalar(statement))


def forget(session: Session, *, before: datetime) -> int:
    """Delete decisions from before a moment that no model challenged the champion; return how many.

    Those that name a challenger go with it, those that changed the champion stay.
    """
    statement = (
        delete(Promotion)
        .where(
            Promotion.decision == "kept",
            Promotion.challenger_version_id.is_(None),
            Promotion.decided_at < before,
        )
        .returning(Promotion.promotion_id)
    )
    return len(session.execute(statement).all())


def record(
    session: Session,
    *,
    task: str,
    decided_at: datetime,
    decision: str,
    champion_version_id: int | None,
    challenger_version_id: int | None,
    ground: str,
    reason: str,
    figures: dict[str, Any],
    job_id: uuid.UUID | None = None,
) -> Promotion:
    """Add a decision to the history."""
    row = Promotion(
        task=task,
        decided_at=decided_at,
        decision=decision,
        champion_version_id=champion_version_id,
        challenger_version_id=challenger_version_id,
        ground=ground,
        reason=reason,
        figures=figures,
        job_id=job_id,
    )
    session.add(row)
    session.flush()
    return row


def decision_of_job(session: Session, job_id: uuid.UUID) -> Promotion | None:
    """Return what a job decided, or None if it has not yet."""
    return session.scalars(select(Promotion).where(Promotion.job_id == job_id)).one_or_none()


def history(session: Session, *, task: str) -> Sequence[Promotion]:
    """Return all decisions about a task's champion, the oldest first."""
    return session.scalars(
        select(Promotion).where(Promotion.task == task).order_by(Promotion.promotion_id)
    ).all()
