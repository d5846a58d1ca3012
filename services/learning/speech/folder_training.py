"""Training of one speech model on a folder of recorded clips, without a database.

What comes out is the same artefact that the registry keeps, for ``audio classify --model``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.errors import LearningError
from ml.speech.data.manifest import Manifest
from ml.speech.models.registry import most_robust_model, speech_cache, speech_model_class
from ml.training.callbacks import Cancelled, Progress
from services.errors import PermanentError, UsageError

INDEX = "clips.csv"
FEATURES, NETWORKS, MODELS = "features", "networks", "models"
COLUMNS_HINT = (
    "--folder needs clips.csv: clip_file, language (en or zh), speaker_id, source, "
    "original_encoding, duration_s"
)


@dataclass(frozen=True)
class Request:
    """What is trained.

    Attributes:
        folder: Holds ``clips.csv`` and the files it names; all of it is learned from.
        out: Where features, finished networks and the model are kept; a second run goes on after
            them, and ``compare speech --folder`` shares the features.
        model: A name of the registry; if left out the pretrained encoder where it is installed, and
            else the one of our own that codecs cost least.
        seed: Decides everything random.
    """

    folder: Path
    out: Path
    model: str | None = None
    seed: int = 0


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's index.

    Raises:
        UsageError: There is none, or it cannot be used.
    """
    try:
        return Manifest.from_csv(folder / INDEX)
    except LearningError as error:
        raise UsageError(str(error), reason=error.reason, hint=COLUMNS_HINT) from error


def train(
    request: Request,
    *,
    progress: Progress = lambda _step, _total, _message: None,
    cancelled: Cancelled = lambda: False,
) -> dict[str, Any]:
    """Train on every clip of the folder and save the model.

    Returns:
        JSON values: ``rung``, ``model`` (the folder it was saved in), what it learned from.

    Raises:
        UsageError: The folder has no usable index, or there is no such model.
        PermanentError: Nothing can be learned from these clips.
    """
    manifest = read_manifest(request.folder)
    name = request.model or most_robust_model()
    try:
        kind = speech_model_class(name)
    except LearningError as error:
        raise UsageError(str(error), reason=error.reason) from error
    saved = request.out / MODELS / name
    try:
        model = kind.fit(
            manifest,
            speech_cache(name, request.out / FEATURES),
            seed=request.seed,
            progress=progress,
            cancelled=cancelled,
            checkpoint=request.out / NETWORKS,
        )
        model.save(saved)
    except LearningError as error:
        raise PermanentError(str(error), reason=error.reason) from error
    return {
        "rung": name,
        "model": str(saved),
        "seed": request.seed,
        "n_clips": len(manifest),
        "n_speakers": len(set(manifest.speakers)),
        "sources": sorted(set(manifest.sources)),
        "manifest_sha256": manifest.sha256,
    }
