"""Reading what was learned of speech, without importing what learns."""

from typing import Any

from db.models.learning import SPEECH
from services.context import Context
from services.errors import PermanentError
from services.learning.results import as_printed, newest_models_and_evaluation


def newest_comparison(context: Context) -> dict[str, Any]:
    """Return the newest comparison of speech as ``compare speech --json`` prints it.

    Raises:
        PermanentError: Nothing was compared yet.
    """
    _, newest = newest_models_and_evaluation(context, SPEECH)
    if newest is None:
        raise PermanentError(
            "no speech models were compared yet",
            reason="noComparison",
            hint="`tubegrader retrain speech` trains, scores and compares",
        )
    return as_printed(newest)
