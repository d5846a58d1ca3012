"""Which language is spoken in a file: decoded, cut into speech, each segment scored, then a vote.

Segments of one file share speaker, microphone and topic, so they are no independent witnesses:
their calibrated probabilities are averaged by length instead of multiplied, which would turn many
alike mistakes into false certainty.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml.audio import Activity, AudioError, Cut, CutPolicy, cut, floats
from ml.errors import LearningError
from services.formatting import counted
from services.learning.errors import translated
from services.learning.speech.classifier import LanguageClassifier
from services.learning.speech.scoring import voted

ALL_SPEECH = CutPolicy(
    seconds_wanted=None,
    shortest_s=0.4,
    longest_s=10.0,
    least_speech_share=0.0,
    least_level_dbfs=-120.0,
    examined_s=None,
)
"""All speech of a file, however short, quiet or broken: it is classified, not learned from."""

Progress = Callable[[float, float], None]
"""Called with (seconds classified, seconds in all)."""
Look = Callable[[Cut], None]
"""Called with each stretch of speech."""


@dataclass(frozen=True)
class LanguagePrediction:
    """What a model predicts; the three probabilities add up to 1.

    Attributes:
        language: ``en``, ``zh`` or ``unknown``: music, noise, another language, or not sure.
        p_en: Probability of English.
        p_zh: Probability of Chinese.
        p_unknown: Probability that nobody speaks.
    """

    language: str
    p_en: float
    p_zh: float
    p_unknown: float

    @property
    def probability(self) -> float | None:
        """Of the language; None for ``unknown``, which stands for want of one."""
        return {"en": self.p_en, "zh": self.p_zh}.get(self.language)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        rounded = {
            name: value if isinstance(value, str) else round(value, 4)
            for name, value in asdict(self).items()
        }
        probability = self.probability
        return rounded | {"probability": None if probability is None else round(probability, 4)}


@dataclass(frozen=True)
class ClassifiedSegment:
    """A stretch of speech.

    Attributes:
        start_s: Seconds from the file's beginning.
        end_s: Likewise.
        prediction: Of its language.
    """

    start_s: float
    end_s: float
    prediction: LanguagePrediction

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"start_s": round(self.start_s, 3), "end_s": round(self.end_s, 3)} | (
            self.prediction.as_json()
        )


@dataclass(frozen=True)
class ClassifiedFile:
    """What is spoken in a file.

    Attributes:
        path: The file.
        prediction: The vote of its segments, each by its length.
        seconds: Its length.
        speech_share: Share of it that is speech, 0 to 1.
        segments: In the order of time; none where nobody speaks.
        notes: What was amiss with it and done about that, for people.
    """

    path: Path
    prediction: LanguagePrediction
    seconds: float
    speech_share: float
    segments: Sequence[ClassifiedSegment]
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return (
            {"file": str(self.path)}
            | self.prediction.as_json()
            | {
                "seconds": round(self.seconds, 3),
                "speech_share": round(self.speech_share, 4),
                "segments": [segment.as_json() for segment in self.segments],
                "notes": list(self.notes),
            }
        )


@dataclass(frozen=True)
class UnreadableFile:
    """A file that could not be used.

    Attributes:
        path: The file.
        reason: As :class:`ml.audio.AudioError`; a word to count by.
        problem: For people.
    """

    path: Path
    reason: str
    problem: str

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "file": str(self.path),
            "error": {"reason": self.reason, "message": self.problem},
        }


def detect_language(
    path: Path,
    classifier: LanguageClassifier,
    *,
    progress: Progress = lambda _done_s, _all_s: None,
    look: Look = lambda _cut: None,
) -> ClassifiedFile | UnreadableFile:
    """Tell the language of a file; a file that cannot be used is an answer, not an error.

    Besides 0.3 kB a second of the file one segment is held at a time: a network's intermediate
    results take some hundred times the room of the samples, and a library keeps buffers for each
    shape that it has met, of which many segments together have many.

    Args:
        path: Any audio or video file.
        classifier: What decides.
        progress: Told where in the file it is; before anything else that it is at the beginning.
        look: Shown each stretch of speech, to draw it.

    Raises:
        PermanentError: A part of the installation is missing: no other file would fare better.
    """
    try:
        return _classified(path, classifier, progress, look)
    except AudioError as error:
        problem = str(error).removeprefix(f"{path.name}: ")
        return UnreadableFile(path, error.reason, problem)
    except OSError as error:
        return UnreadableFile(path, "notReadable", f"cannot be read: {error.strerror}")
    except LearningError as error:
        raise translated(error) from error


def readable(path: Path) -> str:
    """Return a name that can be printed: names may hold control characters and stray bytes."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(path))


def _classified(
    path: Path, classifier: LanguageClassifier, progress: Progress, look: Look
) -> ClassifiedFile:
    if path.exists() and not path.is_file():
        raise AudioError(path, "it is no file", reason="notReadable")
    cutting = cut(path, ALL_SPEECH)
    activity = cutting.activity
    progress(0.0, activity.length_s)
    segments: list[ClassifiedSegment] = []
    for part in cutting:
        look(part)
        segments.append(_scored(part, classifier))
        progress(segments[-1].end_s, activity.length_s)
    vote = voted([(s.end_s - s.start_s, s.prediction.p_en, s.prediction.p_zh) for s in segments])
    return ClassifiedFile(
        path,
        LanguagePrediction(**vote),
        activity.length_s,
        activity.speech_share,
        segments,
        _notes(activity),
    )


def _notes(activity: Activity) -> list[str]:
    facts = activity.facts
    found = []
    if facts.tracks > 1:
        which = f"audio track {facts.track + 1} of {facts.tracks}"
        if not activity.regions:
            found.append(f"{which} is taken, the default one: nobody speaks in any")
        elif facts.is_default_track:
            found.append(f"{which} is taken, the default one")
        else:
            found.append(f"{which} is taken: there is more speech in it than in the default one")
    if activity.mended_samples:
        found.append(
            f"{counted(activity.mended_samples, 'sample')} of it "
            f"{'is' if activity.mended_samples == 1 else 'are'} no number and taken as silence"
        )
    if activity.lost_packets > 1:  # a cover behind the sound may look like one
        found.append(f"{counted(activity.lost_packets, 'packet')} of it did not decode")
    return found


def _scored(part: Cut, classifier: LanguageClassifier) -> ClassifiedSegment:
    predicted = classifier.predict([floats(part.samples)])
    [(en, zh)] = (predicted.probabilities * predicted.speech[:, None]).tolist()
    where = part.segment
    return ClassifiedSegment(
        where.start_s,
        where.start_s + where.length_s,
        LanguagePrediction(**voted([(1.0, en, zh)])),
    )
