"""What trainings of every task have in common: how they are told apart, and how they are kept."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from db.models import ModelVersion
from db.queries.learning import model_versions
from services.context import Context
from services.work.jobs import JobHandle

CODE_VERSION = importlib.metadata.version("tubegrader")


@dataclass(frozen=True)
class Recipe:
    """In what way models are trained: the same recipe makes the same models.

    Attributes:
        task: ``thumbnails`` or ``speech``.
        dataset_id: On what.
        seed: Of everything drawn.
        config: How, as JSON values.
    """

    task: str
    dataset_id: str
    seed: int
    config: dict[str, Any]


def trained_before(context: Context, recipe: Recipe) -> list[ModelVersion]:
    """Return the newest version of each model that this code trained by a recipe."""
    with context.transaction() as session:
        return model_versions.like(
            session,
            dataset_id=recipe.dataset_id,
            seed=recipe.seed,
            code_version=CODE_VERSION,
            config=recipe.config,
        )


def record(
    context: Context, job: JobHandle, recipe: Recipe, files: Mapping[str, dict[str, str]]
) -> dict[str, int]:
    """Record trained models all at once; their files are in the store by now.

    Args:
        context: What to work with.
        job: Which trained them.
        recipe: How.
        files: Name to SHA-256 of each model's files, by rung.

    Returns:
        The version of each rung.

    Raises:
        JobCancelledError: The user cancelled the job.
        LeaseLostError: Another worker has it.
    """
    job.check()
    with context.transaction() as session:
        return {
            rung: model_versions.add(
                session,
                task=recipe.task,
                rung=rung,
                dataset_id=recipe.dataset_id,
                job_id=job.job_id,
                trained_at=context.clock(),
                code_version=CODE_VERSION,
                seed=recipe.seed,
                config=recipe.config,
                files=rung_files,
            ).version
            for rung, rung_files in files.items()
        }
