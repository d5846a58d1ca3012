"""The rungs that look at the thumbnail: alone, and on top of those that do not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.evaluation.splits import folds_of
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.models.measured import FeaturesRung
from ml.thumbnails.models.reference import FrozenRidgeRung
from ml.thumbnails.models.rung import Rung
from ml.thumbnails.models.tabular import HistoryRung, SubscribersAgeRung, SubscribersRung
from ml.thumbnails.stacking.crossfit import rows_inside, rows_outside
from ml.thumbnails.stacking.design import Column, Design
from ml.thumbnails.stacking.picture_model import OVER, RESIDUAL, SAID, VIEWS, PictureModel, Said
from ml.thumbnails.stacking.regression import fit_linear, fit_logistic, linear_predictor, sigmoid


@dataclass(frozen=True)
class ThumbnailRung:
    """What sees thumbnails, calibrated by a regression on what it says, one pair a fold.

    The regressions shrink what is claimed to what held on channels never seen.

    Attributes:
        card: Where the model comes from.
        pictures: Networks, and heads where there are any.
        medians: Stand-ins for what is unknown besides the picture, shape (K, C).
        linear: Coefficients (K, 1 + columns) for log10(views per day + 1).
        logistic: Coefficients (K, 1 + columns) for the logit of reaching the threshold.
    """

    name: ClassVar[str] = "thumbnail"
    needs_thumbnails: ClassVar[bool] = True
    columns: ClassVar[tuple[Column, ...]] = ()

    card: ModelCard
    pictures: PictureModel
    medians: FloatArray
    linear: FloatArray
    logistic: FloatArray

    @classmethod
    def fit(
        cls,
        features: Features,
        targets: Targets,
        folds_by_row: IntArray,
        card: ModelCard,
        pictures: PictureModel,
        said: Said,
    ) -> Self:
        """Fit the regressions for each fold on nested predictions of the other folds' rows.

        Args:
            features: Of N rows.
            targets: Of the same rows.
            folds_by_row: Shape (N,).
            card: Where the model comes from.
            pictures: What sees thumbnails, fitted on the same folds.
            said: What it says of the rows.
        """
        features = features.without_pictures()
        medians, linear, logistic = [], [], []
        for fold in range(card.folds):
            rows = rows_outside(folds_by_row, fold)
            outputs = pictures.nested(said, folds_by_row, fold)
            known = features.take(rows)
            design = Design.fit(cls.columns, known)
            medians.append(design.medians)
            for_views, for_over = cls.matrices(design.matrix(known), outputs)
            linear.append(fit_linear(for_views, targets.log10_views_per_day[rows]))
            logistic.append(fit_logistic(for_over, targets.is_over[rows]))
        return cls(card, pictures, np.array(medians), np.array(linear), np.array(logistic))

    @classmethod
    def matrices(
        cls,
        known: FloatArray,  # noqa: ARG003 - this rung does without; the ones on top do not
        outputs: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the columns of the linear and of the logistic regression.

        Args:
            known: What is known besides the picture, (N, 2 C).
            outputs: What each source says of the picture, (N, 3 S).
        """
        return outputs[:, VIEWS::SAID], outputs[:, OVER::SAID]

    def predict(self, features: Features) -> Predictions:
        """Score videos, each with what never saw its channel."""
        return self.predict_from(features, self.pictures.said(features, self.card))

    def predict_from(self, features: Features, said: Said) -> Predictions:
        """Score videos of which it is known what the pictures say."""
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        outputs = said.mean()
        features = features.without_pictures()
        result = Predictions.empty(len(features))
        for fold in range(self.card.folds):
            rows = rows_inside(folds_by_row, fold)
            known = Design(self.columns, self.medians[fold]).matrix(features.take(rows))
            for_views, for_over = self.matrices(known, outputs[rows])
            part = Predictions(
                sigmoid(linear_predictor(self.logistic[fold], for_over)),
                linear_predictor(self.linear[fold], for_views),
            )
            result.put(rows, part)
        return result

    def save(self, directory: Path) -> None:
        """Write the artefact; what sees thumbnails has a file of its own, shared by rungs."""
        tensors = {"medians": self.medians, "linear": self.linear, "logistic": self.logistic}
        write_artifact(directory, self.name, self.card, tensors, self.pictures.tensors())

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.name)
        pictures = PictureModel.from_tensors(tensors, card, cnn_config(card))
        return cls(card, pictures, tensors["medians"], tensors["linear"], tensors["logistic"])


class OnTopRung(ThumbnailRung):
    """What a rung without pictures knows, and the thumbnail: its regressions with more columns.

    The columns are the networks' outputs, so the difference to the rung below is the thumbnail's
    doing alone. The residual output finds an effect on top of the channel's size best; the views
    output helps where the thumbnail betrays what the other columns do not. The logistic
    regression, whose yes-or-no labels say less a row, gets the residual only.
    """

    @classmethod
    def matrices(cls, known: FloatArray, outputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the columns of the linear and of the logistic regression."""
        residual = outputs[:, RESIDUAL::SAID]
        return np.hstack([known, outputs[:, VIEWS::SAID], residual]), np.hstack([known, residual])


class SubscribersThumbnailRung(OnTopRung):
    """Subscribers and the thumbnail."""

    name: ClassVar[str] = "subscribers+thumbnail"
    columns: ClassVar[tuple[Column, ...]] = SubscribersRung.columns


class SubscribersAgeThumbnailRung(OnTopRung):
    """The strong baseline and the thumbnail."""

    name: ClassVar[str] = "subscribers+age+thumbnail"
    columns: ClassVar[tuple[Column, ...]] = SubscribersAgeRung.columns


class HistoryThumbnailRung(OnTopRung):
    """All that is known of the video and its channel, and the thumbnail."""

    name: ClassVar[str] = "+thumbnail"
    columns: ClassVar[tuple[Column, ...]] = HistoryRung.columns


def predict_all(rungs: Sequence[Rung], features: Features) -> list[Predictions]:
    """Score videos with many rungs; what several of them see with looks only once."""
    said: dict[str, Said] = {}
    results = []
    for rung in rungs:
        if not isinstance(rung, ThumbnailRung):
            results.append(rung.predict(features))
            continue
        key = rung.pictures.digest
        if key not in said:
            said[key] = rung.pictures.said(features, rung.card)
        results.append(rung.predict_from(features, said[key]))
    return results


def need_image_features(rungs: Sequence[Rung]) -> bool:
    """Tell whether one of the rungs needs ``Features.image_features``."""
    return any(
        isinstance(rung, FeaturesRung | FrozenRidgeRung)
        or (isinstance(rung, ThumbnailRung) and rung.pictures.heads is not None)
        for rung in rungs
    )


def need_maps(rungs: Sequence[Rung]) -> bool:
    """Tell whether the looks that the rungs need must hold maps: one of them was fine-tuned."""
    return any(isinstance(r, ThumbnailRung) and r.pictures.tuned is not None for r in rungs)


def cnn_config(card: ModelCard) -> CnnConfig:
    """Return the networks' hyperparameters from a card."""
    content = dict(card.config["cnn"])
    tuples = {name: tuple(content[name]) for name in ("widths", "crop")}
    return CnnConfig(**(content | tuples))


def config_json(config: CnnConfig) -> dict[str, object]:
    """Return the networks' hyperparameters as JSON values."""
    return asdict(config) | {"widths": list(config.widths), "crop": list(config.crop)}
