"""What the report shows of speech: the newest comparison of models that tell languages apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.models.learning import SPEECH
from db.queries.speech import counts, segments
from db.queries.speech.counts import ClipCounts
from ml.evaluation.bootstrap import Interval
from ml.evaluation.metrics import CalibrationBin
from ml.speech.models.registry import speech_model_names, speech_model_specs
from services.context import Context
from services.learning.report.spectrograms import Examples, examples
from services.learning.results import newest_models_and_evaluation
from services.learning.speech.best import best_of

SLICES = {"by_length": "length", "by_codec": "codec", "by_snr": "signal to noise"}


@dataclass(frozen=True)
class Missing:
    """Why there is nothing to show, and the commands that change it."""

    what: str
    commands: Sequence[str]


@dataclass(frozen=True)
class Part:
    """A slice of the evaluated segments, such as a source and language, a length or a codec."""

    name: str
    n: int
    accuracy: float


@dataclass(frozen=True)
class SpeechModelResult:
    """One model.

    Attributes:
        name: Such as ``crnn``.
        version: Of the model that was evaluated; None if its row is gone.
        balanced_accuracy: With its interval by speaker.
        difference: To the reference, with its interval; None for the reference.
        equal_error_rate: With its interval.
        ece: Expected calibration error.
        unknown: Share of segments that it calls unknown.
        worst_source: The source told worst.
        by_source: One part for a source and language.
        slices: Parts by kind, the keys of ``SLICES``.
        confusion: Segments by [truth][answer], in the order of ``LANGUAGES``.
        reliability: Predicted and observed shares of Chinese by bin.
    """

    name: str
    version: int | None
    balanced_accuracy: Interval
    difference: Interval | None
    equal_error_rate: Interval
    ece: float
    unknown: float
    worst_source: Part
    by_source: Sequence[Part]
    slices: Mapping[str, Sequence[Part]]
    confusion: Sequence[Sequence[int]]
    reliability: Sequence[CalibrationBin]


@dataclass(frozen=True)
class SpeechReport:
    """Everything in the section.

    Attributes:
        sentence: The comparison's own.
        evaluation_id: Of the comparison; None where it was of a folder.
        evaluated_at: When.
        n_segments: Evaluated.
        n_speakers: Of these.
        n_sources: Of these.
        models: In the order of the registry.
        best: The name of the best one.
        clips: What the best one finds in everything that was collected.
        examples: Pictures.
        unit: What was evaluated: segments of what was collected, or clips of a folder.
    """

    sentence: str
    evaluation_id: int | None
    evaluated_at: datetime
    n_segments: int
    n_speakers: int
    n_sources: int
    models: Sequence[SpeechModelResult]
    best: str
    clips: ClipCounts
    examples: Examples
    unit: str = "segments"

    @property
    def compared(self) -> list[SpeechModelResult]:
        """Those shown in detail: the best, and those that declare it."""
        shown = {spec.name for spec in speech_model_specs() if spec.in_detail} | {self.best}
        return [model for model in self.models if model.name in shown]

    def model(self, name: str) -> SpeechModelResult:
        """Return a model's result by name."""
        return next(model for model in self.models if model.name == name)


NOTHING_COLLECTED = Missing(
    "No speech was collected yet.",
    (
        "tubegrader audio add CHANNEL…",
        "tubegrader channels crawl --audio",
        "tubegrader models retrain speech",
    ),
)
NOTHING_TRAINED = Missing(
    "Speech was collected, but no model has learned from it yet.",
    ("tubegrader models retrain speech",),
)
NOTHING_COMPARED = Missing(
    "There are speech models, but they were not compared yet.",
    ("tubegrader models score speech", "tubegrader models compare speech"),
)


def gather_speech(context: Context) -> SpeechReport | Missing:
    """Read the newest comparison of speech models, or say what is missing for one."""
    versions, evaluation = newest_models_and_evaluation(context, SPEECH)
    if evaluation is None:
        if versions:
            return NOTHING_COMPARED
        with context.transaction() as session:
            collected = segments.has_clips(session)
        return NOTHING_TRAINED if collected else NOTHING_COLLECTED
    version_of = {one.model_version_id: one.version for one in versions}
    ids = evaluation.detail["model_version_ids"]
    models = models_of(
        evaluation.detail, {name: version_of.get(number) for name, number in ids.items()}
    )
    best = best_of(evaluation.detail["rungs"])
    with context.transaction() as session:
        clips = counts.clip_counts(session, rung=best)
    return SpeechReport(
        sentence=evaluation.sentence,
        evaluation_id=evaluation.evaluation_id,
        evaluated_at=evaluation.created_at,
        n_segments=evaluation.detail["n_segments"],
        n_speakers=evaluation.detail["n_speakers"],
        n_sources=evaluation.detail["n_sources"],
        models=models,
        best=best,
        clips=clips,
        examples=examples(
            context, evaluation.dataset_id, evaluation.detail["model_version_ids"][best]
        ),
    )


def models_of(
    detail: Mapping[str, Any], versions: Mapping[str, int | None]
) -> list[SpeechModelResult]:
    """Return a comparison's models in the order of the registry; JSON in PostgreSQL forgets it.

    Args:
        detail: What the comparison recorded.
        versions: Of each model, None or left out where it has none.
    """
    order = {name: place for place, name in enumerate(speech_model_names())}
    return [
        _model(name, detail["rungs"][name], detail["beyond_reference"], versions.get(name))
        for name in sorted(detail["rungs"], key=lambda name: (order.get(name, len(order)), name))
    ]


def _model(
    name: str, evaluated: Mapping[str, Any], differences: Mapping[str, Any], version: int | None
) -> SpeechModelResult:
    return SpeechModelResult(
        name=name,
        version=version,
        balanced_accuracy=Interval.from_json(evaluated["balanced_accuracy"]),
        difference=Interval.from_json(differences[name]) if name in differences else None,
        equal_error_rate=Interval.from_json(evaluated["equal_error_rate"]),
        ece=evaluated["ece"],
        unknown=evaluated["unknown"],
        worst_source=_part(evaluated["worst_source"]),
        by_source=[_part(part) for part in evaluated["by_source"]],
        slices={kind: [_part(part) for part in evaluated[kind]] for kind in SLICES},
        confusion=evaluated["confusion"],
        reliability=[CalibrationBin(**bin_) for bin_ in evaluated["reliability"]],
    )


def _part(values: Mapping[str, Any]) -> Part:
    return Part(values["name"], values["n"], values["accuracy"])
