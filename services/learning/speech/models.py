"""A model as it is kept: trained on everything, and once more without each fold of sources.

What is scored goes to the training that its source, speaker and recording were held out of; what
none of them has seen goes to the one that learned from everything. So every score in the database
is of something held out, and a comparison needs no other ones.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml.errors import LearningError
from ml.speech.data.manifest import Manifest
from ml.speech.frontend.features import AnyFeatures
from ml.speech.models.base import SpeechModel, SpeechPredictions
from ml.speech.models.registry import load_speech_model
from services.learning.artifacts import get_folder, put_folder
from services.learning.errors import translate_errors
from services.learning.speech.folds import Fold
from services.storage import ObjectStore

FULL = "full"
FOLDS = "heard.json"
"""Keeps ``fold_of``; what older versions named it, so that their models can be read."""


@dataclass(frozen=True)
class Origin:
    """Where a segment comes from, as the manifest tells it."""

    source: str
    speaker: str
    recording: str


@dataclass(frozen=True)
class CrossFittedModel:
    """One model's trainings.

    Attributes:
        full: Learned from every clip.
        without: Each learned from every clip but those of its fold.
        fold_of: In which fold a recording, speaker or source is: ``recording:…``, ``speaker:…``,
            ``source:…``.
    """

    full: SpeechModel
    without: Sequence[SpeechModel]
    fold_of: Mapping[str, int]

    def predict(self, clips: Sequence[AnyFeatures], origins: Sequence[Origin]) -> SpeechPredictions:
        """Score clips, each (frames, COLUMNS), by the training that has not seen where it is from.

        The embeddings are of different trainings and so are not to be compared with each other.
        """
        folds = np.array([self.fold(origin) for origin in origins], dtype=np.int64)
        probabilities, speech = np.zeros((len(clips), 2)), np.zeros(len(clips))
        for fold in np.unique(folds).tolist():
            rows = np.flatnonzero(folds == fold)
            model = self.full if fold < 0 else self.without[fold]
            found = model.predict_features([clips[row] for row in rows.tolist()])
            probabilities[rows], speech[rows] = found.probabilities, found.speech
        return SpeechPredictions(probabilities, speech, np.zeros((len(clips), 0)))

    def fold(self, origin: Origin) -> int:
        """Return the fold that an origin is in; -1 where no training has seen it."""
        for key in (
            f"recording:{origin.recording}",
            f"speaker:{origin.speaker}",
            f"source:{origin.source}",
        ):
            if key in self.fold_of:
                return self.fold_of[key]
        return -1


def folds_by_origin(folds: Sequence[Fold]) -> dict[str, int]:
    """Return the fold of each recording, speaker and source."""
    found: dict[str, int] = {}
    for number, fold in enumerate(folds):
        for clip in fold.held_out:
            for key in (
                f"recording:{clip.recording}",
                f"speaker:{clip.speaker}",
                f"source:{clip.source}",
            ):
                found[key] = number
    return found


def put_model(store: ObjectStore, model: CrossFittedModel, folder: Path) -> dict[str, str]:
    """Put a model into the store; return name → SHA-256.

    Args:
        store: Where to.
        model: What to put.
        folder: To write in; created.
    """
    files: dict[str, str] = {}
    for part, training in _parts(model).items():
        training.save(folder / part)
        stored = put_folder(store, folder / part)
        files |= {f"{part}.{name}": sha256 for name, sha256 in stored.items()}
    fold_of = json.dumps(model.fold_of, sort_keys=True, indent=0).encode()
    return files | {FOLDS: store.put(fold_of)}


def get_model(store: ObjectStore, files: Mapping[str, str], folder: Path) -> CrossFittedModel:
    """Read a model back.

    Raises:
        PermanentError: A file is missing or damaged.
    """
    parts: dict[str, dict[str, str]] = {}
    for name, sha256 in files.items():
        if name != FOLDS:
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = sha256
    with translate_errors(folder):
        loaded = {
            part: load_speech_model(get_folder(store, names, folder / part))
            for part, names in parts.items()
        }
    without = [loaded[_without(number)] for number in range(len(loaded) - 1)]
    fold_of: dict[str, int] = json.loads(store.get(files[FOLDS]))
    return CrossFittedModel(loaded[FULL], without, fold_of)


def assert_held_out(model: CrossFittedModel, manifest: Manifest) -> None:
    """Hold the trainings to their promise: none scores a source that it learned from.

    Raises:
        LearningError: ``leakSource``, naming one.
    """
    learned: list[set[Any]] = [set(training.card.config["sources"]) for training in model.without]
    for clip in manifest:
        fold = model.fold(Origin(clip.source, clip.speaker, clip.recording))
        if fold < 0 or clip.source in learned[fold]:
            raise LearningError(
                f"the source {clip.source!r} is scored by a training that has seen it: what is "
                "measured would be memory",
                reason="leakSource",
            )


def _parts(model: CrossFittedModel) -> dict[str, SpeechModel]:
    without = {_without(number): training for number, training in enumerate(model.without)}
    return {FULL: model.full} | without


def _without(number: int) -> str:
    return f"without{number + 1}"
