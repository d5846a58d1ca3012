"""Image features by a pretrained network: whether they are to be had here, and themselves."""

from dataclasses import dataclass
from pathlib import Path

from ml.thumbnails.backbones.weights import Backbone
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.features.extractor import FeatureExtractor, can_extract, can_measure
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.models.registry import absent_rungs
from ml.training.callbacks import Progress
from services.context import Context
from services.errors import PermanentError
from services.learning.errors import translate_errors
from services.learning.thumbnails.adopting import adopt
from services.pack_folder import PackFolder
from services.packs import Packs

TURNED_OFF, NOT_INSTALLED = "turnedOff", "notInstalled"


@dataclass(frozen=True)
class ExtractionPlan:
    """What training makes of thumbnails besides its own networks.

    Attributes:
        extractor: None: nothing.
        missing: Why there is none (``turnedOff``, ``notInstalled``), or None.
        fine_tune: Whether the network's last stages are trained on as well.
    """

    extractor: FeatureExtractor | None
    missing: str | None = None
    fine_tune: bool = False

    @property
    def weights(self) -> str:
        """SHA-256 of the pretrained network's weights; empty without one."""
        return "" if self.extractor is None else self.extractor.weights

    @property
    def backbone(self) -> Backbone | None:
        """The network, None without one."""
        return None if self.extractor is None else self.extractor.backbone

    @property
    def absent(self) -> dict[str, str]:
        """The rungs that cannot be trained like this, and why in a word."""
        return absent_rungs(has_embeddings=self.extractor is not None, measured=can_measure())

    def at(self, dataset: Dataset, progress: Progress) -> ImageFeatures | None:
        """Extract a dataset's image features; those that are known by now come from the cache.

        Raises:
            LearningError: A thumbnail cannot be decoded.
        """
        if self.extractor is None:
            return None
        names = dataset.strings("thumbnail_sha256")
        with dataset.pictures() as pictures:
            return self.extractor.extract(names, pictures.read, progress=progress)


def choose(context: Context, requested: bool | None, *, fine_tune: bool = False) -> ExtractionPlan:
    """Return which image features a training gets.

    Args:
        context: Its settings say whether there are to be any, and with whose weights.
        requested: Whether they were requested; None leaves it to the settings and to what is
            installed.
        fine_tune: Whether the network is to be trained on, for which it has to be there.

    Raises:
        PermanentError: They were requested and cannot be had, or the user's weights cannot be used.
    """
    if fine_tune and requested is False:
        raise PermanentError(
            "there is nothing to fine-tune without the pretrained network",
            reason="nothingToTune",
            hint="leave out --no-backbone, or --fine-tune",
        )
    requested = True if fine_tune else requested
    wanted = context.settings.backbone if requested is None else requested
    if not wanted:
        return ExtractionPlan(None, TURNED_OFF)
    if requested is None and context.settings.backbone_weights is None and not can_extract():
        return ExtractionPlan(None, NOT_INSTALLED)
    hint = "or train without: `tubegrader models train --no-backbone`"
    with translate_errors(context.settings.home, hint=hint):
        return ExtractionPlan(open_extractor(context, maps=fine_tune), fine_tune=fine_tune)


def open_extractor(
    context: Context, folder: Path | None = None, *, maps: bool = False, measures: bool = True
) -> FeatureExtractor:
    """Open the pretrained network with the weights that the settings name.

    Args:
        context: Its settings.
        folder: Where those are kept that are nobody else's; None: in the object store, where
            every night and every machine finds them.
        maps: Whether models that were fine-tuned are to predict.
        measures: Whether pictures are measured too, where they can be.

    Raises:
        LearningError: The weights are missing or cannot be used.
    """
    settings = context.settings
    shared = None
    if folder is None:
        shared = Packs(context, _local(context))
        adopt(context, shared)
    return FeatureExtractor(
        settings.home / "cache" if folder is None else folder,
        weights=settings.backbone_weights,
        timm_name=settings.backbone_model,
        maps=maps,
        measures=measures,
        shared=shared,
        compiled=settings.home / "cache" / "compiled",
    )


def _local(context: Context) -> PackFolder | None:
    """Return where copies of packs lie here; nowhere if the store itself is a folder."""
    most = context.settings.embedding_cache_mb * 1_000_000
    if not most or (context.settings.storage_url or "").startswith("file://"):
        return None
    return PackFolder(context.settings.home / "cache" / "packs", most)
