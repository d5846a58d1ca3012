"""Reading what was learned of speech, without importing what learns."""

from typing import Any

from db.models import Evaluation, ModelVersion
from db.queries import learning
from db.session import unit_of_work
from services.context import Context
from services.errors import PermanentError
from services.learning.results import judges
from services.learning.speech import TASK

__all__ = ["judges", "needs_comparison", "newest_comparison", "newest_models_and_evaluation"]


def newest_comparison(context: Context) -> dict[str, Any]:
    """Return the newest comparison of speech as ``compare speech --json`` prints it.

    Raises:
        PermanentError: Nothing was compared yet.
    """
    _, newest = newest_models_and_evaluation(context)
    if newest is None:
        raise PermanentError(
            "no speech models were compared yet",
            reason="noComparison",
            hint="`tubegrader retrain speech` trains, scores and compares",
        )
    return {
        **newest.detail,
        "evaluation_id": newest.evaluation_id,
        "evaluated_at": newest.created_at.isoformat(),
    }


def needs_comparison(context: Context) -> bool:
    """Tell whether the newest speech models were never compared."""
    models, newest = newest_models_and_evaluation(context)
    return bool(models) and (newest is None or not judges(newest, models))


def newest_models_and_evaluation(
    context: Context,
) -> tuple[list[ModelVersion], Evaluation | None]:
    """Return the newest version of each speech rung, and their evaluation if there is one."""
    with unit_of_work(context.sessions) as session:
        return (
            learning.newest_model_versions(session, task=TASK),
            learning.newest_evaluation(session, task=TASK),
        )
