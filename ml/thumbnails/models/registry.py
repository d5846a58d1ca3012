"""The ladder: every rung from the bottom up.

A rung's class says in its spec what else there is to know of it. None of these modules imports
torch; those rungs that need it import it when they are trained or loaded.
"""

from pathlib import Path

from ml.artifacts import read_artifact
from ml.errors import LearningError
from ml.thumbnails.models.constant import ConstantRung
from ml.thumbnails.models.measurements import FeaturesRung
from ml.thumbnails.models.reference import FrozenRidgeRung
from ml.thumbnails.models.rung import Need, Rung, RungSpec
from ml.thumbnails.models.tabular import (
    AgeFormatRung,
    HistoryRung,
    SubscribersAgeRung,
    SubscribersRung,
)
from ml.thumbnails.models.thumbnail import (
    HistoryThumbnailRung,
    SubscribersAgeThumbnailRung,
    SubscribersThumbnailRung,
    ThumbnailRung,
)

LADDER: tuple[type[Rung], ...] = (
    ConstantRung,
    AgeFormatRung,
    SubscribersRung,
    SubscribersAgeRung,
    HistoryRung,
    FeaturesRung,
    FrozenRidgeRung,
    ThumbnailRung,
    SubscribersThumbnailRung,
    SubscribersAgeThumbnailRung,
    HistoryThumbnailRung,
)
_ABSENT = {Need.MEASUREMENTS: "notMeasured", Need.IMAGE_FEATURES: "notLookedAt"}


def rung_classes() -> tuple[type[Rung], ...]:
    """Return the rungs, from the bottom up."""
    return LADDER


def ladder_specs() -> list[RungSpec]:
    """Return what the rungs declare, from the bottom up."""
    return [kind.spec for kind in rung_classes()]


def rung_names() -> tuple[str, ...]:
    """Return the names of the ladder's rungs, from the bottom up.

    Which of them can be trained depends on what is known of thumbnails: :func:`absent_rungs`.
    """
    return tuple(spec.name for spec in ladder_specs())


def comparisons() -> list[tuple[str, str]]:
    """Return which rung is compared with which, from the bottom up.

    Each with the one that knows the same but for one thing, and the thumbnail alone with the plain
    method, which sees nothing else either.
    """
    return [(spec.name, spec.baseline) for spec in ladder_specs() if spec.baseline is not None]


def headlines() -> list[RungSpec]:
    """Return the rungs that the finding may be about, the one that is preferred first."""
    return [spec for spec in reversed(ladder_specs()) if spec.beyond is not None]


def picture_rungs() -> list[str]:
    """Return the rungs with networks that see thumbnails: headlines first, then from the top."""
    seeing = [spec for spec in reversed(ladder_specs()) if Need.THUMBNAILS in spec.needs]
    return [spec.name for spec in sorted(seeing, key=lambda spec: spec.beyond is None)]


def absent_rungs(*, has_embeddings: bool, measured: bool) -> dict[str, str]:
    """Return the rungs that cannot be trained, and why in a word.

    Args:
        has_embeddings: A pretrained network's embeddings of the thumbnails are known.
        measured: They were measured too.
    """
    missing = set() if has_embeddings else {Need.IMAGE_FEATURES}
    if not (has_embeddings and measured):
        missing.add(Need.MEASUREMENTS)
    return {
        spec.name: reason
        for spec in ladder_specs()
        for need, reason in _ABSENT.items()
        if need in spec.needs & missing
    }


def rung_class(name: str) -> type[Rung]:
    """Return the class of a rung.

    Raises:
        LearningError: No such rung.
    """
    found = next((kind for kind in rung_classes() if kind.spec.name == name), None)
    if found is None:
        raise LearningError(
            f"there is no rung {name!r}; there are {', '.join(rung_names())}", reason="unknownRung"
        )
    return found


def load_rung(directory: Path) -> Rung:
    """Load whichever rung was saved in a directory.

    Raises:
        LearningError: The artefact is missing or damaged.
    """
    name, _, _ = read_artifact(directory)
    return rung_class(name).load(directory)
