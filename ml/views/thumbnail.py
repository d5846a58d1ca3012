"""The rungs that look at the thumbnail: alone, and on top of subscribers."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.errors import LearningError
from ml.splits import folds_of
from ml.views.cnn import CnnConfig
from ml.views.crossfit import mean_outputs, nested_outputs, rows_inside, rows_outside
from ml.views.ensemble import Ensemble
from ml.views.regression import (
    SubscriberFeatures,
    fit_linear,
    fit_logistic,
    linear_predictor,
    sigmoid,
)
from ml.views.rung import Features, Predictions, Targets

VIEWS, OVER, RESIDUAL = range(3)
"""The networks' outputs by position."""


@dataclass(frozen=True)
class ThumbnailRung:
    """Networks on the thumbnail, calibrated by a regression on their outputs, one pair a fold.

    The regressions shrink what the networks claim to what held on channels they never saw.

    Attributes:
        card: Where the model comes from.
        ensemble: The networks.
        medians: Stand-in for hidden subscriber counts, shape (K,).
        linear: Coefficients (K, 1 + columns) for log10(views per day + 1).
        logistic: Coefficients (K, 1 + columns) for the logit of reaching the threshold.
    """

    name: ClassVar[str] = "thumbnail"
    needs_thumbnails: ClassVar[bool] = True

    card: ModelCard
    ensemble: Ensemble
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
        ensemble: Ensemble,
    ) -> Self:
        """Fit the regressions for each fold on nested predictions of the other folds' rows."""
        by_pair = ensemble.member_outputs(_thumbnails(features), folds_by_row)
        medians, linear, logistic = [], [], []
        for fold in range(card.folds):
            rows = rows_outside(folds_by_row, fold)
            outputs = nested_outputs(folds_by_row, fold, by_pair)[rows]
            count = features.subscriber_count[rows]
            subscribers = SubscriberFeatures.fit(count)
            medians.append(subscribers.median)
            for_views, for_over = cls._columns(subscribers.columns(count), outputs)
            linear.append(fit_linear(for_views, targets.log_views_per_day[rows]))
            logistic.append(fit_logistic(for_over, targets.is_over[rows]))
        return cls(card, ensemble, np.array(medians), np.array(linear), np.array(logistic))

    @classmethod
    def _columns(
        cls,
        subscribers: FloatArray,  # noqa: ARG003 - this rung does without; the one on top does not
        outputs: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Choose the columns of the linear and of the logistic regression."""
        return outputs[:, [VIEWS]], outputs[:, [OVER]]

    def predict(self, features: Features) -> Predictions:
        """Score videos, each with the networks that never saw its channel."""
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        by_pair = self.ensemble.member_outputs(_thumbnails(features), folds_by_row)
        outputs = mean_outputs(len(features), self.card.folds, by_pair)
        result = Predictions.empty(len(features))
        for fold in range(self.card.folds):
            rows = rows_inside(folds_by_row, fold)
            subscribers = SubscriberFeatures(float(self.medians[fold]))
            columns = subscribers.columns(features.subscriber_count[rows])
            for_views, for_over = self._columns(columns, outputs[rows])
            part = Predictions(
                sigmoid(linear_predictor(self.logistic[fold], for_over)),
                linear_predictor(self.linear[fold], for_views),
            )
            result.put(rows, part)
        return result

    def save(self, directory: Path) -> None:
        """Write the artefact; it contains the networks, so it stands alone."""
        tensors = self.ensemble.tensors() | {
            "medians": self.medians,
            "linear": self.linear,
            "logistic": self.logistic,
        }
        write_artifact(directory, self.name, self.card, tensors)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read an artefact back."""
        _, card, tensors = read_artifact(directory, cls.name)
        config = cnn_config(card)
        ensemble = Ensemble.from_tensors(tensors, folds=card.folds, config=config)
        return cls(card, ensemble, tensors["medians"], tensors["linear"], tensors["logistic"])


class SubscribersThumbnailRung(ThumbnailRung):
    """Subscribers and the thumbnail together: the subscriber regressions with more columns.

    The columns are the networks' outputs, so the difference to the subscribers rung is the
    thumbnail's doing alone. The residual output finds an effect on top of the channel's size best;
    the views output helps where the thumbnail betrays what subscribers do not. The logistic
    regression, whose yes-or-no labels say less a row, gets the residual only.
    """

    name: ClassVar[str] = "subscribers+thumbnail"

    @classmethod
    def _columns(
        cls, subscribers: FloatArray, outputs: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        for_views = np.column_stack([subscribers, outputs[:, [VIEWS, RESIDUAL]]])
        return for_views, np.column_stack([subscribers, outputs[:, [RESIDUAL]]])


def cnn_config(card: ModelCard) -> CnnConfig:
    """Return the networks' hyperparameters from a card."""
    content = dict(card.config["cnn"])
    tuples = {name: tuple(content[name]) for name in ("widths", "crop")}
    return CnnConfig(**(content | tuples))


def config_json(config: CnnConfig) -> dict[str, object]:
    """Return the networks' hyperparameters as JSON values."""
    return asdict(config) | {"widths": list(config.widths), "crop": list(config.crop)}


def _thumbnails(features: Features) -> "np.typing.NDArray[np.uint8]":
    if features.thumbnails is None:
        raise LearningError("the thumbnail rungs need thumbnails", reason="no_thumbnails")
    return features.thumbnails
