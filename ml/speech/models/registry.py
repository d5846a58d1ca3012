"""The speech models by name."""

from importlib import import_module
from pathlib import Path
from typing import cast

from ml.artifacts import read_artifact
from ml.errors import LearningError
from ml.speech.frontend.cache import Decode, FeatureCache
from ml.speech.models.base import SpeechRung

_RUNGS = {
    "spectrogram_cnn": ("ml.speech.models.network_model", "SpectrogramCnnRung"),
    "crnn": ("ml.speech.models.network_model", "CrnnRung"),
    "tdnn": ("ml.speech.models.network_model", "TdnnRung"),
    "blend": ("ml.speech.models.blend", "BlendRung"),
}
_PRETRAINED = {
    "pretrained_encoder": ("ml.speech.models.pretrained_encoder", "PretrainedEncoderRung"),
}
"""On weights that others trained, where they are installed."""
REFERENCE = "spectrogram_cnn"
"""What every other model is held against."""


def speech_rung_names() -> tuple[str, ...]:
    """Return the names of the models that need nobody's weights, the reference first."""
    return tuple(_RUNGS)


def pretrained_rung_names() -> tuple[str, ...]:
    """Return the names of the models on weights that others trained, installed or not."""
    return tuple(_PRETRAINED)


def left_out_rungs() -> dict[str, str]:
    """Return the pretrained models that cannot be used here, each with what to install."""
    found = {}
    for name in _PRETRAINED:
        try:
            import_module("ml.speech.pretrained.encoder").check_installed()
        except LearningError as error:
            found[name] = str(error)
    return found


def speech_rung_class(name: str) -> type[SpeechRung]:
    """Return the class of a model.

    Raises:
        LearningError: No such model (``unknownRung``).
    """
    known = _RUNGS | _PRETRAINED
    if name not in known:
        raise LearningError(
            f"there is no speech model {name!r}; there are {', '.join(known)}",
            reason="unknownRung",
        )
    module, attribute = known[name]
    return cast("type[SpeechRung]", getattr(import_module(module), attribute))


def speech_cache(name: str, directory: Path, decode: Decode | None = None) -> FeatureCache:
    """Return the cache in ``directory`` of what a model learns from.

    Args:
        name: Of the model. All but the pretrained one share the log-mel features.
        directory: Created if needed; caches of several kinds may lie in it.
        decode: How to get a clip's samples; its file is decoded if left out.

    Raises:
        LearningError: The pretrained encoder is not installed (``encoderMissing``).
    """
    if name not in _PRETRAINED:
        return FeatureCache(directory, decode)
    module = import_module("ml.speech.pretrained.cache")
    return cast("FeatureCache", module.EncodingCache(directory, decode))


def load_speech_rung(directory: Path) -> SpeechRung:
    """Load whichever model was saved in a directory.

    Raises:
        LearningError: The artefact is missing or damaged.
    """
    name, _, _ = read_artifact(directory)
    return speech_rung_class(name).load(directory)
