"""The pretrained look at thumbnails: whether it is to be had here, and the looks themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ml.datasets import Dataset
from ml.errors import LearningError
from ml.registry import absent_rungs
from ml.views.backbones.looks import Looks
from ml.views.looking import Looker, can_look, can_measure
from services.context import Context
from services.errors import PermanentError
from services.learning.files import looks_folder

TURNED_OFF, NOT_INSTALLED = "turnedOff", "notInstalled"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Look:
    """What training makes of thumbnails besides its own networks.

    Attributes:
        looker: None: nothing.
        missing: Why there is none (``turnedOff``, ``notInstalled``), or None.
    """

    looker: Looker | None
    missing: str | None = None

    @property
    def weights(self) -> str:
        """SHA-256 of the pretrained network's weights; empty without one."""
        return "" if self.looker is None else self.looker.weights

    @property
    def absent(self) -> dict[str, str]:
        """The rungs that cannot be trained like this, and why in a word."""
        return absent_rungs(looked_at=self.looker is not None, measured=can_measure())

    def at(self, dataset: Dataset, progress: Progress) -> Looks | None:
        """Look at a dataset's thumbnails, at those that are known by now from the cache.

        Raises:
            LearningError: A thumbnail cannot be decoded.
        """
        if self.looker is None:
            return None
        encoded = dict(dataset.thumbnails())
        names = dataset.strings("thumbnail_sha256")
        return self.looker.look(names, encoded.__getitem__, progress=progress)


def choose(context: Context, asked: bool | None) -> Look:
    """Return the look that a training gets.

    Args:
        context: Its settings say whether there is to be one, and with whose weights.
        asked: Whether it was asked for; None leaves it to the settings and to what is installed.

    Raises:
        PermanentError: It was asked for and cannot be had, or the user's weights cannot be used.
    """
    wanted = context.settings.backbone if asked is None else asked
    if not wanted:
        return Look(None, TURNED_OFF)
    if asked is None and context.settings.backbone_weights is None and not can_look():
        return Look(None, NOT_INSTALLED)
    try:
        return Look(open_looker(context))
    except LearningError as error:
        raise PermanentError(
            str(error),
            reason=error.reason,
            hint="or train without: `tubegrader train --no-backbone`",
        ) from error


def open_looker(context: Context, folder: Path | None = None) -> Looker:
    """Open the pretrained network with the weights that the settings name.

    Args:
        context: Its settings.
        folder: Where looks are kept; None: in the home, where every night finds them again.

    Raises:
        LearningError: The weights are missing or cannot be used.
    """
    settings = context.settings
    return Looker(
        looks_folder(context) if folder is None else folder,
        weights=settings.backbone_weights,
        timm_name=settings.backbone_model,
    )
