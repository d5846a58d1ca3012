"""The part of a rung that sees thumbnails: networks from scratch, others on a pretrained one.

A pretrained network is a source by heads on what it makes of a thumbnail and, where that is asked
for, by its last stages trained on. Each source has three outputs for a thumbnail: log views, the
logit of reaching the threshold, and the residual beyond what is known without it. How much each is
believed, the regressions on top decide, on rows that none had seen: no test fold has a say in the
choice between them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard
from ml.errors import LearningCancelledError
from ml.evaluation.splits import (
    OutputsByPair,
    folds_of,
    mean_outputs,
    nested_outputs,
    rows_outside,
    rows_scored_without,
)
from ml.runtime.device import Device
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.backbones.efficientnet_lite import EfficientNetLite0
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.features.image_features import ImageFeatures
from ml.thumbnails.stacking.ensemble import Ensemble, train_ensemble
from ml.thumbnails.stacking.fine_tuning import TunedEnsemble, TuningConfig, train_tuned
from ml.thumbnails.stacking.head import HeadOutputs, ThumbnailHead
from ml.thumbnails.stacking.regression import beyond_the_rest
from ml.training.callbacks import Cancelled, Progress
from ml.training.checkpoints import Checkpoints

_TUPLES = ("widths", "crop")
"""Of a network's hyperparameters, those that JSON would turn into lists."""
RecipeNames = Mapping[str, str]
"""The name of the kernel that was chosen, by target."""


