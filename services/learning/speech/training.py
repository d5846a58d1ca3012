"""Training: freeze a dataset of speech, train every model on it with sources left out in turn."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from db.models.learning import SPEECH
from ml.audio import floats, read_flac
from ml.errors import LearningError
from ml.speech.augmentation.codecs import Waveform
from ml.speech.data.manifest import Clip, Manifest
from ml.speech.frontend.cache import FeatureCache
from ml.speech.models.registry import own_model_names, speech_model_class
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import sweep, workspace
from services.learning.speech import datasets, folds
from services.learning.speech.models import (
    CrossFittedModel,
    assert_held_out,
    folds_by_origin,
    put_model,
)
from services.learning.training import Recipe, record, trained_before
from services.work.jobs import JobHandle

log = structlog.get_logger()

FOLDS = 3
KEPT_S = 2 * 86_400
"""What a training left that died and was never resumed is removed after two days: features of
sound must not outlive it for long."""


def train(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a training job.

    The job's params: ``conflicts`` (see :class:`services.learning.speech.datasets.Request`),
    ``rungs`` (names; all of the registry), ``folds``, ``epochs`` (fewer make a trial quick; None
    is each model's own number), ``seed``, ``force`` (train although the same models exist).

    Returns:
        The dataset's id, what is in it and was left out, and the version of each model; ``trained``
        is False when they existed already.

    Raises:
        PermanentError: Nothing honest can be learned from what was collected; says why.
    """
    request = datasets.Request(conflicts=str(job.params.get("conflicts", "drop")))
    seed = int(job.params.get("seed", 0))
    rungs = list(job.params.get("rungs") or own_model_names())
    epochs = job.params.get("epochs")
    job.progress(0, 0, "freezing the dataset")
    frozen = datasets.freeze(context, request)
    config = {"rungs": rungs, "folds": int(job.params.get("folds", FOLDS)), "epochs": epochs}
    recipe = Recipe(SPEECH, frozen.dataset_id, seed, config)
    existing = trained_before(context, recipe)
    if existing and not job.params.get("force", False):
        return _result(frozen, {m.rung: m.version for m in existing}, trained=False)
    with workspace(context, "training") as folder:
        models = _trained(context, job, frozen.manifest, config, seed)
        files = {
            rung: put_model(context.store, model, folder / rung) for rung, model in models.items()
        }
    versions = record(context, job, recipe, files)
    shutil.rmtree(_folder(context, job), ignore_errors=True)
    return _result(frozen, versions, trained=True)


def _trained(
    context: Context, job: JobHandle, manifest: Manifest, config: dict[str, Any], seed: int
) -> dict[str, CrossFittedModel]:
    """Train each model on everything, and without each fold; finished networks are not redone."""
    folder = _folder(context, job)
    sweep(folder.parent, KEPT_S)
    cache = FeatureCache(folder / "features", decode=lambda clip: _sound(context, clip))

    def stop() -> bool:
        job.check()
        return False

    try:
        parts = folds.split(manifest, folds=config["folds"], seed=seed)
        trainings = [manifest, *(part.training for part in parts)]
        models = {}
        total = len(config["rungs"]) * len(trainings)
        for place, name in enumerate(config["rungs"]):
            fitted = [
                speech_model_class(name).fit(
                    training,
                    cache,
                    seed=seed,
                    epochs=config["epochs"],
                    progress=_progress(job, place * len(trainings) + number, total, name),
                    cancelled=stop,
                    checkpoint=folder / "networks",
                )
                for number, training in enumerate(trainings)
            ]
            models[name] = CrossFittedModel(fitted[0], fitted[1:], folds_by_origin(parts))
            assert_held_out(models[name], manifest)
    except LearningError:
        # It would fail again in the same way.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return models


def _progress(
    job: JobHandle, before: int, total: int, name: str
) -> Callable[[int, int, str], None]:
    """Tell the job how far all trainings are, in hundredths of one."""

    def progress(step: int, steps: int, message: str) -> None:
        done = 100 * before + round(100 * step / max(steps, 1))
        job.progress(done, 100 * total, f"{name} ({before + 1} of {total}): {message}")

    return progress


def _sound(context: Context, clip: Clip) -> Waveform:
    try:
        return floats(read_flac(context.store.get(clip.clip_id)))
    except PermanentError as error:
        raise PermanentError(
            f"the sound of a segment is gone: {error}",
            reason="soundGone",
            hint="its retention or approval ended meanwhile: `tubegrader models train speech`",
        ) from error


def _folder(context: Context, job: JobHandle) -> Path:
    """Return where a job keeps what it need not do twice; whoever goes on with it finds it."""
    return context.settings.home / "cache" / "speech-training" / str(job.job_id)


def _result(
    frozen: datasets.SpeechDataset, versions: dict[str, int], *, trained: bool
) -> dict[str, Any]:
    return {
        "dataset_id": frozen.dataset_id,
        "dataset_is_new": frozen.is_new,
        "segments": frozen.rows.num_rows,
        "speakers": len(set(frozen.rows["speaker"].to_pylist())),
        "excluded": frozen.excluded,
        "versions": versions,
        "trained": trained,
    }
