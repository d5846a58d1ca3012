"""The speech models by name, in the order in which they are shown: the reference first."""

from pathlib import Path

from ml.artifacts import read_artifact
from ml.errors import LearningError
from ml.speech.frontend.cache import Decode, FeatureCache
from ml.speech.models.base import SpeechModel, SpeechModelSpec
from ml.speech.models.blend import BlendModel
from ml.speech.models.crnn import CrnnModel
from ml.speech.models.pretrained_encoder import PretrainedEncoderModel
from ml.speech.models.spectrogram_cnn import SpectrogramCnnModel
from ml.speech.models.tdnn import TdnnModel

SPEECH_MODELS: tuple[type[SpeechModel], ...] = (
    SpectrogramCnnModel,
    CrnnModel,
    TdnnModel,
    BlendModel,
    PretrainedEncoderModel,
)
"""A new model is its own file and a line here; what else is to know of it, its ``spec`` says."""
REFERENCE = next(kind.spec.name for kind in SPEECH_MODELS if kind.spec.reference)
"""What every other model is held against."""


def speech_model_specs() -> tuple[SpeechModelSpec, ...]:
    """Return what the models declare of themselves."""
    return tuple(kind.spec for kind in SPEECH_MODELS)


def speech_model_names() -> tuple[str, ...]:
    """Return the names of all models, installed or not."""
    return tuple(spec.name for spec in speech_model_specs())


def own_model_names() -> tuple[str, ...]:
    """Return the names of the models that need nobody's weights."""
    return tuple(spec.name for spec in speech_model_specs() if not spec.pretrained)


def left_out_models() -> dict[str, str]:
    """Return the models that cannot be used here, each with what to install."""
    found = {}
    for spec in speech_model_specs():
        try:
            spec.check_installed()
        except LearningError as error:
            found[spec.name] = str(error)
    return found


def most_robust_model() -> str:
    """Return the name of the last model that is installed and that codecs cost little."""
    left_out = left_out_models()
    robust = [spec.name for spec in speech_model_specs() if spec.robust]
    return next(name for name in reversed(robust) if name not in left_out)


def speech_model_class(name: str) -> type[SpeechModel]:
    """Return the class of a model.

    Raises:
        LearningError: No such model (``unknownRung``).
    """
    for kind in SPEECH_MODELS:
        if kind.spec.name == name:
            return kind
    raise LearningError(
        f"there is no speech model {name!r}; there are {', '.join(speech_model_names())}",
        reason="unknownRung",
    )


def speech_cache(name: str, directory: Path, decode: Decode | None = None) -> FeatureCache:
    """Return the cache in ``directory`` of what a model learns from.

    Args:
        name: Of the model. All but the pretrained one share the log-mel features.
        directory: Created if needed; caches of several kinds may lie in it.
        decode: How to get a clip's samples; its file is decoded if left out.

    Raises:
        LearningError: No such model (``unknownRung``), or its encoder is not installed
            (``encoderMissing``).
    """
    return speech_model_class(name).spec.cache(directory, decode)


def load_speech_model(directory: Path) -> SpeechModel:
    """Load whichever model was saved in a directory.

    Raises:
        LearningError: The artefact is missing or damaged.
    """
    name, _, _ = read_artifact(directory)
    return speech_model_class(name).load(directory)
