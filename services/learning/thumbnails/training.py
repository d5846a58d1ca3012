"""Training: freeze a dataset, train every rung of the ladder on it, keep the artefacts."""

import shutil
from dataclasses import asdict
from typing import Any

import structlog

from db.models.learning import THUMBNAILS
from ml.errors import LearningError
from ml.thumbnails.data.dataset import DEFAULT_THRESHOLD
from ml.thumbnails.models.ladder import LadderConfig, dataset_images, train_ladder
from ml.thumbnails.models.registry import rung_names
from ml.training.checkpoints import Checkpoints
from services.context import Context
from services.errors import PermanentError
from services.learning import checkpoints
from services.learning.artifacts import put_folder, workspace
from services.learning.thumbnails import datasets, extraction, selection
from services.learning.thumbnails.extraction import ExtractionPlan
from services.learning.training import Recipe, record, trained_before
from services.work.jobs import JobHandle

log = structlog.get_logger()

FROZEN = "dataset"
"""The step that a job has done once its dataset is frozen: who goes on with it learns from that."""


def train(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a training job.

    The job's params: ``threshold`` (views per day), ``label`` (which views, see
    :class:`services.learning.thumbnails.selection.Request`), ``seed``, ``force`` (train although
    the same models exist), ``backbone`` (learn from a pretrained network's image features too: True
    refuses to go on without, False does without, nothing leaves it to the settings and to what is
    there), ``fine_tune`` (train its last stages on).

    Returns:
        The dataset's id and size, and the version of each rung; ``trained`` is False when they
        existed already. ``absent`` are the rungs that could not be trained,
        ``without_image_features`` says why there were none of a pretrained network.

    Raises:
        PermanentError: Nothing honest can be learned from what was collected; says why.
        TransientError: A disk is full; what was finished is kept.
    """
    request = selection.Request(
        threshold=float(job.params.get("threshold", DEFAULT_THRESHOLD)),
        label=str(job.params.get("label", selection.AUTO)),
        force=bool(job.params.get("force", False)),
    )
    plan = extraction.choose(
        context,
        job.params.get("backbone"),
        fine_tune=bool(job.params.get("fine_tune", False)),
    )
    config = LadderConfig(
        seed=int(job.params.get("seed", 0)),
        backbone=plan.extractor is not None,
        weights=plan.weights,
        fine_tune=plan.fine_tune,
    )
    frozen = _frozen(context, job, request)
    recipe = Recipe(THUMBNAILS, frozen.dataset_id, config.seed, asdict(config))
    existing = trained_before(context, recipe)
    # An earlier release may have trained fewer rungs in otherwise the same way.
    is_whole = {m.rung for m in existing} >= set(rung_names()) - plan.absent.keys()
    # Its worker may have died between recording them and saying so.
    is_ours = all(m.job_id == job.job_id for m in existing)
    if is_whole and (is_ours or not request.force):
        return _result(context, frozen, plan, {m.rung: m.version for m in existing}, trained=False)
    checkpoints.sweep(context)
    try:
        versions = _trained(context, job, recipe, config, plan)
    except PermanentError:
        # Who tries this job again means: with what there is by then.
        job.end_step(FROZEN, {})
        raise
    return _result(context, frozen, plan, versions, trained=True)


def _frozen(context: Context, job: JobHandle, request: selection.Request) -> datasets.FrozenDataset:
    """Freeze the dataset; or return the one that this job had begun to learn from."""
    if before := job.steps.get(FROZEN):
        try:
            return datasets.known(context, before["dataset_id"], is_new=before["is_new"])
        except PermanentError as error:
            # The job failed long ago, and what it had frozen was let go of since.
            log.warning("training.dataset_gone", problem=str(error))
    job.progress(0, 0, "freezing the dataset")
    frozen = datasets.freeze(context, request)
    job.end_step(FROZEN, {"dataset_id": frozen.dataset_id, "is_new": frozen.is_new})
    return frozen


def _trained(
    context: Context, job: JobHandle, recipe: Recipe, config: LadderConfig, plan: ExtractionPlan
) -> dict[str, int]:
    """Train on a dataset and record the models; go on from the states that are kept."""
    kept = checkpoints.folder_for(context, recipe)
    with workspace(context, "training") as folder:
        dataset = datasets.fetch(context, recipe.dataset_id, folder / "dataset")
        try:
            image_features = plan.at(dataset, job.progress)
            images = dataset_images(dataset)
            ladder = train_ladder(
                dataset,
                images,
                config,
                progress=job.progress,
                image_features=image_features,
                backbone=plan.backbone,
                checkpoints=Checkpoints(kept, checkpoints.EVERY_S),
            )
        except LearningError:
            # It would fail again in the same way.
            shutil.rmtree(kept, ignore_errors=True)
            raise
        artefacts = ladder.save(folder / "models")
        files = {rung: put_folder(context.store, path) for rung, path in artefacts.items()}
        versions = record(context, job, recipe, files)
    shutil.rmtree(kept, ignore_errors=True)
    return versions


def _result(
    context: Context,
    frozen: datasets.FrozenDataset,
    plan: ExtractionPlan,
    versions: dict[str, int],
    *,
    trained: bool,
) -> dict[str, Any]:
    with workspace(context, "training") as folder:
        rows = datasets.fetch_without_pictures(context, frozen.dataset_id, folder)
    return {
        "dataset_id": frozen.dataset_id,
        "n_videos": len(rows),
        "n_without_history": rows.n_without_history,
        "dataset_is_new": frozen.is_new,
        "excluded": frozen.excluded,
        "versions": versions,
        "absent": plan.absent,
        "without_image_features": plan.missing,
        "trained": trained,
    }
