"""What a frozen look at a thumbnail says about views: kernel ridge regression with nested choice.

A thumbnail's numbers come in blocks (early stages of the network, middle ones, its last, and the
measurements one can name). Each block has a Gaussian kernel of its own, and a model's kernel is a
weighted sum of them, so that no block drowns the others by its number of columns. Which weights,
bandwidth and ridge is chosen by cross-validation by channel among the training rows, for each
target by itself. Above :data:`LANDMARKS` rows the kernel is approximated from that many of them
(Williams & Seeger 2001, "Using the Nyström Method to Speed Up Kernel Machines").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.errors import LearningError
from ml.logistic import sigmoid
from ml.thumbnails.features.image_features import RECIPES, ImageFeatures, Recipe
from ml.thumbnails.stacking.regression import fit_logistic, linear_predictor
from ml.thumbnails.stacking.ridge import INNER_FOLDS, Decomposition, inner_folds

LANDMARKS = 1200
MIN_ROWS = 20
RIDGES = tuple(float(ridge) for ridge in 10.0 ** np.arange(-3, 4.01, 0.5))
TARGETS = ("log_views", "over", "residual")
_SMALLEST_EIGENVALUE = 1e-8
"""Of the landmarks' kernel, over the largest: below is rounding."""


@dataclass(frozen=True)
class HeadOutputs:
    """For N thumbnails: log10(views/day + 1), P(≥ threshold) and the residual in log10 units."""

    log_views: FloatArray
    probability_over: FloatArray
    residual: FloatArray


@dataclass(frozen=True)
class _Kernel:
    """A recipe fitted to training rows: standardisation, landmarks and their whitening."""

    recipe: Recipe
    centres: Mapping[str, FloatArray]
    scales: Mapping[str, FloatArray]
    landmarks: Mapping[str, FloatArray]
    whitening: FloatArray

    @classmethod
    def fit(cls, recipe: Recipe, blocks: Mapping[str, FloatArray], landmarks: IntArray) -> Self:
        used = {name: blocks[name] for name in recipe.weights}
        centres = {name: block.mean(axis=0) for name, block in used.items()}
        # A column that hardly varies is not blown up to weigh as much as the others.
        scales = {name: block.std(axis=0) + 1e-3 for name, block in used.items()}
        chosen = {
            name: _halved((block[landmarks] - centres[name]) / scales[name])
            for name, block in used.items()
        }
        unwhitened = cls(recipe, centres, scales, chosen, np.eye(len(landmarks)))
        values, vectors = np.linalg.eigh(unwhitened.features(blocks)[landmarks])
        kept = values > _SMALLEST_EIGENVALUE * values[-1]
        whitening = vectors[:, kept] / np.sqrt(values[kept])
        return cls(recipe, centres, scales, chosen, whitening)

    def features(self, blocks: Mapping[str, FloatArray]) -> FloatArray:
        """Return (N, M) features whose inner products are the kernel's values."""
        total: FloatArray = np.zeros(())
        for name, weight in self.recipe.weights.items():
            rows = _halved((blocks[name] - self.centres[name]) / self.scales[name])
            total = total + weight * _bells(rows, self.landmarks[name], self.recipe.bandwidth)
        result: FloatArray = total @ self.whitening
        return result


@dataclass(frozen=True)
class _Regression:
    """A kernel with the ridge regression of one target on it."""

    kernel: _Kernel
    intercept: float
    slopes: FloatArray

    def predict(self, blocks: Mapping[str, FloatArray]) -> FloatArray:
        return self.intercept + self.kernel.features(blocks) @ self.slopes


