"""The rungs by name. A rung's module is imported when it is asked for: half of them need torch."""

from importlib import import_module
from pathlib import Path
from typing import cast

from ml.artifacts import read_artifact
from ml.errors import LearningError
from ml.thumbnails.models.rung import Rung

_RUNGS = {
    "constant": ("ml.thumbnails.models.constant", "ConstantRung"),
    "age+format": ("ml.thumbnails.models.tabular", "AgeFormatRung"),
    "subscribers": ("ml.thumbnails.models.tabular", "SubscribersRung"),
    "subscribers+age": ("ml.thumbnails.models.tabular", "SubscribersAgeRung"),
    "+history": ("ml.thumbnails.models.tabular", "HistoryRung"),
    "+features": ("ml.thumbnails.models.measured", "FeaturesRung"),
    "lite0+ridge": ("ml.thumbnails.models.reference", "FrozenRidgeRung"),
    "thumbnail": ("ml.thumbnails.models.thumbnail", "ThumbnailRung"),
    "subscribers+thumbnail": ("ml.thumbnails.models.thumbnail", "SubscribersThumbnailRung"),
    "subscribers+age+thumbnail": ("ml.thumbnails.models.thumbnail", "SubscribersAgeThumbnailRung"),
    "+thumbnail": ("ml.thumbnails.models.thumbnail", "HistoryThumbnailRung"),
}


def rung_names() -> tuple[str, ...]:
    """Return the names of the ladder's rungs, from the bottom up.

    ``lite0+ridge`` is a reference beside it: the plain method that ``thumbnail`` has to beat. Which
    rungs can be trained depends on what is known of thumbnails: :func:`absent_rungs`.
    """
    return tuple(_RUNGS)


def absent_rungs(*, has_embeddings: bool, measured: bool) -> dict[str, str]:
    """Return the rungs that cannot be trained, and why in a word.

    Args:
        has_embeddings: A pretrained network looked at the thumbnails.
        measured: They were measured too.
    """
    absent = {}
    if not (has_embeddings and measured):
        absent["+features"] = "notMeasured"
    if not has_embeddings:
        absent["lite0+ridge"] = "notLookedAt"
    return absent


def rung_class(name: str) -> type[Rung]:
    """Return the class of a rung.

    Raises:
        LearningError: No such rung.
    """
    if name not in _RUNGS:
        raise LearningError(
            f"there is no rung {name!r}; there are {', '.join(_RUNGS)}", reason="unknownRung"
        )
    module, attribute = _RUNGS[name]
    return cast("type[Rung]", getattr(import_module(module), attribute))


def load_rung(directory: Path) -> Rung:
    """Load whichever rung was saved in a directory.

    Raises:
        LearningError: The artefact is missing or damaged.
    """
    name, _, _ = read_artifact(directory)
    return rung_class(name).load(directory)