@dataclass(frozen=True)
class Heads:
    """Heads on frozen image features, one a fold, fitted without it.

    A head chooses its kernel and its ridge by folds of channels among its own training rows and
    keeps what it predicted there for channels left out (:mod:`ml.thumbnails.stacking.head`). So
    the regression on top of a fold is fitted on outputs that saw neither the fold nor the row's
    channel, as with the networks trained from scratch (docs/decisions/0003), with K heads instead
    of K (K - 1) / 2.
    """

    heads: Sequence[ThumbnailHead]

    @classmethod
    def fit(
        cls,
        features: Features,
        targets: Targets,
        folds_by_row: IntArray,
        *,
        folds: int,
        seed: int,
        progress: Progress,
        cancelled: Cancelled,
    ) -> Self:
        """Fit a head for each fold on the other folds' rows.

        Args:
            features: Of N rows, with image features.
            targets: Of the same rows.
            folds_by_row: (N,).
            folds: K.
            seed: Decides the inner folds.
            progress: Told after each fold.
            cancelled: Asked before each fold.

        Raises:
            LearningError: Too few rows or channels.
            LearningCancelledError: ``cancelled`` said so.
        """
        assert features.image_features is not None
        known = features.without_pictures()
        heads: list[ThumbnailHead] = []
        for fold in range(folds):
            if cancelled():
                raise LearningCancelledError
            rows = rows_outside(folds_by_row, fold)
            outside, part = known.take(rows), targets.take(rows)
            head = ThumbnailHead.fit(
                features.image_features.take(rows),
                part.log10_views_per_day,
                part.is_over,
                beyond_the_rest(outside, part.log10_views_per_day),
                outside.groups_in_folds,
                seed=seed,
            )
            heads.append(head)
            progress(fold + 1, folds, "fitting heads on frozen features")
        return cls(heads)

    def nested(self, fold: int) -> FloatArray:
        """Return (R, 3): for the rows outside a fold what a model without their channel gives."""
        return columns_of(self.heads[fold].inner)

    def outputs(self, image_features: ImageFeatures, folds_by_row: IntArray) -> list[FloatArray]:
        """Return for each fold (R, 3), by the head without it on the rows scored without it."""
        result = []
        for fold, head in enumerate(self.heads):
            rows = rows_scored_without(folds_by_row, (fold,))
            result.append(
                columns_of(head.predict(image_features.take(rows)))
                if len(rows)
                else np.empty((0, 3))
            )
        return result

    @property
    def measured(self) -> bool:
        """Whether a kernel that was chosen looks at measurements."""
        return any(
            "measured" in regression.kernel.recipe.weights
            for head in self.heads
            for regression in head.regressions.values()
        )

    @property
    def recipe_names(self) -> list[dict[str, str]]:
        """The kernels that were chosen, fold by fold."""
        return [{target: c[0] for target, c in head.chosen.items()} for head in self.heads]

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all numbers as arrays by name, such as ``head.0.over.slopes``."""
        return {
            f"head.{fold}.{key}": values
            for fold, head in enumerate(self.heads)
            for key, values in head.tensors().items()
        }

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[Any]], recipes: Sequence[RecipeNames]
    ) -> Self:
        """Build heads from :meth:`tensors` and :attr:`recipe_names`."""
        heads = []
        for fold, names in enumerate(recipes):
            prefix = f"head.{fold}."
            mine = {
                key.removeprefix(prefix): values
                for key, values in tensors.items()
                if key.startswith(prefix)
            }
            heads.append(ThumbnailHead.from_tensors(mine, names))
        return cls(heads)


@dataclass(frozen=True)
class PictureModel:
    """What sees thumbnails.

    Attributes:
        ensemble: Networks trained from scratch.
        heads: On a frozen pretrained network; None where its weights were not to be had.
        tuned: Its last stages trained on; None where that was not asked for.
    """

    ensemble: Ensemble
    heads: Heads | None = None
    tuned: TunedEnsemble | None = None

    def outputs(self, features: Features, card: ModelCard) -> "PictureOutputs":
        """Run on thumbnails, on each all that never saw its channel.

        Raises:
            LearningError: There are no thumbnails, or where heads need image features there are
                none, or those of another network.
        """
        folds_by_row = folds_of(features.split_groups, seed=card.seed, folds=card.folds)
        networks = self.ensemble.member_outputs(features.pictures(), folds_by_row)
        if self.heads is None:
            return PictureOutputs(card.folds, folds_by_row, networks)
        image_features = features.image_features_for(card)
        if self.heads.measured:
            features.check_measured(card)
        heads = self.heads.outputs(image_features, folds_by_row)
        tuned = (
            None
            if self.tuned is None
            else self.tuned.member_outputs(image_features.for_tuning(), folds_by_row)
        )
        return PictureOutputs(card.folds, folds_by_row, networks, heads, tuned)

    def nested(self, outputs: "PictureOutputs", folds_by_row: IntArray, fold: int) -> FloatArray:
        """Return (R, 3 a source) for the training rows outside a fold, from what saw neither."""
        rows = rows_outside(folds_by_row, fold)
        parts = [nested_outputs(folds_by_row, fold, outputs.networks)[rows]]
        if self.heads is not None:
            parts.append(self.heads.nested(fold))
        if outputs.tuned is not None:
            parts.append(nested_outputs(folds_by_row, fold, outputs.tuned)[rows])
        return np.hstack(parts)

    def config(self) -> dict[str, Any]:
        """Return hyperparameters and choices as JSON values, for the card."""
        cnn = asdict(self.ensemble.config)
        config: dict[str, Any] = {"cnn": cnn | {name: list(cnn[name]) for name in _TUPLES}}
        if self.heads is not None:
            config["heads"] = self.heads.recipe_names
        if self.tuned is not None:
            config["tuned"] = asdict(self.tuned.config) | {"flavour": asdict(self.tuned.flavour)}
        return config

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all weights: two rungs with the same one give the same outputs."""
        digest = hashlib.sha256()
        for name, values in sorted(self.tensors().items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all weights as arrays by name."""
        heads = {} if self.heads is None else self.heads.tensors()
        tuned = {} if self.tuned is None else self.tuned.tensors()
        return self.ensemble.tensors() | heads | tuned

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[Any]], card: ModelCard
    ) -> "PictureModel":
        """Build the model from :meth:`tensors` and a card, whose config holds :meth:`config`.

        Raises:
            LearningError: A kernel is not known here.
        """
        cnn, recipes, tuning = (card.config.get(name) for name in ("cnn", "heads", "tuned"))
        assert cnn is not None
        config = CnnConfig(**(cnn | {name: tuple(cnn[name]) for name in _TUPLES}))
        return cls(
            Ensemble.from_tensors(tensors, folds=card.folds, config=config),
            Heads.from_tensors(tensors, recipes) if recipes else None,
            TunedEnsemble.from_tensors(tensors, folds=card.folds, content=tuning)
            if tuning
            else None,
        )


@dataclass(frozen=True)
class PictureOutputs:
    """What the sources of a picture model make of N thumbnails.

    Attributes:
        folds: K.
        folds_by_row: (N,).
        networks: By the networks from scratch.
        heads: By the head of each fold, (R, 3) of the rows scored without it; None where there are
            none.
        tuned: By the fine-tuned networks; None where there are none.
    """

    folds: int
    folds_by_row: IntArray
    networks: OutputsByPair
    heads: Sequence[FloatArray] | None = None
    tuned: OutputsByPair | None = None

    def without(self, fold: int) -> FloatArray:
        """Return (R, 3 a source) of the rows scored without a fold.

        They are the means over the networks that left it out, and its head.
        """
        parts = [self._mean(self.networks, fold)]
        if self.heads is not None:
            parts.append(self.heads[fold])
        if self.tuned is not None:
            parts.append(self._mean(self.tuned, fold))
        return np.hstack(parts)

    def _mean(self, by_pair: OutputsByPair, fold: int) -> FloatArray:
        return mean_outputs(self.folds_by_row, fold, self.folds, by_pair)


def train_picture_model(
    features: Features,
    targets: Targets,
    folds_by_row: IntArray,
    *,
    folds: int,
    seed: int,
    cnn: CnnConfig,
    tuning: TuningConfig | None = None,
    network: EfficientNetLite0 | None = None,
    device: Device | None = None,
    progress: Progress,
    cancelled: Cancelled,
    checkpoints: Checkpoints | None = None,
) -> PictureModel:
    """Train networks from scratch, and heads and fine-tuned networks where they can be.

    Args:
        features: Of N rows, with thumbnails; heads are fitted where image features are known.
        targets: Of the same rows.
        folds_by_row: Shape (N,).
        folds: K.
        seed: Decides first weights, the order of the rows and inner folds.
        cnn: Hyperparameters of the networks from scratch.
        tuning: Of fine-tuning ``network``, for which image features hold maps; None: it is not.
        network: The pretrained network.
        device: None chooses the best one here.
        progress: Told (step, total, message).
        cancelled: Asked before each step.
        checkpoints: Where the networks' states are kept, to go on from if the process dies.

    Raises:
        LearningError: Too few rows or channels, no thumbnails, or a diverging loss.
        LearningCancelledError: ``cancelled`` said so.
        OSError: A state cannot be kept.
    """
    ensemble = train_ensemble(
        features,
        targets,
        folds_by_row,
        folds=folds,
        config=cnn,
        seed=seed,
        progress=progress,
        cancelled=cancelled,
        device=device,
        checkpoints=checkpoints,
    )
    if features.image_features is None:
        return PictureModel(ensemble)
    heads = Heads.fit(
        features,
        targets,
        folds_by_row,
        folds=folds,
        seed=seed,
        progress=progress,
        cancelled=cancelled,
    )
    if tuning is None:
        return PictureModel(ensemble, heads)
    assert network is not None
    tuned = train_tuned(
        network,
        features.image_features.for_tuning(),
        features,
        targets,
        folds_by_row,
        folds=folds,
        config=tuning,
        seed=seed,
        progress=progress,
        cancelled=cancelled,
        checkpoints=checkpoints,
    )
    return PictureModel(ensemble, heads, tuned)


def columns_of(outputs: HeadOutputs) -> FloatArray:
    """Return log views, the logit of reaching the threshold and the residual, (N, 3)."""
    p = np.clip(outputs.probability_over, 1e-6, 1 - 1e-6)
    return np.column_stack([outputs.log_views, np.log(p / (1 - p)), outputs.residual])
