"""Train every rung of the ladder on one dataset, cross-fitted by channel."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from ml.arrays import ImageArray, IntArray
from ml.artifacts import ModelCard
from ml.errors import LearningError
from ml.evaluation.splits import assign_folds
from ml.images.decoding import PREPROCESSING, decode_thumbnails
from ml.images.pictures import PREPROCESSING as FRAME_PREPROCESSING
from ml.runtime.device import choose_device
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.backbones.weights import Backbone
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.models.registry import absent_rungs, rung_class, rung_names
from ml.thumbnails.models.rung import Rung, TrainedPictures, TrainingData
from ml.thumbnails.models.thumbnail import predict_all
from ml.thumbnails.stacking.fine_tuning import TuningConfig
from ml.thumbnails.stacking.picture_model import train_picture_model
from ml.training.callbacks import Cancelled, Progress
from ml.training.checkpoints import Checkpoints

OUT_OF_FOLD_SCHEMA = pa.schema(
    [
        pa.field("rung", pa.string(), nullable=False),
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("fold", pa.int64(), nullable=False),
        pa.field("probability_over", pa.float64(), nullable=False),
        pa.field("log10_views_per_day", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class LadderConfig:
    """Settings of one training run.

    Attributes:
        seed: Decides folds, first weights and the order of the training rows.
        folds: K; the networks number K (K - 1) / 2.
        cnn: Hyperparameters of the networks.
        backbone: Whether a pretrained network's features of the thumbnails are learned from too.
        weights: SHA-256 of that network's weights, so that other weights are another training.
        fine_tune: Whether that network's last stages are trained on as well, with ``tuning``.
        tuning: Hyperparameters of that.
    """

    seed: int = 0
    folds: int = 4
    cnn: CnnConfig = field(default_factory=CnnConfig)
    backbone: bool = False
    weights: str = ""
    fine_tune: bool = False
    tuning: TuningConfig = field(default_factory=TuningConfig)


@dataclass(frozen=True)
class TrainedLadder:
    """All rungs and what they predicted for channels they had not seen.

    Attributes:
        rungs: By name, from the bottom up.
        out_of_fold: ``OUT_OF_FOLD_SCHEMA``: one row for each rung and video.
        absent: The rungs that could not be trained, and why in a word.
    """

    rungs: Mapping[str, Rung]
    out_of_fold: pa.Table
    absent: Mapping[str, str] = field(default_factory=dict)

    def with_metrics(self, metrics: Mapping[str, Mapping[str, object]]) -> "TrainedLadder":
        """Return the same ladder with each rung's metrics written on its card."""
        rungs = {
            name: rung.with_metrics(metrics.get(name, {})) for name, rung in self.rungs.items()
        }
        return replace(self, rungs=rungs)

    def save(self, directory: Path) -> dict[str, Path]:
        """Save each rung in a folder of its name; return the folders by rung."""
        folders = {name: directory / name for name in self.rungs}
        for name, rung in self.rungs.items():
            rung.save(folders[name])
        return folders


def dataset_images(dataset: Dataset, *, workers: int = 2) -> ImageArray:
    """Decode every row's thumbnail, shape (N, 90, 160, 3) in the order of the dataset's table.

    Raises:
        LearningError: A thumbnail that cannot be decoded, by its SHA-256.
    """
    with dataset.pictures() as pictures:
        names = dataset.strings("thumbnail_sha256")
        return decode_thumbnails(names, pictures.read, workers=workers)


