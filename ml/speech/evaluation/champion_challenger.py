"""Champion and challenger of speech: by what champion and challenger are measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.errors import LearningError
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Metric
from ml.evaluation.champion_challenger import ChallengeResult, Measure, Part, Rules, evaluate
from ml.speech.data.manifest import LANGUAGES
from ml.speech.evaluation.evaluate import balanced_accuracy

ACCURACY_MARGIN = 0.01
LOG_LOSS_MARGIN = 0.02
"""How much worse a challenger may be at most: one clip in a hundred, two hundredths of a nat."""
RULES = Rules(share=1.0, fewest_rows=40, fewest_clusters=6, part_clusters=6)
"""Speech grows slowly and few people speak it: all of it is the window."""
FEWEST_SPEAKERS = 2
"""Of each language."""
_HALF = 0.5


@dataclass(frozen=True)
class HeldOut:
    """N segments that both were asked about.

    Attributes:
        labels: Index into ``LANGUAGES``, (N,).
        speakers: Who speaks.
        sources: Where each is from.
        codecs: How each was encoded.
    """

    labels: IntArray
    speakers: Sequence[str]
    sources: Sequence[str]
    codecs: Sequence[str]


def is_enough(held_out: HeldOut, rules: Rules = RULES) -> bool:
    """Tell whether there is enough to evaluate a challenger on."""
    by_language = [
        {
            s
            for s, label in zip(held_out.speakers, held_out.labels.tolist(), strict=True)
            if label == one
        }
        for one in range(len(LANGUAGES))
    ]
    return (
        len(held_out.labels) >= rules.fewest_rows
        and len(set(held_out.speakers)) >= rules.fewest_clusters
        and min(len(speakers) for speakers in by_language) >= FEWEST_SPEAKERS
    )


def evaluate_challenger(
    held_out: HeldOut,
    champion: FloatArray,
    challenger: FloatArray,
    *,
    rules: Rules = RULES,
    seed: int,
) -> ChallengeResult:
    """Evaluate a challenger on N segments of which neither saw speaker, source or recording.

    Args:
        held_out: The segments.
        champion: Its probability of Chinese for each, (N,).
        challenger: Its probability of Chinese for each, (N,).
        rules: By what it is evaluated.
        seed: Makes the resamples repeatable.

    Raises:
        LearningError: One of them answers NaN.
    """
    if not (np.isfinite(champion).all() and np.isfinite(challenger).all()):
        raise LearningError("a speech model answers NaN", reason="notFinite")

    def measures_of(rows: IntArray) -> list[Measure]:
        sides = (champion[rows], challenger[rows])
        accuracy = [_accuracy(held_out, rows, side) for side in sides]
        log_loss = [_log_loss(held_out.labels[rows] == 1, side) for side in sides]
        return [
            Measure("balanced accuracy", "balanced_accuracy", True, ACCURACY_MARGIN, *accuracy),
            Measure("log loss", "log_loss", False, LOG_LOSS_MARGIN, *log_loss),
        ]

    codecs = np.asarray(held_out.codecs)
    parts = [Part("codec", name, codecs == name) for name in sorted(set(held_out.codecs))]
    return evaluate(measures_of, held_out.speakers, parts, rules=rules, seed=seed)


def fair_rows(
    rows: Sequence[Mapping[str, str]], folds_of: Mapping[str, int], keys: Sequence[str]
) -> BoolArray:
    """Tell which rows an older model can be asked about fairly, (N,).

    A model asks its training without the fold that a row's recording, speaker and source are in.
    Where those are in several folds, as when a channel was put into another source meanwhile, each
    of its trainings has heard one of them.

    Args:
        rows: With a value for each of ``keys``.
        folds_of: The model's fold by ``key:value``.
        keys: Such as ``recording``, ``speaker``, ``source``.
    """
    known = [
        {folds_of[name] for key in keys if (name := f"{key}:{row[key]}") in folds_of}
        for row in rows
    ]
    return np.array([len(folds) <= 1 for folds in known], dtype=np.bool_)


def _accuracy(held_out: HeldOut, rows: IntArray, p_zh: FloatArray) -> Metric:
    labels = held_out.labels[rows]
    right = (p_zh > _HALF) == (labels == 1)
    sources = np.asarray(held_out.sources)[rows]
    importance = _importance(sources.tolist(), labels)
    return lambda weights: balanced_accuracy(weights, importance, right, labels)


def _importance(sources: Sequence[str], labels: IntArray) -> FloatArray:
    """Let each source weigh the same within its language."""
    cells = [f"{source}\0{label}" for source, label in zip(sources, labels.tolist(), strict=True)]
    _, index, counts = np.unique(cells, return_inverse=True, return_counts=True)
    weights: FloatArray = 1 / counts[index]
    return weights


def _log_loss(is_chinese: BoolArray, p_zh: FloatArray) -> Metric:
    return lambda weights: metrics.log_loss(is_chinese, p_zh, weights=weights)