@dataclass(frozen=True)
class ThumbnailHead:
    """The fitted regressions of all targets.

    Attributes:
        chosen: By target: the recipe's name, the ridge and the share of variance explained among
            left-out channels of the training rows.
        inner: The outputs for each training row by regressions that never saw its channel; what a
            model on top of this one is to be fitted on.
    """

    regressions: Mapping[str, _Regression]
    logistic: FloatArray
    chosen: Mapping[str, tuple[str, float, float]]
    inner: HeadOutputs

    @classmethod
    def fit(
        cls,
        image_features: ImageFeatures,
        log_views: FloatArray,
        is_over: BoolArray,
        residual: FloatArray,
        channel_ids: Sequence[str],
        *,
        seed: int,
        recipes: Sequence[Recipe] = RECIPES,
    ) -> Self:
        """Choose and fit each target's kernel and ridge.

        Args:
            image_features: Of N thumbnails.
            log_views: log10(views/day + 1), (N,).
            is_over: Whether the threshold was reached, (N,).
            residual: What a regression without the thumbnail leaves of ``log_views``, (N,); NaN
                where that is unknown.
            channel_ids: Each row's channel; a channel is left out as a whole.
            seed: Decides the inner folds and the landmarks.
            recipes: What to choose from.

        Raises:
            LearningError: Too few rows or channels, or a number is not finite.
        """
        targets = {"log_views": log_views, "over": is_over.astype(np.float64), "residual": residual}
        known = {name: np.flatnonzero(np.isfinite(target)) for name, target in targets.items()}
        folds = inner_folds(channel_ids, seed=seed)
        if len(np.unique(folds)) < INNER_FOLDS:
            raise LearningError(
                f"{len(set(channel_ids))} channels are too few to choose a model by;"
                f" {INNER_FOLDS} are needed",
                reason="tooFewChannels",
            )
        for name, rows in known.items():
            if len(rows) < MIN_ROWS or len(np.unique(folds[rows])) < INNER_FOLDS:
                raise LearningError(
                    f"{len(rows)} thumbnails with a known {name} are too few to learn from;"
                    f" at least {MIN_ROWS} are needed, of {INNER_FOLDS} channels or more",
                    reason="tooFewVideos",
                )
        blocks = image_features.blocks()
        if not all(np.isfinite(block).all() for block in blocks.values()):
            raise LearningError("a thumbnail's numbers are not finite", reason="notFinite")
        landmarks = _landmarks(len(image_features), seed)
        best: dict[str, _Candidate] = {}
        for recipe in recipes:
            if not recipe.weights.keys() <= blocks.keys():
                continue
            kernel = _Kernel.fit(recipe, blocks, landmarks)
            for name, candidate in _candidates(kernel, blocks, targets, known, folds).items():
                if name not in best or candidate.error < best[name].error:
                    best[name] = candidate
        scores = np.column_stack([best["log_views"].outside, best["over"].outside])
        logistic = fit_logistic(scores, is_over)
        probability_over = sigmoid(linear_predictor(logistic, scores))
        inner = HeadOutputs(best["log_views"].outside, probability_over, best["residual"].outside)
        chosen = {name: (c.kernel.recipe.name, c.ridge, c.explained) for name, c in best.items()}
        regressions = {
            name: candidate.fit(blocks, targets[name], known[name])
            for name, candidate in best.items()
        }
        return cls(regressions, logistic, chosen, inner)

    def predict(self, image_features: ImageFeatures) -> HeadOutputs:
        """Return the outputs for thumbnails of channels it has not seen."""
        blocks = image_features.blocks()
        missing = {
            block for each in self.regressions.values() for block in each.kernel.recipe.weights
        } - blocks.keys()
        if missing:
            raise LearningError(
                "this model was trained with measurements of its thumbnails; give them",
                reason="measurementsMissing",
            )
        found = {name: each.predict(blocks) for name, each in self.regressions.items()}
        scores = np.column_stack([found["log_views"], found["over"]])
        probability_over = sigmoid(linear_predictor(self.logistic, scores))
        return HeadOutputs(found["log_views"], probability_over, found["residual"])

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all numbers as arrays by name."""
        result: dict[str, npt.NDArray[Any]] = {
            "logistic": self.logistic,
            "inner": np.stack(
                [self.inner.log_views, self.inner.probability_over, self.inner.residual]
            ),
        }
        for target, regression in self.regressions.items():
            kernel = regression.kernel
            _, ridge, explained = self.chosen[target]
            for block in kernel.recipe.weights:
                result[f"{target}.{block}.centre"] = kernel.centres[block]
                result[f"{target}.{block}.scale"] = kernel.scales[block]
                # Half precision, as fitted: the landmarks are most of the file.
                result[f"{target}.{block}.landmarks"] = kernel.landmarks[block].astype(np.float16)
            # Whitening and slopes are only ever used together.
            result[f"{target}.slopes"] = kernel.whitening @ regression.slopes
            result[f"{target}.numbers"] = np.array([regression.intercept, ridge, explained])
        return result

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[Any]], recipe_names: Mapping[str, str]
    ) -> Self:
        """Build a head from :meth:`tensors` and the recipes' names, by target, in ``chosen``."""
        known = {recipe.name: recipe for recipe in RECIPES}
        regressions, chosen = {}, {}
        for target in TARGETS:
            if recipe_names.get(target) not in known:
                raise LearningError(
                    f"the model's kernel {recipe_names.get(target)!r} is unknown here",
                    reason="artifactUnusable",
                )
            recipe = known[recipe_names[target]]
            parts = {
                part: {
                    block: np.asarray(tensors[f"{target}.{block}.{part}"], dtype=np.float64)
                    for block in recipe.weights
                }
                for part in ("centre", "scale", "landmarks")
            }
            slopes = np.asarray(tensors[f"{target}.slopes"])
            kernel = _Kernel(
                recipe, parts["centre"], parts["scale"], parts["landmarks"], np.eye(len(slopes))
            )
            intercept, ridge, explained = (float(x) for x in tensors[f"{target}.numbers"])
            regressions[target] = _Regression(kernel, intercept, slopes)
            chosen[target] = recipe.name, ridge, explained
        return cls(regressions, tensors["logistic"], chosen, HeadOutputs(*tensors["inner"]))


