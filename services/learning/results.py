"""Reading what was learned, without importing what learns."""

from collections.abc import Iterable, Sequence
from typing import Any

from db.models import Evaluation, ModelVersion
from db.models.learning import THUMBNAILS
from db.queries.learning import evaluations, model_versions, promotions
from ml.thumbnails.models.registry import rung_names
from services.context import Context
from services.errors import PermanentError


def newest_comparison(context: Context, task: str) -> dict[str, Any]:
    """Return the newest comparison of a task as ``compare --json`` prints it.

    Raises:
        PermanentError: Nothing was compared yet.
    """
    _, newest = newest_models_and_evaluation(context, task)
    if newest is None:
        raise PermanentError(
            "nothing was compared yet",
            reason="noComparison",
            hint=f"`tubegrader channels crawl`, then `tubegrader models retrain {task}`: it"
            " compares, too",
        )
    rungs = newest.detail["rungs"]
    printed = {
        **newest.detail,
        "evaluation_id": newest.evaluation_id,
        "evaluated_at": newest.created_at.isoformat(),
    }
    order = in_order(rungs) if task == THUMBNAILS else list(rungs)
    return printed | {"rungs": {rung: rungs[rung] for rung in order}}


def in_order(rungs: Iterable[str]) -> list[str]:
    """Return rungs from the bottom of the ladder up; those it does not name come last."""
    place = {rung: number for number, rung in enumerate(rung_names())}
    return sorted(rungs, key=lambda rung: (place.get(rung, len(place)), rung))


def needs_comparison(context: Context, task: str) -> bool:
    """Tell whether the newest models of a task were never compared.

    Raises:
        PermanentError: They cannot be yet: one of them has scored nothing (``notScored``).
    """
    models, newest = newest_models_and_evaluation(context, task)
    if not models or (newest is not None and covers(newest, models)):
        return False
    with context.transaction() as session:
        lacking = [
            model
            for model in models
            if not model_versions.has_scores(session, model.model_version_id)
        ]
    if lacking:
        raise PermanentError(
            f"{lacking[0].rung} version {lacking[0].version} has scored nothing yet, so there is"
            " nothing to compare",
            reason="notScored",
            hint=f"`tubegrader models score {task}` first",
        )
    return True


def newest_models_and_evaluation(
    context: Context, task: str
) -> tuple[list[ModelVersion], Evaluation | None]:
    """Return the newest version of each rung of a task, and its newest evaluation if any."""
    with context.transaction() as session:
        return (
            model_versions.newest(session, task=task),
            evaluations.newest(session, task=task),
        )


def need_models(models: Sequence[ModelVersion], task: str, purpose: str) -> None:
    """See that there is a model.

    Raises:
        PermanentError: There is none (``noModel``).
    """
    if not models:
        raise PermanentError(
            f"there is no model of {task} {purpose}",
            reason="noModel",
            hint=f"`tubegrader models train {task}` first",
        )


def models_in_use(context: Context, task: str) -> list[ModelVersion]:
    """Return the models that users are told the scores of, one a rung.

    They are the champion and what was trained together with it; the newest ones where there is no
    champion yet.
    """
    with context.transaction() as session:
        ladder = promotions.champion_ladder(session, task=task)
        return ladder or model_versions.newest(session, task=task)


def evaluation_of(context: Context, models: Sequence[ModelVersion]) -> Evaluation | None:
    """Return the newest comparison of exactly these models, or None."""
    with context.transaction() as session:
        return evaluations.of_models(session, {m.rung: m.model_version_id for m in models})


def covers(evaluation: Evaluation, models: Sequence[ModelVersion]) -> bool:
    """Tell whether an evaluation is of exactly these models."""
    ids = {model.rung: model.model_version_id for model in models}
    return bool(evaluation.detail.get("model_version_ids") == ids)
