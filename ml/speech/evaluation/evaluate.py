"""How well a model tells languages apart for speakers, microphones and codecs it has not seen.

Arrays in, dataclasses out. Accuracy is balanced over the languages throughout, because how many
clips there are of each says nothing of the model. Intervals resample speakers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.errors import LearningError
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Interval, cluster_bootstrap
from ml.evaluation.metrics import CalibrationBin
from ml.speech.data.manifest import LANGUAGES

CALIBRATION_BINS = 10
HALF = 0.5


@dataclass(frozen=True)
class Scored:
    """N scored clips of held-out sources, one row for each time a clip was tested.

    Attributes:
        clip_ids: The clips.
        labels: Index into ``LANGUAGES``, shape (N,).
        p_zh: Probability of Chinese given speech, shape (N,).
        speakers: Their speakers.
        sources: Their sources.
        codecs: How they were encoded.
        seconds: Their lengths, shape (N,).
        snr: Signal-to-noise ratio in decibels, shape (N,); NaN where unknown.
    """

    clip_ids: Sequence[str]
    labels: IntArray
    p_zh: FloatArray
    speakers: Sequence[str]
    sources: Sequence[str]
    codecs: Sequence[str]
    seconds: FloatArray
    snr: FloatArray

    def __len__(self) -> int:
        return len(self.clip_ids)

    def take(self, rows: BoolArray | IntArray) -> "Scored":
        """Return some rows."""
        chosen = (np.flatnonzero(rows) if rows.dtype == np.bool_ else rows).tolist()

        def some(values: Sequence[str]) -> list[str]:
            return [values[row] for row in chosen]

        return Scored(
            some(self.clip_ids),
            self.labels[chosen],
            self.p_zh[chosen],
            some(self.speakers),
            some(self.sources),
            some(self.codecs),
            self.seconds[chosen],
            self.snr[chosen],
        )


@dataclass(frozen=True)
class Slice:
    """A part of the clips.

    Attributes:
        name: Such as ``fsdd (en)``, ``3–5 s`` or ``mp3``.
        n: Clips.
        n_speakers: Their speakers.
        accuracy: Share of clips told right; balanced where both languages occur.
        recall: By language, None where it does not occur.
        equal_error_rate: Its clips against each other; where it is in one language, against all
            clips of the other one.
        ece: Expected calibration error.
        confusion: As that of :class:`SpeechEvaluation`.
        low: Lower end of the accuracy's 95 % interval, by speaker; None where there is none.
        high: Upper end.
        drawn: What was drawn anew for the interval: ``speaker``, or ``clip`` where one speaker
            is all there is, and then it says nothing of other speakers.
    """

    name: str
    n: int
    n_speakers: int
    accuracy: float
    recall: dict[str, float | None]
    equal_error_rate: float
    ece: float
    confusion: list[list[int]]
    low: float | None
    high: float | None
    drawn: str


@dataclass(frozen=True)
class SpeechEvaluation:
    """One model's result.

    Attributes:
        balanced_accuracy: Mean over languages of the mean over sources of the share told right,
            with an interval by speaker.
        worst_source: The source told worst, and how well: the headline.
        auc: That a Chinese clip gets the higher probability.
        equal_error_rate: Where both languages are mistaken equally often.
        ece: Expected calibration error of the probability of the chosen language.
        brier: Of the probability of Chinese.
        confusion: Clips by [truth][answer], languages in the order of ``LANGUAGES``.
        reliability: Predicted against observed share of Chinese.
        by_source: One slice a source and language.
        by_length: By seconds.
        by_codec: By encoding.
        by_snr: By decibels, where known.
        n: Clips scored.
        n_speakers: Their speakers.
    """

    balanced_accuracy: Interval
    worst_source: Slice
    auc: float
    equal_error_rate: float
    ece: float
    brier: float
    confusion: list[list[int]]
    reliability: list[CalibrationBin]
    by_source: list[Slice]
    by_length: list[Slice]
    by_codec: list[Slice]
    by_snr: list[Slice]
    n: int
    n_speakers: int

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        content = asdict(self)
        content["balanced_accuracy"] = self.balanced_accuracy.as_json()
        return content


def evaluate_scored(scored: Scored, *, resamples: int = 1000, seed: int = 0) -> SpeechEvaluation:
    """Measure a model on clips of held-out sources.

    Args:
        scored: The clips; both languages.
        resamples: Bootstrap resamples of the speakers.
        seed: Makes them repeatable.

    Raises:
        LearningError: One language only (``oneLanguage``) or fewer than two speakers.
    """
    if len(set(scored.labels.tolist())) < len(LANGUAGES):
        raise LearningError("the test clips are all in one language", reason="oneLanguage")
    right = (scored.p_zh > HALF) == (scored.labels == 1)
    importance = source_weights(scored)
    interval = cluster_bootstrap(
        {"accuracy": lambda weights: balanced_accuracy(weights, importance, right, scored.labels)},
        scored.speakers,
        resamples=resamples,
        seed=seed,
    )["accuracy"]
    chinese = scored.labels == 1
    slices = partial(_slices, scored, right, resamples=resamples, seed=seed)
    by_source = slices(
        [f"{s} ({LANGUAGES[y]})" for s, y in zip(scored.sources, scored.labels, strict=True)]
    )
    known = np.isfinite(scored.snr)
    levels = _ranges(scored.snr, (10, 20, 30, 40), "dB")
    return SpeechEvaluation(
        balanced_accuracy=interval,
        worst_source=min(by_source, key=lambda part: part.accuracy),
        auc=float(metrics.auc(chinese, scored.p_zh, weights=importance)),
        equal_error_rate=equal_error_rate(chinese, scored.p_zh, importance),
        ece=calibration_error(right, np.maximum(scored.p_zh, 1 - scored.p_zh)),
        brier=float(metrics.brier(chinese, scored.p_zh)),
        confusion=_confusion(scored.labels, right),
        reliability=metrics.calibration_bins(chinese, scored.p_zh, bins=CALIBRATION_BINS),
        by_source=by_source,
        by_length=slices(_ranges(scored.seconds, (3, 4, 5, 7), "s")),
        by_codec=slices(scored.codecs),
        by_snr=slices([level if k else "" for level, k in zip(levels, known, strict=True)]),
        n=len(scored),
        n_speakers=len(set(scored.speakers)),
    )


def equal_error_rate(
    positive: BoolArray, scores: FloatArray, weights: FloatArray | None = None
) -> float:
    """Return the error where missing and false alarm are equally frequent, between 0 and 1."""
    weight = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    ordered, truth, weight = scores[order], positive[order], weight[order]
    last = np.r_[ordered[1:] != ordered[:-1], True]
    missed = np.r_[0, np.cumsum(weight * truth)[last]] / (weight * truth).sum()
    alarms = 1 - np.r_[0, np.cumsum(weight * ~truth)[last]] / (weight * ~truth).sum()
    after = int(np.argmax(missed >= alarms))
    gap_before = alarms[after - 1] - missed[after - 1]
    gap_after = missed[after] - alarms[after]
    share = gap_before / (gap_before + gap_after)
    return float(missed[after - 1] + share * (missed[after] - missed[after - 1]))


def calibration_error(right: BoolArray, confidence: FloatArray, *, bins: int = 10) -> float:
    """Return the mean gap between confidence and the share told right, over even bins."""
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(right[index == b].mean() - confidence[index == b].mean()) * (index == b).mean()
        for b in np.unique(index)
    ]
    return float(sum(gaps))


def spread(values: Mapping[int, float]) -> dict[str, float]:
    """Summarise one figure over seeds: mean, deviation, lowest and highest."""
    numbers = np.array([values[seed] for seed in sorted(values)])
    return {
        "mean": float(numbers.mean()),
        "deviation": float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0,
        "lowest": float(numbers.min()),
        "highest": float(numbers.max()),
    }


def source_weights(scored: Scored) -> FloatArray:
    """Let each source weigh the same within its language, and each language the same."""
    cells = [f"{s}\0{y}" for s, y in zip(scored.sources, scored.labels, strict=True)]
    names, index, counts = np.unique(cells, return_inverse=True, return_counts=True)
    sources = np.bincount([int(name[-1]) for name in names], minlength=2)
    weights: FloatArray = 1 / counts[index] / sources[scored.labels]
    return weights


def balanced_accuracy(
    weights: FloatArray, importance: FloatArray, right: BoolArray, labels: IntArray
) -> FloatArray:
    """Return the mean over languages of the share told right, for resamples at once.

    Args:
        weights: How often each row was drawn, shape (N,) or (B, N).
        importance: Of each row, from :func:`source_weights`.
        right: Whether it was told right, shape (N,).
        labels: Index into ``LANGUAGES``, shape (N,).

    Returns:
        Shape () or (B,); NaN where a language was not drawn.
    """
    recalls = [
        _share(weights * importance * (labels == label), right) for label in range(len(LANGUAGES))
    ]
    return np.asarray(np.mean(recalls, axis=0))


def _slices(
    scored: Scored, right: BoolArray, names: Sequence[str], *, resamples: int, seed: int
) -> list[Slice]:
    """Judge the rows of each name; rows whose name is empty are in no slice."""
    named = np.asarray(names)
    return [
        _slice(scored, right, name, named == name, resamples=resamples, seed=seed)
        for name in sorted(set(names) - {""})
    ]


def _slice(
    scored: Scored, right: BoolArray, name: str, rows: BoolArray, *, resamples: int, seed: int
) -> Slice:
    own, labels = scored.take(rows), scored.labels[rows]
    spoken = sorted(set(labels.tolist()))
    recall = {
        language: float(right[rows & (scored.labels == label)].mean()) if label in spoken else None
        for label, language in enumerate(LANGUAGES)
    }
    known = [value for value in recall.values() if value is not None]
    by_speaker = len(set(own.speakers)) > 1
    interval = _interval(own, right[rows], by_speaker=by_speaker, resamples=resamples, seed=seed)
    against = rows if len(spoken) > 1 else rows | ~np.isin(scored.labels, spoken)
    return Slice(
        name=name,
        n=int(rows.sum()),
        n_speakers=len(set(own.speakers)),
        accuracy=float(np.mean(known)),
        recall=recall,
        equal_error_rate=equal_error_rate(scored.labels[against] == 1, scored.p_zh[against]),
        ece=calibration_error(right[rows], np.maximum(own.p_zh, 1 - own.p_zh)),
        confusion=_confusion(labels, right[rows]),
        low=interval["low"],
        high=interval["high"],
        drawn="speaker" if by_speaker else "clip",
    )


def _interval(
    own: Scored, right: BoolArray, *, by_speaker: bool, resamples: int, seed: int
) -> dict[str, float | None]:
    """Return the interval of a slice's accuracy, by speaker if it has several, else by clip."""
    clusters = own.speakers if by_speaker else own.clip_ids
    if len(set(clusters)) == 1:
        return {"low": None, "high": None}
    labels = set(own.labels.tolist())

    def accuracy(weights: FloatArray) -> FloatArray:
        recalls = [_share(weights * (own.labels == label), right) for label in labels]
        return np.asarray(np.mean(recalls, axis=0))

    drawn = cluster_bootstrap({"accuracy": accuracy}, clusters, resamples=resamples, seed=seed)
    return drawn["accuracy"].as_json()


def _confusion(labels: IntArray, right: BoolArray) -> list[list[int]]:
    predicted_zh = right == (labels == 1)
    return [
        [int(((labels == truth) & (predicted_zh == (answer == 1))).sum()) for answer in (0, 1)]
        for truth in (0, 1)
    ]


def _share(weights: FloatArray, right: BoolArray) -> FloatArray:
    """Return the weighted share told right, shape () or (B,); NaN where nothing was drawn."""
    total = weights.sum(axis=-1)
    found: FloatArray = np.divide(
        weights @ right, total, out=np.full_like(total, np.nan), where=total > 0
    )
    return found


def _ranges(values: FloatArray, edges: Sequence[int], unit: str) -> list[str]:
    names = [f"under {edges[0]} {unit}"]
    names += [f"{low}–{high} {unit}" for low, high in pairwise(edges)]
    names.append(f"{edges[-1]} {unit} or more")
    return [names[place] for place in np.searchsorted(edges, values, side="right")]
