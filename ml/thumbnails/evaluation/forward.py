"""Forward in time: models of earlier videos, evaluated on later ones of channels they never saw.

Out-of-fold figures mix the times: a model may learn from videos newer than the one it scores.
Here it may not. "Earlier" is by publication; whether its views had been counted when the later
video came is not asked, as datasets of one collection could not be evaluated at all then. A video
is scored by a model of the earlier half without the video's fold, so its channel is new to it too.

Rungs with pictures see them through what is frozen: a pretrained network's embeddings and
measurements. Only heads and regressions are fitted again; networks trained from scratch would have
to be trained anew and are left out, so these rungs know a little less than those that the ladder
trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.errors import LearningError
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Interval, Metric, cluster_bootstrap, over_trainings
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.models.cross_fitted import CrossFittedRung
from ml.thumbnails.models.registry import rung_classes
from ml.thumbnails.models.rung import Need, Role, Rung
from ml.thumbnails.stacking.regression import beyond_the_rest

if TYPE_CHECKING:
    # Torch comes with it, which the other rungs do without.
    from ml.thumbnails.features.image_features import ImageFeatures

MIN_ROWS = 50
MIN_CHANNELS = 5
"""In each half; fewer teach nothing that one could evaluate."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Forward:
    """The rungs, forward in time.

    Attributes:
        cut: The videos published from then on are scored, ISO 8601.
        n_earlier: Videos before.
        n_later: Videos scored.
        with_pictures: Whether rungs with pictures are among them.
        rungs: By name: ``auc`` and ``r2``; None where undefined.
        intervals: By name the same with their intervals by channel.
        differences: What rungs have over their neighbours, paired by channel: ``rung``,
            ``baseline``, ``delta_r2``, ``delta_auc``.
    """

    cut: str
    n_earlier: int
    n_later: int
    with_pictures: bool
    rungs: Mapping[str, Mapping[str, float | None]]
    intervals: Mapping[str, Mapping[str, Mapping[str, float | None]]]
    differences: Sequence[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        content = dict(vars(self))
        # The name that stored evaluations have.
        return content | {"looked": content.pop("with_pictures")}


def forward_in_time(
    dataset: Dataset,
    folds: IntArray,
    *,
    image_features: "ImageFeatures | None" = None,
    steps: Sequence[tuple[str, str]] = (),
    seed: int = 0,
) -> Forward | None:
    """Fit each rung on the earlier half of the videos and evaluate it on the later half.

    Args:
        dataset: The rows.
        folds: Of each row, shape (N,); a row is scored by a model without its fold.
        image_features: What a pretrained network makes of the rows' thumbnails; None leaves the
            rungs with pictures out.
        steps: Which rungs are compared with which.
        seed: Decides inner folds and resamples.

    Returns:
        None where the halves are too small, hold one class only or too few channels.
    """
    published = dataset.table["published_at"].cast(pa.int64()).to_numpy()
    cut = int(np.median(published))
    earlier, later = np.flatnonzero(published < cut), np.flatnonzero(published >= cut)
    targets = Targets(dataset.log10_views_per_day, dataset.is_over)
    for rows in (earlier, later):
        part = targets.is_over[rows]
        if len(rows) < MIN_ROWS or part.all() or not part.any():
            return None
    names = dataset.strings("channel_id")
    channels = [names[row] for row in later]
    if min(len({names[row] for row in earlier}), len(set(channels))) < MIN_CHANNELS:
        return None
    n_folds = int(folds.max()) + 1
    if np.bincount(folds[earlier], minlength=n_folds).max() == len(earlier):
        return None
    halves = _Halves(Features.of_table(dataset.table), targets, folds, earlier, later)
    predicted = halves.predict(seeing=False, seed=seed)
    seeing = _with_pictures(halves, image_features, seed)
    predicted |= seeing
    held_out, strata = targets.take(later), folds[later]
    found = cluster_bootstrap(
        _metrics(held_out.is_over, held_out.log10_views_per_day, strata, predicted, steps),
        channels,
        resamples=RESAMPLES,
        seed=seed,
    )
    intervals = {
        rung: {name: found[f"{rung} {name}"].as_json() for name in ("auc", "r2")}
        for rung in predicted
    }
    moment = dataset.table["published_at"].type
    return Forward(
        pa.scalar(cut, pa.int64()).cast(moment).as_py().isoformat(),
        len(earlier),
        len(later),
        bool(seeing),
        {r: {name: each["value"] for name, each in of.items()} for r, of in intervals.items()},
        intervals,
        _differences(found, predicted, steps, widened=over_trainings(n_folds)),
    )


@dataclass(frozen=True)
class _Halves:
    """The rows of both halves, and how rungs are fitted on one and asked about the other."""

    features: Features
    targets: Targets
    folds: IntArray
    earlier: IntArray
    later: IntArray

    def predict(self, *, seeing: bool, seed: int) -> dict[str, Predictions]:
        """Return what models of the earlier half, each without a fold, predict for the later half.

        Args:
            seeing: The rungs with pictures, whose image features are known; or the others.
            seed: Decides inner folds.
        """
        result: dict[str, Predictions] = {}
        for fold in np.unique(self.folds[self.later]):
            learning = self.earlier[self.folds[self.earlier] != fold]
            inside = np.flatnonzero(self.folds[self.later] == fold)
            split = _Split(
                self.features.take(learning),
                self.targets.take(learning),
                self.features.take(self.later[inside]),
                seed,
            )
            for kind in rung_classes():
                if kind.spec.sees_thumbnails == seeing and split.has(kind):
                    room = result.setdefault(kind.spec.name, Predictions.empty(len(self.later)))
                    room.put(inside, split.refit(kind))
        return result


@dataclass(frozen=True)
class _Split:
    """Rows to learn from, and rows of other channels to score."""

    learning: Features
    targets: Targets
    requested: Features
    seed: int

    def has(self, kind: type[Rung]) -> bool:
        """Tell whether a kind of rung can be fitted here, and whether that says anything."""
        if not issubclass(kind, CrossFittedRung) or kind.spec.role is Role.FLOOR:
            return False
        known = self.learning.image_features
        needs_none = Need.MEASUREMENTS not in kind.spec.needs
        return needs_none or (known is not None and known.measurements is not None)

    def refit(self, kind: type[Rung]) -> Predictions:
        """Fit one model on all rows to learn from, and score the others.

        Raises:
            LearningError: Too few rows or channels to choose by.
        """
        assert issubclass(kind, CrossFittedRung)
        if Need.THUMBNAILS in kind.spec.needs:
            picture, unseen = self._head_outputs
        else:
            picture, unseen = (kind.picture_columns(f) for f in (self.learning, self.requested))
        known = self.learning.without_pictures()
        part = kind.fit_part(known, picture, self.targets, seed=self.seed)
        return kind.predict_part(part, self.requested.without_pictures(), unseen)

    @cached_property
    def _head_outputs(self) -> tuple[FloatArray, FloatArray]:
        """What a head gives for rows whose channel it had not seen, in place of networks.

        The regressions on top believe it as much as it deserves.
        """
        from ml.thumbnails.stacking.head import ThumbnailHead  # noqa: PLC0415 - torch, only where pictures are known
        from ml.thumbnails.stacking.picture_model import columns_of  # noqa: PLC0415

        assert self.learning.image_features is not None
        assert self.requested.image_features is not None
        head = ThumbnailHead.fit(
            self.learning.image_features,
            self.targets.log10_views_per_day,
            self.targets.is_over,
            beyond_the_rest(self.learning, self.targets.log10_views_per_day),
            self.learning.groups_in_folds,
            seed=self.seed,
        )
        return columns_of(head.inner), columns_of(head.predict(self.requested.image_features))


def _with_pictures(
    halves: _Halves, image_features: "ImageFeatures | None", seed: int
) -> dict[str, Predictions]:
    """Return the rungs with pictures; none without image features or with too few to learn from."""
    if image_features is None:
        return {}
    features = replace(halves.features, image_features=image_features)
    try:
        return replace(halves, features=features).predict(seeing=True, seed=seed)
    except LearningError:
        # Half of the videos may be too few where all of them were enough.
        return {}


def _metrics(
    labels: BoolArray,
    truth: FloatArray,
    strata: IntArray,
    predicted: Mapping[str, Predictions],
    steps: Sequence[tuple[str, str]],
) -> dict[str, Metric]:
    result: dict[str, Metric] = {}
    for rung, found in predicted.items():
        probability_over, log_views = found.probability_over, found.log10_views_per_day
        result[f"{rung} auc"] = lambda w, p=probability_over: metrics.auc(  # type: ignore[misc]
            labels, p, weights=w, strata=strata
        )
        result[f"{rung} r2"] = lambda w, y=log_views: metrics.r_squared(truth, y, weights=w)  # type: ignore[misc]
    for more, less in steps:
        if more in predicted and less in predicted:
            for name in ("auc", "r2"):
                with_, without = result[f"{more} {name}"], result[f"{less} {name}"]
                result[f"{more} {name} - {less}"] = lambda w, a=with_, b=without: a(w) - b(w)  # type: ignore[misc]
    return result


def _differences(
    found: Mapping[str, Interval],
    predicted: Mapping[str, Predictions],
    steps: Sequence[tuple[str, str]],
    *,
    widened: float,
) -> list[dict[str, Any]]:
    """Return differences with intervals that allow for other trainings too, as out of fold."""
    return [
        {
            "rung": more,
            "baseline": less,
            "delta_r2": found[f"{more} r2 - {less}"].widened(widened).as_json(),
            "delta_auc": found[f"{more} auc - {less}"].widened(widened).as_json(),
        }
        for more, less in steps
        if more in predicted and less in predicted
    ]
