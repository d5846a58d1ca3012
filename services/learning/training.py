"""Training: freeze a dataset, train every rung of the ladder on it, keep the artefacts."""

import importlib.metadata
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from db.queries import learning
from db.session import unit_of_work
from ml.datasets import DEFAULT_THRESHOLD, Dataset
from ml.errors import LearningError
from ml.registry import rung_names
from ml.views.backbones.looks import Looks
from ml.views.ladder import LadderConfig, TrainedLadder, dataset_images, train_ladder
from ml.views.looking import Looker, can_look
from services.context import Context
from services.errors import PermanentError
from services.jobs import JobHandle
from services.learning import datasets
from services.learning.files import looks_folder, put_folder

log = structlog.get_logger()


def work(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a training job.

    The job's params: ``threshold`` (views per day), ``label`` (which views, see
    ``services.learning.datasets.Request``), ``seed``, ``force`` (train although the same models
    exist), ``backbone`` (learn from a pretrained network too, where it is installed).

    Returns:
        The dataset's id and size, and the version of each rung; ``trained`` is False when they
        existed already.

    Raises:
        PermanentError: Nothing honest can be learned from what was collected; says why.
    """
    request = datasets.Request(
        threshold=float(job.params.get("threshold", DEFAULT_THRESHOLD)),
        label=str(job.params.get("label", datasets.AUTO)),
        force=bool(job.params.get("force", False)),
    )
    config = LadderConfig(
        seed=int(job.params.get("seed", 0)),
        backbone=bool(job.params.get("backbone", False)) and can_look(),
    )
    job.progress(0, 0, "freezing the dataset")
    frozen = datasets.freeze(context, request)
    with unit_of_work(context.sessions) as session:
        existing = learning.model_versions_like(
            session,
            dataset_id=frozen.dataset_id,
            seed=config.seed,
            code_version=importlib.metadata.version("tubegrader"),
            config=asdict(config),
        )
    # An earlier release may have trained fewer rungs in otherwise the same way.
    if {m.rung for m in existing} >= set(rung_names()) and not request.force:
        return _result(frozen, {m.rung: m.version for m in existing}, trained=False)
    with tempfile.TemporaryDirectory(prefix="tubegrader-training-") as folder:
        dataset = datasets.fetch(context, frozen.dataset_id, Path(folder) / "dataset")
        try:
            looks = _look(context, job, dataset) if config.backbone else None
            images = dataset_images(dataset)
            ladder = train_ladder(dataset, images, config, progress=job.progress, looks=looks)
        except LearningError as error:
            raise PermanentError(str(error), reason=error.reason) from error
        versions = _store(context, job, ladder, config, frozen.dataset_id, Path(folder) / "models")
    return _result(frozen, versions, trained=True)


def _look(context: Context, job: JobHandle, dataset: Dataset) -> Looks:
    encoded = dict(dataset.thumbnails())
    return Looker(looks_folder(context)).look(
        dataset.strings("thumbnail_sha256"), encoded.__getitem__, progress=job.progress
    )


def _store(
    context: Context,
    job: JobHandle,
    ladder: TrainedLadder,
    config: LadderConfig,
    dataset_id: str,
    folder: Path,
) -> dict[str, int]:
    """Put every rung's artefact into the store, then record them all at once."""
    files = {
        rung: put_folder(context.store, artefact) for rung, artefact in ladder.save(folder).items()
    }
    job.check()
    with unit_of_work(context.sessions) as session:
        return {
            rung: learning.add_model_version(
                session,
                rung=rung,
                dataset_id=dataset_id,
                job_id=job.job_id,
                trained_at=context.clock(),
                code_version=importlib.metadata.version("tubegrader"),
                seed=config.seed,
                config=asdict(config),
                files=rung_files,
            ).version
            for rung, rung_files in files.items()
        }


def _result(
    frozen: datasets.FrozenDataset, versions: dict[str, int], *, trained: bool
) -> dict[str, Any]:
    return {
        "dataset_id": frozen.dataset_id,
        "dataset_is_new": frozen.is_new,
        "excluded": frozen.excluded,
        "versions": versions,
        "trained": trained,
    }
