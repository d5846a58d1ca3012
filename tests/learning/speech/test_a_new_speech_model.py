"""A model is its own file and a line in the registry: a toy, declared here, goes all the way."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.speech.data.manifest import check_trainable
from ml.speech.evaluation import diagnostics
from ml.speech.frontend.features import BANDS, features
from ml.speech.models import registry
from ml.speech.models.base import SpeechModelSpec, SpeechPredictions, empty_predictions
from services.cli.speech_tables import print_comparison
from services.learning.report import speech_page  # noqa: F401 - imported before the toy is there
from services.learning.report.speech import models_of
from services.learning.speech.classifier import from_folder
from services.learning.speech.detection import ClassifiedFile, detect_language
from services.learning.speech.folder import Request, compare_and_write
from services.learning.speech.folder_training import Request as TrainingRequest
from services.learning.speech.folder_training import train
from tests.learning.speech.test_speech_folder import write_index
from tests.support.speech import write_clips


@dataclass(frozen=True)
class NearestMean:
    """Calls a clip what the mean spectrum is that its own is nearer to."""

    spec: ClassVar[SpeechModelSpec] = SpeechModelSpec("nearest_mean", "the nearer mean spectrum")

    card: ModelCard
    means: np.ndarray

    @classmethod
    def fit(
        cls,
        manifest,
        cache,
        *,
        seed,
        epochs=None,
        progress=lambda _step, _total, _message: None,
        cancelled=lambda: False,
        checkpoint=None,
    ):
        check_trainable(manifest)
        spectra = cls.spectra(cache.read(manifest))
        means = np.stack([spectra[manifest.labels == label].mean(axis=0) for label in (0, 1)])
        progress(1, 1, "averaging spectra")
        sources = sorted(set(manifest.sources))
        return cls(ModelCard(manifest.sha256, seed, {"sources": sources}), means)

    @staticmethod
    def spectra(clips):
        spectra = np.stack([np.asarray(clip[:, :BANDS], float).mean(axis=0) for clip in clips])
        return spectra - spectra.mean(axis=1, keepdims=True)

    def predict(self, waveforms):
        return self.predict_features([features(waveform) for waveform in waveforms])

    def predict_features(self, clips):
        if not len(clips):
            return empty_predictions(BANDS)
        spectra = self.spectra(clips)
        near = np.exp(-np.linalg.norm(spectra[:, None] - self.means, axis=2))
        return SpeechPredictions(
            near / near.sum(axis=1, keepdims=True), np.ones(len(clips)), spectra
        )

    def save(self, directory):
        write_artifact(directory, self.spec.name, self.card, {"means": self.means})

    @classmethod
    def load(cls, directory):
        _, card, tensors = read_artifact(directory, cls.spec.name)
        return cls(card, tensors["means"])


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry, "SPEECH_MODELS", (*registry.SPEECH_MODELS, NearestMean))
    monkeypatch.setattr(diagnostics, "SOUNDS", 2)
    return NearestMean.spec.name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    write_index(recordings, write_clips(recordings, clips=1))
    return recordings


def test_it_is_trained_saved_loaded_and_classifies_files(name: str, folder: Path, tmp_path: Path):
    trained = train(TrainingRequest(folder, tmp_path / "out", model=name))
    assert trained["rung"] == name
    chosen = from_folder(Path(trained["model"]), kind=name)
    found = detect_language(next(folder.glob("en0*.wav")), chosen.classifier)
    assert isinstance(found, ClassifiedFile)
    assert found.prediction.language in {"en", "zh", "unknown"}


def test_it_is_compared_on_held_out_sources_and_shown(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    found = compare_and_write(Request(folder, tmp_path / "out", models=(name,)))
    metrics = found["rungs"][name]
    assert sum(map(sum, metrics["confusion"])) == 3 * 2 * 2
    assert set(metrics["source_probe"]) == {"en", "zh"}
    assert found["sentence"].startswith("Of the source told worst")
    print_comparison(found)
    assert name in capsys.readouterr().out
    assert NearestMean.spec.summary in (tmp_path / "out" / "comparison.html").read_text("utf-8")
    assert [model.name for model in models_of(found, {})] == [name]
    assert registry.speech_model_names()[-1] == name