@dataclass(frozen=True)
class _Candidate:
    """How well a kernel with its best ridge predicts a target for channels left out."""

    kernel: _Kernel
    ridge: float
    outside: FloatArray
    error: float
    explained: float

    def fit(
        self, blocks: Mapping[str, FloatArray], target: FloatArray, rows: IntArray
    ) -> _Regression:
        """Fit on all rows what was chosen."""
        features = self.kernel.features(blocks)[rows]
        intercept, slopes = Decomposition(features).ridge(target[rows], RIDGES)
        return _Regression(self.kernel, intercept, slopes[RIDGES.index(self.ridge)])


def _candidates(
    kernel: _Kernel,
    blocks: Mapping[str, FloatArray],
    targets: Mapping[str, FloatArray],
    known: Mapping[str, IntArray],
    folds: IntArray,
) -> dict[str, _Candidate]:
    """Predict each row by regressions that never saw its channel, and take the best ridge."""
    features = kernel.features(blocks)
    outside = {name: np.empty((len(RIDGES), len(features))) for name in targets}
    for fold in np.unique(folds):
        inside = np.flatnonzero(folds == fold)
        decompositions: dict[bytes, Decomposition] = {}
        for name, target in targets.items():
            learning = known[name][folds[known[name]] != fold]
            key = learning.tobytes()
            if key not in decompositions:
                decompositions[key] = Decomposition(features[learning])
            intercept, slopes = decompositions[key].ridge(target[learning], RIDGES)
            outside[name][:, inside] = intercept + slopes @ features[inside].T
    result = {}
    for name, target in targets.items():
        rows = known[name]
        errors = ((outside[name][:, rows] - target[rows]) ** 2).mean(axis=1)
        choice = int(errors.argmin())
        spread = max(float(target[rows].var()), 1e-12)
        result[name] = _Candidate(
            kernel,
            RIDGES[choice],
            outside[name][choice],
            float(errors[choice]),
            float(1 - errors[choice] / spread),
        )
    return result


def _bells(rows: FloatArray, landmarks: FloatArray, bandwidth: float) -> FloatArray:
    """Return exp(- mean squared difference / bandwidth), (N, M)."""
    squares = (rows**2).sum(axis=1)[:, None] + (landmarks**2).sum(axis=1)
    distance = np.maximum(squares - 2 * rows @ landmarks.T, 0) / rows.shape[1]
    return np.asarray(np.exp(-distance / bandwidth))


def _halved(values: FloatArray) -> FloatArray:
    """Round to half precision, in which landmarks are stored: saving changes no prediction."""
    return np.clip(values, -6e4, 6e4).astype(np.float16).astype(np.float64)


def _landmarks(rows: int, seed: int) -> IntArray:
    if rows <= LANDMARKS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, LANDMARKS, replace=False))
