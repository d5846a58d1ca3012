"""How far apart two sets of answers to the same clips are, with intervals by speaker.

Both are drawn together, so that what makes a speaker easy or hard for both cancels out.
"""

from collections.abc import Mapping

import numpy as np

from ml.arrays import FloatArray
from ml.errors import LearningError
from ml.evaluation.bootstrap import Interval, Metric, cluster_bootstrap
from ml.speech.evaluation.evaluate import (
    HALF,
    Scored,
    balanced_accuracy,
    equal_error_rate,
    source_weights,
)

RESAMPLES = 1000


def accuracy_differences(
    others: Mapping[str, Scored], reference: Scored, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Return how much higher each one's balanced accuracy is than the reference's.

    Args:
        others: Answers by name.
        reference: Answers to the same clips in the same order.
        resamples: Bootstrap resamples of the speakers.
        seed: Makes them repeatable.

    Raises:
        LearningError: Other clips or another order (``resultsMismatch``), or one speaker only.
    """
    if any(list(other.clip_ids) != list(reference.clip_ids) for other in others.values()):
        raise LearningError(
            "only answers to the same clips can be subtracted", reason="resultsMismatch"
        )
    importance, labels = source_weights(reference), reference.labels

    def beyond(other: Scored) -> Metric:
        own, base = ((one.p_zh > HALF) == (labels == 1) for one in (other, reference))
        return lambda weights: (
            balanced_accuracy(weights, importance, own, labels)
            - balanced_accuracy(weights, importance, base, labels)
        )

    if not others:
        return {}
    return cluster_bootstrap(
        {name: beyond(other) for name, other in others.items()},
        reference.speakers,
        resamples=resamples,
        seed=seed,
    )


def error_rate_interval(scored: Scored, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Return the equal error rate, sources weighing the same, with its interval by speaker.

    Raises:
        LearningError: One speaker only.
    """
    importance, chinese = source_weights(scored), scored.labels == 1

    def error_rate(weights: FloatArray) -> FloatArray:
        drawn = np.atleast_2d(weights * importance)
        both = [row @ chinese > 0 and row @ ~chinese > 0 for row in drawn]
        rates = [
            equal_error_rate(chinese, scored.p_zh, row) if known else np.nan
            for row, known in zip(drawn, both, strict=True)
        ]
        return np.asarray(rates if weights.ndim > 1 else rates[0])

    return cluster_bootstrap(
        {"equal_error_rate": error_rate}, scored.speakers, resamples=resamples, seed=seed
    )["equal_error_rate"]
