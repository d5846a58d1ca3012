"""Which of the registry's models is used when nobody names one."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from db.queries.learning import datasets, evaluations, model_versions
from ml.speech.models.network_model import NetworkModel
from services.context import Context
from services.errors import PermanentError
from services.learning.speech.best import champion_or_best
from services.learning.speech.classifier import from_registry
from services.learning.speech.models import CrossFittedModel, put_model
from tests.support.cli import settings_of, tubegrader
from tests.support.language import trained_model

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DATASET = "5e" * 32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> NetworkModel:
    return trained_model(tmp_path_factory.mktemp("clips"))


def record(context: Context, model: NetworkModel, rungs: list[str], folder: Path) -> dict[str, int]:
    """Record the model under each of the names; return their ids."""
    files = put_model(context.store, CrossFittedModel(model, [], {}), folder)
    with context.transaction() as session:
        datasets.add(
            session,
            {
                "dataset_id": DATASET,
                "task": "speech",
                "as_of": NOW,
                "created_at": NOW,
                "n_videos": 40,
                "n_channels": 8,
                "excluded": {},
                "files": {},
            },
        )
        return {
            rung: model_versions.add(
                session,
                rung=rung,
                dataset_id=DATASET,
                job_id=None,
                trained_at=NOW,
                code_version="0.1.0",
                seed=0,
                config={},
                files=files,
                task="speech",
            ).model_version_id
            for rung in rungs
        }


def grader(context: Context, ids: dict[str, int], accuracies: dict[str, float]) -> None:
    with context.transaction() as session:
        evaluations.add(
            session,
            dataset_id=DATASET,
            job_id=None,
            created_at=NOW,
            n_videos=40,
            n_channels=8,
            sentence="…",
            detail={
                "task": "speech",
                "model_version_ids": ids,
                "rungs": {
                    rung: {"balanced_accuracy": {"value": value, "low": None, "high": None}}
                    for rung, value in accuracies.items()
                },
            },
            metrics=[
                {
                    "rung": rung,
                    "metric": "balanced_accuracy",
                    "baseline": "",
                    "model_version_id": ids[rung],
                    "value": value,
                    "low": value,
                    "high": value,
                }
                for rung, value in accuracies.items()
            ],
        )


def test_without_a_model_the_command_says_how_to_get_one(context: Context) -> None:
    ran = tubegrader("language", "a.wav", env=settings_of(context))
    assert ran.code == 1
    assert ran.complaint[0] == "error: no speech model was trained yet"
    assert "tubegrader models train speech" in ran.complaint[1]
    assert "--model DIR" in ran.complaint[1]


def in_use(context: Context) -> str:
    """What listens where nobody names a model, be it asked for its row or its weights."""
    row = champion_or_best(context)
    assert row is not None
    assert str(from_registry(context)) == f"{row.rung} v{row.version}"
    return f"{row.rung} v{row.version}"


def test_pages_learn_what_listens_without_torch() -> None:
    script = "import sys; sys.modules['torch'] = None; import services.learning.speech.best"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_one_that_was_judged_best_is_used(
    context: Context, model: NetworkModel, tmp_path: Path
) -> None:
    assert champion_or_best(context) is None
    ids = record(context, model, ["spectrogram_cnn", "crnn", "tdnn"], tmp_path / "model")
    # Not compared yet: the last in order.
    assert in_use(context) == "tdnn v1"
    grader(context, ids, {"spectrogram_cnn": 0.7, "crnn": 0.9, "tdnn": 0.8})
    assert in_use(context) == "crnn v1"
    assert from_registry(context, kind="tdnn").name == "tdnn"
    newer = record(context, model, ["spectrogram_cnn", "crnn", "tdnn"], tmp_path / "newer")
    # The comparison was of the older ones.
    assert in_use(context) == "tdnn v2"
    grader(context, newer, {"spectrogram_cnn": 0.95, "crnn": 0.9, "tdnn": 0.8})
    assert in_use(context) == "spectrogram_cnn v2"
    assert str(from_registry(context, version=1)) == "spectrogram_cnn v1"
    assert str(from_registry(context, kind="crnn", version=1)) == "crnn v1"
    for requested in ({"kind": "whisper"}, {"version": 3}, {"kind": "tdnn", "version": 9}):
        with pytest.raises(PermanentError, match="there is no speech model") as caught:
            from_registry(context, **requested)  # type: ignore[arg-type]
        assert caught.value.hint is not None
        assert "crnn v2" in caught.value.hint


def test_the_fetched_model_is_the_one_that_was_kept(
    context: Context, model: NetworkModel, tmp_path: Path
) -> None:
    record(context, model, ["spectrogram_cnn"], tmp_path / "model")
    fetched = from_registry(context)
    assert fetched.classifier.card == model.card
