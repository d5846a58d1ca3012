"""Decisions about a task's champion: made once, one at a time, and kept with their reason."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from db.models import ModelVersion, Promotion
from db.queries.learning import model_versions, promotions
from db.queries.learning.promotions import CHALLENGER, CHAMPION
from services.context import Context
from services.errors import PermanentError, TransientError

ROLLED_BACK = "rolledBack"


@dataclass(frozen=True)
class Decision:
    """What was decided of a challenger.

    Attributes:
        decision: ``promoted`` or ``kept`` (by an evaluation), ``byHand``, ``rolledBack``.
        ground: Why, as a stable word.
        reason: Why, in plain words.
        champion: Who was champion when it was decided; None: nobody.
        challenger: Who is champion now, unless the champion was kept; None: nobody was fit.
        figures: What it was decided by, JSON values.
    """

    decision: str
    ground: str
    reason: str
    champion: ModelVersion | None
    challenger: ModelVersion | None
    figures: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, without the figures."""
        return {
            "decision": self.decision,
            "ground": self.ground,
            "reason": self.reason,
            "champion": None if self.champion is None else name_of(self.champion),
            "challenger": None if self.challenger is None else name_of(self.challenger),
        }


def settled(
    champion: ModelVersion | None,
    challenger: ModelVersion | None,
    ladder: Sequence[ModelVersion],
    *,
    deposed: int | None,
    chosen_by: str,
    figures: dict[str, Any],
) -> Decision | None:
    """Return what needs no evaluation to be decided; None where one has to be made.

    Args:
        champion: Of the task.
        challenger: Of the newest models, if any is fit.
        ladder: The newest models.
        deposed: Whom the last decision took out of use by hand, if it did; see :func:`deposed_by`.
        chosen_by: By what the challenger was chosen, or why there is none; a sentence.
        figures: Those that it was chosen by.
    """

    def decided(decision: str, ground: str, reason: str) -> Decision:
        return Decision(decision, ground, reason, champion, challenger, figures)

    if challenger is None:
        return decided("kept", "notSound", f"{chosen_by} None of them challenges the champion.")
    if champion is None:
        return decided("promoted", "firstChampion", f"There was no champion yet. {chosen_by}")
    ids = {model.model_version_id for model in ladder}
    if champion.model_version_id in ids:
        reason = "Nothing was trained since the champion was."
        return Decision("kept", "sameTraining", reason, champion, None, figures)
    if deposed is not None and deposed in ids:
        reason = (
            "Somebody rolled back from these models, and nothing was trained since; `tubegrader "
            "models promote` decides otherwise."
        )
        return Decision("kept", "rolledBackFrom", reason, champion, None, figures)
    return None


def deposed_by(made: Sequence[tuple[Promotion, Decision]]) -> int | None:
    """Return the id of the model that was rolled back from, if no champion was made since."""
    changes = [row for row, decision in made if decision.decision != "kept"]
    if not changes or changes[-1].decision != ROLLED_BACK:
        return None
    return changes[-1].champion_version_id


def unusable(
    champion: ModelVersion,
    challenger: ModelVersion,
    error: Exception,
    *,
    champions: Sequence[ModelVersion],
    ladder: Sequence[ModelVersion],
    chosen_by: str,
    figures: dict[str, Any],
) -> Decision:
    """Return what is decided where the champion cannot be loaded any more.

    Nothing was evaluated: a ladder that lacks rungs of the champion's, as one that was trained
    where weights are missing, does not take its place.
    """
    reason = f"The champion {name_of(champion)} can no longer be used: {error}."
    missing = sorted({model.rung for model in champions} - {model.rung for model in ladder})
    if missing:
        reason += (
            f" The newest models lack what it has, {', '.join(missing)}, so they do not replace it "
            "unseen: train with all of it, or decide by `tubegrader models promote`."
        )
        return Decision("kept", "fewerRungs", reason, champion, challenger, figures)
    reason += f" {chosen_by}"
    return Decision("promoted", "championUnusable", reason, champion, challenger, figures)


def name_of(version: ModelVersion) -> str:
    """Return how people name a model version, such as ``subscribers+age@3``."""
    return f"{version.rung}@{version.version}"


def carry_out(
    context: Context, task: str, decision: Decision, *, job_id: uuid.UUID | None = None
) -> Decision:
    """Make a decision come true and keep it; a job that decided already gets what it decided.

    Args:
        context: Where.
        task: ``thumbnails`` or ``speech``.
        decision: What was decided.
        job_id: Who did.

    Raises:
        PermanentError: The challenger was removed meanwhile.
        TransientError: Somebody changed the champion meanwhile; decide anew.
    """
    now = context.clock()
    champion, challenger = decision.champion, decision.challenger
    with context.transaction() as session:
        promotions.lock_task(session, task)
        if job_id is not None and (made := promotions.decision_of_job(session, job_id)):
            versions = model_versions.by_ids(session, _ids(made))
            return _decision(made, versions)
        current = promotions.model_of(session, task=task)
        if _id(current) != _id(champion):
            raise TransientError(
                "the champion was changed while a challenger was evaluated against it",
                reason="championChanged",
                hint="it is evaluated anew",
            )
        if challenger is not None:
            if not model_versions.by_ids(session, [challenger.model_version_id]):
                raise PermanentError(
                    f"{name_of(challenger)} was removed meanwhile: it was of a night long past",
                    reason="modelRemoved",
                    hint="`tubegrader models list --all` shows which there are",
                )
            promotions.set_alias(
                session,
                task=task,
                alias=CHALLENGER if decision.decision == "kept" else CHAMPION,
                model_version_id=challenger.model_version_id,
                now=now,
            )
        promotions.record(
            session,
            task=task,
            decided_at=now,
            decision=decision.decision,
            champion_version_id=_id(champion),
            challenger_version_id=_id(challenger),
            ground=decision.ground,
            reason=decision.reason,
            figures=decision.figures,
            job_id=job_id,
        )
    return decision


def made_by(context: Context, job_id: uuid.UUID) -> Decision | None:
    """Return what a job decided, or None if it has not yet."""
    with context.transaction() as session:
        made = promotions.decision_of_job(session, job_id)
        return None if made is None else _decision(made, model_versions.by_ids(session, _ids(made)))


def history(context: Context, task: str) -> list[tuple[Promotion, Decision]]:
    """Return all decisions about a task's champion, the oldest first."""
    with context.transaction() as session:
        made = promotions.history(session, task=task)
        versions = model_versions.by_ids(session, [i for one in made for i in _ids(one)])
        return [(one, _decision(one, versions)) for one in made]


def _decision(made: Promotion, versions: dict[int, ModelVersion]) -> Decision:
    return Decision(
        made.decision,
        made.ground,
        made.reason,
        versions.get(made.champion_version_id or 0),
        versions.get(made.challenger_version_id or 0),
        dict(made.figures),
    )


def _ids(made: Promotion) -> list[int]:
    return [i for i in (made.champion_version_id, made.challenger_version_id) if i is not None]


def _id(version: ModelVersion | None) -> int | None:
    return None if version is None else version.model_version_id
