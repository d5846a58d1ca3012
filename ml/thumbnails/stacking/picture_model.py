"""The part of a rung that sees thumbnails: networks from scratch, and what builds on a frozen look.

A pretrained network is a source by heads on what it makes of a thumbnail and, where that is asked
for, by its last stages trained on. Each source says three things of a thumbnail: log views, the
logit of reaching the threshold, and the residual beyond what is known without it. How much each is
believed, the regressions on top decide, on rows that none had seen: no test fold has a say in the
choice between them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.arrays import FloatArray, IntArray
from ml.artifacts import ModelCard
from ml.evaluation.splits import folds_of
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.backbones.efficientnet_lite import Flavour
from ml.thumbnails.data.rows import Features
from ml.thumbnails.stacking.crossfit import (
    OutputsByPair,
    mean_outputs,
    nested_outputs,
    rows_outside,
)
from ml.thumbnails.stacking.ensemble import Ensemble
from ml.thumbnails.stacking.fine_tuning import TunedEnsemble
from ml.thumbnails.stacking.heads import Heads

VIEWS, OVER, RESIDUAL = range(3)
"""What each source says, by position; two sources give six columns, three nine."""
SAID = 3


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

    def said(self, features: Features, card: ModelCard) -> "Said":
        """Look at thumbnails, at each with what never saw its channel.

        Raises:
            LearningError: There are no thumbnails, or where heads need looks at them none, or those
                of another network.
        """
        folds_by_row = folds_of(features.split_groups, seed=card.seed, folds=card.folds)
        by_pair = self.ensemble.member_outputs(features.pictures(), folds_by_row)
        if self.heads is None:
            return Said(by_pair, None, card.folds, len(features))
        image_features = features.image_features_for(card)
        outputs = self.heads.outputs(image_features, folds_by_row)
        tuned = (
            None
            if self.tuned is None
            else self.tuned.member_outputs(image_features.for_tuning(), folds_by_row)
        )
        return Said(by_pair, outputs, card.folds, len(features), tuned)

    def nested(self, said: "Said", folds_by_row: IntArray, fold: int) -> FloatArray:
        """Return (R, 3 a source) for the training rows outside a fold, from what saw neither."""
        rows = rows_outside(folds_by_row, fold)
        parts = [nested_outputs(folds_by_row, fold, said.by_pair)[rows]]
        if self.heads is not None:
            parts.append(self.heads.nested(fold))
        if said.tuned is not None:
            parts.append(nested_outputs(folds_by_row, fold, said.tuned)[rows])
        return np.hstack(parts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all weights: two rungs with the same one say the same of a picture."""
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
        cls, tensors: Mapping[str, npt.NDArray[Any]], card: ModelCard, config: CnnConfig
    ) -> "PictureModel":
        """Build the model from :meth:`tensors` and a card, whose config names the heads' kernels.

        Raises:
            LearningError: A kernel is not known here.
        """
        recipes, tuning = card.config.get("heads"), card.config.get("tuned")
        return cls(
            Ensemble.from_tensors(tensors, folds=card.folds, config=config),
            Heads.from_tensors(tensors, recipes) if recipes else None,
            TunedEnsemble.from_tensors(
                tensors, folds=card.folds, flavour=Flavour.from_json(tuning["flavour"])
            )
            if tuning
            else None,
        )


@dataclass(frozen=True)
class Said:
    """What a picture model said of N thumbnails."""

    by_pair: OutputsByPair
    heads: FloatArray | None
    folds: int
    rows: int
    tuned: OutputsByPair | None = None

    def mean(self) -> FloatArray:
        """Return (N, 3 a source): means over the networks that never saw a row, and the head."""
        parts = [mean_outputs(self.rows, self.folds, self.by_pair)]
        if self.heads is not None:
            parts.append(self.heads)
        if self.tuned is not None:
            parts.append(mean_outputs(self.rows, self.folds, self.tuned))
        return np.hstack(parts)