def train_ladder(
    dataset: Dataset,
    images: ImageArray,
    config: LadderConfig,
    progress: Progress = lambda _step, _total, _message: None,
    cancelled: Cancelled = lambda: False,
    image_features: ImageFeatures | None = None,
    checkpoints: Checkpoints | None = None,
    backbone: Backbone | None = None,
) -> TrainedLadder:
    """Train all rungs.

    Args:
        dataset: The rows.
        images: Their thumbnails, shape (N, 90, 160, 3), as from :func:`dataset_images`.
        config: Settings.
        progress: Told (step, total, message) as the networks train.
        cancelled: Asked before each step; training stops if it returns True.
        image_features: What a pretrained network makes of the thumbnails, for ``config.backbone``.
        backbone: The pretrained network, for ``config.fine_tune``; ``image_features`` then hold its
            maps.
        checkpoints: Where the networks' states are kept, to go on from if the process dies.

    Raises:
        LearningError: Too few channels or videos, labels of one class only, a diverging loss.
        LearningCancelledError: ``cancelled`` said so.
    """
    if config.backbone and image_features is None:
        raise LearningError("no image features of the thumbnails were given", reason="noLooks")
    known = image_features if config.backbone else None
    features = replace(Features.of_table(dataset.table, images), image_features=known)
    targets = Targets(dataset.log10_views_per_day, dataset.is_over)
    folds_by_row = assign_folds(features.groups_in_folds, seed=config.seed, folds=config.folds)
    _check(dataset, features, targets)
    card = ModelCard(
        dataset=dataset.description.id,
        seed=config.seed,
        folds=config.folds,
        threshold=dataset.description.threshold,
    )
    if config.fine_tune and (known is None or backbone is None):
        raise LearningError("fine-tuning needs the pretrained network", reason="noLooks")
    image_card = replace(
        card,
        config=(
            {} if known is None else {"backbone": known.backbone, "measurements": known.measured_by}
        ),
        preprocessing=FRAME_PREPROCESSING,
    )

    def train_pictures() -> TrainedPictures:
        device = choose_device()
        model = train_picture_model(
            features,
            targets,
            folds_by_row,
            folds=config.folds,
            seed=config.seed,
            cnn=config.cnn,
            tuning=config.tuning if config.fine_tune else None,
            network=None if backbone is None else backbone.network,
            device=device,
            progress=progress,
            cancelled=cancelled,
            checkpoints=checkpoints,
        )
        picture_card = replace(
            image_card,
            config={**image_card.config, **model.config()},
            preprocessing=PREPROCESSING,
            device=device.description,
        )
        return TrainedPictures(model, model.outputs(features, picture_card), picture_card)

    training = TrainingData(features, targets, folds_by_row, card, image_card, train_pictures)
    absent = absent_rungs(
        has_embeddings=known is not None,
        measured=known is not None and known.measurements is not None,
    )
    rungs = {name: rung_class(name).fit(training) for name in rung_names() if name not in absent}
    # Every rung scores a row with the model that never saw its channel: this is out of fold.
    predictions = predict_all(list(rungs.values()), features)
    tables = [
        out_of_fold_of(name, predicted, dataset.table["video_id"], folds_by_row)
        for name, predicted in zip(rungs, predictions, strict=True)
    ]
    return TrainedLadder(rungs, pa.concat_tables(tables), absent)


def _check(dataset: Dataset, features: Features, targets: Targets) -> None:
    assert features.thumbnails is not None
    if len(features.thumbnails) != len(features):
        raise LearningError(
            f"{len(features.thumbnails)} thumbnails for {len(features)} videos",
            reason="noThumbnails",
        )
    if targets.is_over.all() or not targets.is_over.any():
        side = "reach" if targets.is_over.all() else "miss"
        raise LearningError(
            f"all {len(features)} videos {side} {dataset.description.threshold:g} views per day:"
            " nothing can be told apart; choose another threshold",
            reason="oneClass",
        )


def out_of_fold_of(
    rung: str, predictions: Predictions, video_ids: pa.ChunkedArray, folds_by_row: IntArray
) -> pa.Table:
    """Return what a rung predicts out of fold, in ``OUT_OF_FOLD_SCHEMA``.

    Args:
        rung: Its name.
        predictions: Of N rows.
        video_ids: Of the same rows.
        folds_by_row: Shape (N,).
    """
    columns = [
        pa.repeat(pa.scalar(rung), len(video_ids)),
        video_ids,
        pa.array(folds_by_row),
        pa.array(predictions.probability_over),
        pa.array(predictions.log10_views_per_day),
    ]
    return pa.table(columns, schema=OUT_OF_FOLD_SCHEMA)
