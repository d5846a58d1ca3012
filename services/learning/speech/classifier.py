"""Which language classifier is used: of the registry, of a folder, or the user's own Whisper."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from db.models import ModelVersion
from db.models.learning import SPEECH
from db.queries.learning import model_versions
from ml.artifacts import DOCUMENT
from ml.errors import LearningError
from ml.speech.augmentation.codecs import Waveform
from ml.speech.models.base import SpeechPredictions
from ml.speech.models.pretrained_whisper import PretrainedWhisperModel
from ml.speech.models.registry import load_speech_model
from services.context import Context
from services.errors import PermanentError, UsageError
from services.learning.artifacts import get_folder, workspace
from services.learning.results import newest_models_and_evaluation
from services.learning.speech.best import champion_or_best
from services.learning.speech.models import FULL

WHISPER = PretrainedWhisperModel.name
HINT = "`tubegrader models train speech` makes one, or name a folder with a saved one: --model DIR"


class LanguageClassifier(Protocol):
    """What tells the languages of clips: a speech model, ours or not."""

    def predict(self, waveforms: Sequence[Waveform]) -> SpeechPredictions:
        """Score clips: mono float32 at 16 kHz, of any length."""
        ...


@dataclass(frozen=True)
class ChosenModel:
    """A model ready for use.

    Attributes:
        classifier: The model; one of ours has learned from everything there was.
        name: Its kind, such as ``tdnn``.
        version: Its number in the registry; None from elsewhere.
    """

    classifier: LanguageClassifier
    name: str
    version: int | None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name} v{self.version}"


def from_folder(folder: Path, *, kind: str | None = None) -> ChosenModel:
    """Load a saved model.

    Args:
        folder: With ``model.json`` and ``model.safetensors``, or with one folder below that has
            them.
        kind: Which it should be; any if left out.

    Raises:
        UsageError: There is none, it is damaged, no speech model, or of another kind.
    """
    folder = _saved_in(folder)
    try:
        model = load_speech_model(folder)
    except LearningError as error:
        raise UsageError(str(error), hint=HINT, reason=error.reason) from error
    if kind is not None and model.spec.name != kind:
        raise UsageError(
            f"the model in {folder} is a {model.spec.name}, not a {kind}", reason="otherRung"
        )
    return ChosenModel(model, model.spec.name, None)


def _saved_in(folder: Path) -> Path:
    """Return where the model of a folder is: there, or in the one place below.

    Raises:
        UsageError: There is none, or there are several.
    """
    if (folder / DOCUMENT).is_file():
        return folder
    below = sorted(found.parent for found in folder.glob(f"*/{DOCUMENT}"))
    below = below or sorted(found.parent for found in folder.glob(f"*/*/{DOCUMENT}"))
    if not below:
        raise UsageError(f"there is no saved model in {folder}", hint=HINT, reason="noModel")
    if len(below) > 1:
        raise UsageError(
            f"there are {len(below)} models below {folder}",
            hint="name one: " + ", ".join(f"--model {found}" for found in below[:3]),
            reason="severalModels",
        )
    return below[0]


def from_weights(folder: Path | None) -> ChosenModel:
    """Take a Whisper that the user brings; none of it was trained here.

    Args:
        folder: A multilingual Whisper converted for CTranslate2: ``model.bin``, ``config.json`` …

    Raises:
        UsageError: No folder was named (``noWeights``), it holds no such model
            (``whisperWeightsUnusable``), or the package ctranslate2 is missing
            (``whisperMissing``).
    """
    if folder is None:
        raise UsageError(
            f"{WHISPER} needs weights of your own",
            hint="name their folder: --weights DIR, or TUBEGRADER_SPEECH_WEIGHTS",
            reason="noWeights",
        )
    try:
        return ChosenModel(PretrainedWhisperModel(folder), WHISPER, None)
    except LearningError as error:
        raise UsageError(str(error), reason=error.reason) from error


def from_registry(
    context: Context, *, kind: str | None = None, version: int | None = None
) -> ChosenModel:
    """Fetch a model of the registry.

    Without a kind it is the champion, or the best of the newest (``champion_or_best``).

    Args:
        context: Where the registry is.
        kind: Such as ``tdnn``.
        version: Which of its versions, of the kind in use if none is named; the newest if left out.

    Raises:
        PermanentError: There is no such model (``noModel``), or its files are missing or damaged.
    """
    row = _row(context, kind, version)
    parts = {
        name.removeprefix(f"{FULL}."): sha256
        for name, sha256 in row.files.items()
        if name.startswith(f"{FULL}.")
    }
    with workspace(context, "model") as folder:
        model = load_speech_model(get_folder(context.store, parts, folder / FULL))
    return ChosenModel(model, row.rung, row.version)


def _row(context: Context, kind: str | None, version: int | None) -> ModelVersion:
    in_use = champion_or_best(context)
    if in_use is None:
        raise PermanentError("no speech model was trained yet", reason="noModel", hint=HINT)
    if kind is None and version is None:
        return in_use
    models, _ = newest_models_and_evaluation(context, SPEECH)
    name = kind or in_use.rung
    if version is None:
        found = next((model for model in models if model.rung == name), None)
    else:
        with context.transaction() as session:
            found = model_versions.get(session, task=SPEECH, rung=name, version=version)
    if found is None:
        requested = name if version is None else f"{name} v{version}"
        there = ", ".join(f"{model.rung} v{model.version}" for model in models)
        raise PermanentError(
            f"there is no speech model {requested}",
            reason="noModel",
            hint=f"the newest are {there}",
        )
    return found
