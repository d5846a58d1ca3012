"""Which speech model is in use, without importing what learns."""

from collections.abc import Mapping, Sequence
from typing import Any

from db.models import Evaluation, ModelVersion
from db.models.learning import SPEECH
from db.queries.learning import promotions
from ml.speech.models.names import OWN_MODELS
from services.context import Context
from services.learning.results import covers, newest_models_and_evaluation


def champion_or_best(context: Context) -> ModelVersion | None:
    """Return the champion, else the best of the newest models; None if none was trained.

    The best has the highest balanced accuracy where exactly these models were compared, and else
    comes last in the order of the models that there is.
    """
    with context.transaction() as session:
        champion = promotions.model_of(session, task=SPEECH)
    if champion is not None:
        return champion
    models, evaluation = newest_models_and_evaluation(context, SPEECH)
    return _best(models, evaluation) if models else None


def best_of(compared: Mapping[str, Any]) -> str:
    """Return the name with the highest balanced accuracy, of equal ones the first by name.

    Args:
        compared: What a comparison recorded of each: ``balanced_accuracy`` with its ``value``.
    """
    return max(
        sorted(compared), key=lambda name: float(compared[name]["balanced_accuracy"]["value"])
    )


def _best(models: Sequence[ModelVersion], evaluation: Evaluation | None) -> ModelVersion:
    by_name = {model.rung: model for model in models}
    compared = evaluation.detail["rungs"] if evaluation and covers(evaluation, models) else {}
    if judged := {name: compared[name] for name in by_name if name in compared}:
        return by_name[best_of(judged)]
    order = {name: place for place, name in enumerate(OWN_MODELS)}
    return max(models, key=lambda model: order.get(model.rung, -1))
