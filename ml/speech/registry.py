"""The speech models by name."""

from importlib import import_module
from pathlib import Path
from typing import cast

from ml.artifacts import read_artifact
from ml.errors import LearningError
from ml.speech.rung import SpeechRung

_RUNGS = {
    "spectrogram_cnn": ("ml.speech.rungs", "SpectrogramCnnRung"),
    "crnn": ("ml.speech.rungs", "CrnnRung"),
    "tdnn": ("ml.speech.rungs", "TdnnRung"),
}
REFERENCE = "spectrogram_cnn"
"""What every other model is held against."""


def speech_rung_names() -> tuple[str, ...]:
    """Return the names of the models, the reference first."""
    return tuple(_RUNGS)


def speech_rung_class(name: str) -> type[SpeechRung]:
    """Return the class of a model.

    Raises:
        LearningError: No such model (``unknownRung``).
    """
    if name not in _RUNGS:
        raise LearningError(
            f"there is no speech model {name!r}; there are {', '.join(_RUNGS)}",
            reason="unknownRung",
        )
    module, attribute = _RUNGS[name]
    return cast("type[SpeechRung]", getattr(import_module(module), attribute))


def load_speech_rung(directory: Path) -> SpeechRung:
    """Load whichever model was saved in a directory.

    Raises:
        LearningError: The artefact is missing or damaged.
    """
    name, _, _ = read_artifact(directory)
    return speech_rung_class(name).load(directory)
