"""Model artefacts on disk: ``model.safetensors`` (weights) and ``model.json`` (everything else).

Models that have weights in common keep those in ``pictures.safetensors``.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.errors import LearningError

TENSORS = "model.safetensors"
SHARED = "pictures.safetensors"
"""Weights that several models have in common: the same bytes, so that a store keeps them once."""
DOCUMENT = "model.json"
FORMAT = 1


def _code_version() -> str:
    return importlib.metadata.version("tubegrader")


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Where a model comes from.

    Attributes:
        dataset: The dataset's id.
        seed: Decides the folds, the first weights and the order of the training rows.
        folds: How many folds of channels; 1 where nothing is cross-fitted.
        threshold: Views per day that ``probability_over`` speaks of; 0 for models of something
            else.
        config: Hyperparameters.
        preprocessing: What was done to thumbnails before they reached the model.
        metrics: The evaluation, filled in after training.
        device: What it was trained on.
        code_version: The version of this package.
    """

    dataset: str
    seed: int
    folds: int = 1
    threshold: float = 0.0
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preprocessing: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    device: str = "cpu"
    code_version: str = dataclasses.field(default_factory=_code_version)


Tensors = Mapping[str, npt.NDArray[Any]]


def write_artifact(
    directory: Path, name: str, card: ModelCard, tensors: Tensors, shared: Tensors | None = None
) -> None:
    """Write a model's files; the same model gives the same bytes.

    Args:
        directory: Created if needed.
        name: The rung's name.
        card: Where the model comes from.
        tensors: Arrays by name.
        shared: More arrays, that other models have too; they get a file of their own.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weights = _encoded(tensors)
    document: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "tensors_sha256": hashlib.sha256(weights).hexdigest(),
        "card": dataclasses.asdict(card),
    }
    if shared is not None:
        common = _encoded(shared)
        document["shared_sha256"] = hashlib.sha256(common).hexdigest()
        (directory / SHARED).write_bytes(common)
    (directory / TENSORS).write_bytes(weights)
    # Last, so that its presence says that the artefact is whole.
    (directory / DOCUMENT).write_text(
        json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    )


def _encoded(tensors: Tensors) -> bytes:
    # An extra: what models declare of themselves is read without it.
    from safetensors.numpy import save  # noqa: PLC0415

    return save({key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)})


def read_artifact(
    directory: Path, name: str | None = None
) -> tuple[str, ModelCard, dict[str, npt.NDArray[Any]]]:
    """Read a model's name, card and arrays, the shared ones among them.

    Args:
        directory: Where :func:`write_artifact` wrote.
        name: The rung expected there, or None for any.

    Raises:
        LearningError: Missing, altered, of another rung or another format.
    """
    from safetensors import SafetensorError  # noqa: PLC0415 - as above
    from safetensors.numpy import load  # noqa: PLC0415

    try:
        document = json.loads((directory / DOCUMENT).read_text())
        weights = (directory / TENSORS).read_bytes()
        if document["format"] != FORMAT:
            raise _damaged(directory, f"format {document['format']} is not {FORMAT}")
        if document["tensors_sha256"] != hashlib.sha256(weights).hexdigest():
            raise _damaged(directory, f"{TENSORS} was altered or cut short")
        if name is not None and document["name"] != name:
            raise _damaged(directory, f"it holds {document['name']!r}, not {name!r}")
        arrays = load(weights)
        if "shared_sha256" in document:
            common = (directory / SHARED).read_bytes()
            if document["shared_sha256"] != hashlib.sha256(common).hexdigest():
                raise _damaged(directory, f"{SHARED} was altered or cut short")
            arrays |= load(common)
        return document["name"], ModelCard(**document["card"]), arrays
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _damaged(directory, str(error)) from error


def _damaged(directory: Path, what: str) -> LearningError:
    return LearningError(
        f"the model in {directory} cannot be used: {what}", reason="artifactUnusable"
    )
