"""Which speech model listens: of the registry, of a folder, or the user's own Whisper."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from db.models import Evaluation, ModelVersion
from db.models.learning import SPEECH
from db.queries.learning import model_versions, promotion
from ml.artifacts import DOCUMENT
from ml.errors import LearningError
from ml.speech.augmentation.codecs import Waveform
from ml.speech.models.base import SpeechPredictions
from ml.speech.models.pretrained_whisper import PretrainedWhisperRung
from ml.speech.models.registry import load_speech_rung, speech_rung_names
from services.context import Context
from services.errors import PermanentError, UsageError
from services.learning.artifacts import get_folder
from services.learning.results import covers, newest_models_and_evaluation
from services.learning.speech.best import best_of
from services.learning.speech.models import FULL

WHISPER = PretrainedWhisperRung.name
HINT = "`tubegrader train speech` makes one, or name a folder with a saved one: --model DIR"


class Listener(Protocol):
    """What hears: a speech model, ours or not."""

    def predict(self, waveforms: Sequence[Waveform]) -> SpeechPredictions:
        """Score clips: mono float32 at 16 kHz, of any length."""
        ...


@dataclass(frozen=True)
class ChosenModel:
    """A model ready to listen.

    Attributes:
        rung: The model; one of ours has learned from everything there was.
        name: Its kind, such as ``tdnn``.
        version: Its number in the registry; None from elsewhere.
    """

    rung: Listener
    name: str
    version: int | None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name} v{self.version}"


def from_folder(folder: Path, *, rung: str | None = None) -> ChosenModel:
    """Load a saved model.

    Args:
        folder: With ``model.json`` and ``model.safetensors``.
        rung: Which kind it should be; any if left out.

    Raises:
        UsageError: There is none, it is damaged, no speech model, or of another kind.
    """
    if not (folder / DOCUMENT).is_file():
        raise UsageError(f"there is no saved model in {folder}", hint=HINT, reason="noModel")
    try:
        model = load_speech_rung(folder)
    except LearningError as error:
        raise UsageError(str(error), hint=HINT, reason=error.reason) from error
    if rung is not None and model.name != rung:
        raise UsageError(
            f"the model in {folder} is a {model.name}, not a {rung}", reason="otherRung"
        )
    return ChosenModel(model, model.name, None)


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
            f"{WHISPER} listens with weights of your own",
            hint="name their folder: --weights DIR, or TUBEGRADER_SPEECH_WEIGHTS",
            reason="noWeights",
        )
    try:
        return ChosenModel(PretrainedWhisperRung(folder), WHISPER, None)
    except LearningError as error:
        raise UsageError(str(error), reason=error.reason) from error


def from_registry(
    context: Context, *, rung: str | None = None, version: int | None = None
) -> ChosenModel:
    """Fetch a model of the registry.

    Without a rung it is the champion. Where there is none yet, it is the one with the highest
    balanced accuracy in the comparison of the newest models; where those were not compared yet, the
    last of the ladder that there is.

    Args:
        context: Where the registry is.
        rung: Which kind.
        version: Which of its versions; the newest if left out.

    Raises:
        PermanentError: There is no such model (``noModel``), or its files are missing or damaged.
    """
    row = _row(context, rung, version)
    parts = {
        name.removeprefix(f"{FULL}."): sha256
        for name, sha256 in row.files.items()
        if name.startswith(f"{FULL}.")
    }
    with tempfile.TemporaryDirectory(prefix="tubegrader-model-") as folder:
        try:
            model = load_speech_rung(get_folder(context.store, parts, Path(folder) / FULL))
        except LearningError as error:
            raise PermanentError(str(error), reason=error.reason) from error
    return ChosenModel(model, row.rung, row.version)


def _row(context: Context, rung: str | None, version: int | None) -> ModelVersion:
    if rung is None and version is None:
        with context.transaction() as session:
            champion = promotion.model_of(session, task=SPEECH)
        if champion is not None:
            return champion
    models, evaluation = newest_models_and_evaluation(context, SPEECH)
    if not models:
        raise PermanentError("no speech model was trained yet", reason="noModel", hint=HINT)
    name = rung or _best(models, evaluation)
    if version is None:
        found = next((model for model in models if model.rung == name), None)
    else:
        with context.transaction() as session:
            found = model_versions.model_version(session, task=SPEECH, rung=name, version=version)
    if found is None:
        asked = name if version is None else f"{name} v{version}"
        there = ", ".join(f"{model.rung} v{model.version}" for model in models)
        raise PermanentError(
            f"there is no speech model {asked}", reason="noModel", hint=f"the newest are {there}"
        )
    return found


def _best(models: list[ModelVersion], evaluation: Evaluation | None) -> str:
    if evaluation is not None and covers(evaluation, models):
        return best_of(evaluation.detail["rungs"])
    order = {name: place for place, name in enumerate(speech_rung_names())}
    return max((model.rung for model in models), key=lambda name: order.get(name, -1))
