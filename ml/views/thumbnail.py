"""The rungs that look at the thumbnail: alone, and on top of those that do not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.splits import folds_of
from ml.views.cnn import CnnConfig
from ml.views.crossfit import (
    OutputsByPair,
    mean_outputs,
    nested_outputs,
    rows_inside,
    rows_outside,
)
from ml.views.design import Column, Design
from ml.views.ensemble import Ensemble
from ml.views.regression import fit_linear, fit_logistic, linear_predictor, sigmoid
from ml.views.rung import Features, Predictions, Rung, Targets
from ml.views.tabular import HistoryRung, SubscribersAgeRung, SubscribersRung

VIEWS, OVER, RESIDUAL = range(3)
"""The networks' outputs by position."""


@dataclass(frozen=True)
class ThumbnailRung:
    """Networks on the thumbnail, calibrated by a regression on their outputs, one pair a fold.

    The regressions shrink what the networks claim to what held on channels they never saw.

    Attributes:
        card: Where the model comes from.
        ensemble: The networks.
        medians: Stand-ins for what is unknown besides the picture, shape (K, C).
        linear: Coefficients (K, 1 + columns) for log10(views per day + 1).
        logistic: Coefficients (K, 1 + columns) for the logit of reaching the threshold.
    """

    name: ClassVar[str] = "thumbnail"
    needs_thumbnails: ClassVar[bool] = True
    columns: ClassVar[tuple[Column, ...]] = ()

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
        by_pair: OutputsByPair,
    ) -> Self:
        """Fit the regressions for each fold on nested predictions of the other folds' rows.

        Args:
            features: Of N rows.
            targets: Of the same rows.
            folds_by_row: Shape (N,).
            card: Where the model comes from.
            ensemble: The networks.
            by_pair: What they say of the rows, from :meth:`Ensemble.member_outputs`.
        """
        medians, linear, logistic = [], [], []
        for fold in range(card.folds):
            rows = rows_outside(folds_by_row, fold)
            outputs = nested_outputs(folds_by_row, fold, by_pair)[rows]
            known = features.take(rows)
            design = Design.fit(cls.columns, known)
            medians.append(design.medians)
            for_views, for_over = cls._matrices(design.matrix(known), outputs)
            linear.append(fit_linear(for_views, targets.log_views_per_day[rows]))
            logistic.append(fit_logistic(for_over, targets.is_over[rows]))
        return cls(card, ensemble, np.array(medians), np.array(linear), np.array(logistic))

    @classmethod
    def _matrices(
        cls,
        known: FloatArray,  # noqa: ARG003 - this rung does without; the ones on top do not
        outputs: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the columns of the linear and of the logistic regression."""
        return outputs[:, [VIEWS]], outputs[:, [OVER]]

    def predict(self, features: Features) -> Predictions:
        """Score videos, each with the networks that never saw its channel."""
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        by_pair = self.ensemble.member_outputs(features.pictures(), folds_by_row)
        return self.predict_from(features, by_pair)

    def predict_from(self, features: Features, by_pair: OutputsByPair) -> Predictions:
        """Score videos of which the networks' outputs are known."""
        folds_by_row = folds_of(features.split_groups, seed=self.card.seed, folds=self.card.folds)
        outputs = mean_outputs(len(features), self.card.folds, by_pair)
        result = Predictions.empty(len(features))
        for fold in range(self.card.folds):
            rows = rows_inside(folds_by_row, fold)
            known = Design(self.columns, self.medians[fold]).matrix(features.take(rows))
            for_views, for_over = self._matrices(known, outputs[rows])
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


class OnTopRung(ThumbnailRung):
    """What a rung without pictures knows, and the thumbnail: its regressions with more columns.

    The columns are the networks' outputs, so the difference to the rung below is the thumbnail's
    doing alone. The residual output finds an effect on top of the channel's size best; the views
    output helps where the thumbnail betrays what the other columns do not. The logistic
    regression, whose yes-or-no labels say less a row, gets the residual only.
    """

    @classmethod
    def _matrices(cls, known: FloatArray, outputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        for_views = np.column_stack([known, outputs[:, [VIEWS, RESIDUAL]]])
        return for_views, np.column_stack([known, outputs[:, [RESIDUAL]]])


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
    """Score videos with many rungs; networks that several of them share look only once."""
    looked: dict[str, OutputsByPair] = {}
    results = []
    for rung in rungs:
        if not isinstance(rung, ThumbnailRung):
            results.append(rung.predict(features))
            continue
        card, key = rung.card, rung.ensemble.digest
        if key not in looked:
            folds_by_row = folds_of(features.split_groups, seed=card.seed, folds=card.folds)
            looked[key] = rung.ensemble.member_outputs(features.pictures(), folds_by_row)
        results.append(rung.predict_from(features, looked[key]))
    return results


def cnn_config(card: ModelCard) -> CnnConfig:
    """Return the networks' hyperparameters from a card."""
    content = dict(card.config["cnn"])
    tuples = {name: tuple(content[name]) for name in ("widths", "crop")}
    return CnnConfig(**(content | tuples))


def config_json(config: CnnConfig) -> dict[str, object]:
    """Return the networks' hyperparameters as JSON values."""
    return asdict(config) | {"widths": list(config.widths), "crop": list(config.crop)}
