"""Compare the rungs on the same rows, with intervals by channel, and say it in one sentence."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.errors import LearningError
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Interval, Metric, cluster_bootstrap, over_trainings
from ml.evaluation.metrics import CalibrationBin
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.evaluation.forward import Forward, forward_in_time
from ml.thumbnails.evaluation.permutation import Permutation, permuted_contribution
from ml.thumbnails.evaluation.slices import Slice, slices_of
from ml.thumbnails.models.registry import comparisons, headlines
from ml.thumbnails.models.tabular import SubscribersRung
from ml.thumbnails.models.thumbnail import SubscribersThumbnailRung

if TYPE_CHECKING:
    from ml.thumbnails.features.image_features import ImageFeatures

BASELINE, FULL = SubscribersRung.spec.name, SubscribersThumbnailRung.spec.name
"""The plainest question: what a thumbnail adds to the channel's size."""


@dataclass(frozen=True)
class RungEvaluation:
    """One rung's metrics with intervals, and its calibration."""

    auc: Interval
    r2: Interval
    spearman: Interval
    mae: Interval
    brier: Interval
    average_precision: Interval
    log_loss: Interval
    within_channel_auc: Interval
    calibration: list[CalibrationBin]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        intervals = {
            name: value.as_json() for name, value in vars(self).items() if name != "calibration"
        }
        return intervals | {"calibration": [asdict(bin_) for bin_ in self.calibration]}


SIGNIFICANT = 0.05
"""Below this p the permutation counts as telling."""
METRICS = tuple(name for name in RungEvaluation.__dataclass_fields__ if name != "calibration")


@dataclass(frozen=True)
class Difference:
    """What one rung has over another, paired by channel: R² and AUC of the first less the other."""

    rung: str
    baseline: str
    delta_r2: Interval
    delta_auc: Interval

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        return {
            "rung": self.rung,
            "baseline": self.baseline,
            "delta_r2": self.delta_r2.as_json(),
            "delta_auc": self.delta_auc.as_json(),
        }


@dataclass(frozen=True)
class Evaluation:
    """The result of one comparison.

    Attributes:
        rungs: By name.
        differences: Each rung that declares a baseline against it.
        headline: Of the differences the one that the sentence is about.
        sentence: The finding in plain words.
        permutation: The headline's ΔR² if thumbnails are dealt out anew.
        slices: The same by size of the channel, age and format.
        forward: What models of the earlier half say of the later; None where there are no halves.
        n_videos: Rows compared.
        n_channels: Their channels.
        n_without_history: Of the rows those without any count of the channel's earlier videos.
        base_rate: Share of rows over the threshold; what average precision is without knowledge.
        threshold: Views per day.
        resamples: Of the bootstrap.
        dataset: The dataset's id.
    """

    rungs: dict[str, RungEvaluation]
    differences: list[Difference]
    headline: Difference
    sentence: str
    permutation: Permutation
    slices: list[Slice]
    forward: Forward | None
    n_videos: int
    n_channels: int
    n_without_history: int
    base_rate: float
    threshold: float
    resamples: int
    dataset: str

    def difference(self, rung: str, baseline: str) -> Difference:
        """Return one of the differences."""
        return next(d for d in self.differences if (d.rung, d.baseline) == (rung, baseline))

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        plain = (
            "sentence",
            "n_videos",
            "n_channels",
            "n_without_history",
            "base_rate",
            "threshold",
            "resamples",
            "dataset",
        )
        simple = self.difference(FULL, BASELINE).as_json()
        return {
            "rungs": {name: rung.as_json() for name, rung in self.rungs.items()},
            "differences": [difference.as_json() for difference in self.differences],
            "headline": self.headline.as_json(),
            "beyond_subscribers": {name: simple[name] for name in ("delta_r2", "delta_auc")},
            "permutation": asdict(self.permutation),
            "slices": [part.as_json() for part in self.slices],
            "forward": None if self.forward is None else self.forward.as_json(),
            **{name: getattr(self, name) for name in plain},
        }


def evaluate(
    dataset: Dataset,
    out_of_fold: pa.Table,
    *,
    resamples: int = 2000,
    seed: int = 0,
    image_features: "ImageFeatures | None" = None,
) -> Evaluation:
    """Compare the rungs' out-of-fold predictions.

    AUC, average precision and Spearman's correlation compare only videos of the same fold, which
    the same model scored; see :mod:`ml.evaluation.metrics`. The bootstrap resamples channels and
    keeps the models fixed: a rung's own intervals say how far other channels could differ, not how
    other trainings would. Those of differences are wider and say both (docs/decisions/0016).

    Args:
        dataset: Holds the truth.
        out_of_fold: ``OUT_OF_FOLD_SCHEMA``, every rung on every video of the dataset.
        resamples: Bootstrap resamples of the channels.
        seed: Makes the resamples repeatable.
        image_features: What a pretrained network makes of the thumbnails, for rungs with pictures
            forward in time.

    Raises:
        LearningError: Predictions missing or not finite, or fewer than two channels.
    """
    labels, truth = dataset.is_over, dataset.log10_views_per_day
    channels = dataset.strings("channel_id")
    functions: dict[str, Metric] = {}
    probabilities: dict[str, FloatArray] = {}
    predicted: dict[str, FloatArray] = {}
    folds: IntArray = np.zeros(0, dtype=np.int64)
    for rung in out_of_fold["rung"].unique().to_pylist():
        folds, probability_over, log_views = _aligned(dataset, out_of_fold, rung)
        probabilities[rung], predicted[rung] = probability_over, log_views
        functions |= metrics_of(rung, labels, truth, probability_over, log_views, folds, channels)
    functions, steps = with_steps(functions, predicted)
    intervals = cluster_bootstrap(functions, channels, resamples=resamples, seed=seed)
    wider = over_trainings(len(np.unique(folds)))
    differences = {
        (more, less): Difference(
            more,
            less,
            *(intervals[f"{more} {name} - {less}"].widened(wider) for name in ("r2", "auc")),
        )
        for more, less in steps
    }
    found = {difference.rung: difference for difference in differences.values()}
    headlined = next(spec for spec in headlines() if spec.name in found)
    headline = found[headlined.name]
    rung, baseline = headline.rung, headline.baseline
    permutation = permuted_contribution(
        truth, predicted[baseline], predicted[rung], channels, folds, seed=seed
    )
    return Evaluation(
        rungs={
            rung: RungEvaluation(
                **{name: intervals[f"{rung} {name}"] for name in METRICS},
                calibration=metrics.calibration_bins(labels, probability_over),
            )
            for rung, probability_over in probabilities.items()
        },
        differences=list(differences.values()),
        headline=headline,
        sentence=finding(
            headline.delta_r2,
            permutation.p_value,
            headlined.beyond or "",
            is_within_channels=2 * permutation.videos_within_channel >= len(truth),
        ),
        permutation=permutation,
        slices=slices_of(dataset, predicted, probabilities, folds, (rung, baseline), seed=seed),
        forward=forward_in_time(
            dataset, folds, image_features=image_features, steps=comparisons(), seed=seed
        ),
        n_videos=len(dataset),
        n_channels=len(set(channels)),
        n_without_history=dataset.n_without_history,
        base_rate=float(labels.mean()),
        threshold=dataset.description.threshold,
        resamples=resamples,
        dataset=dataset.description.id,
    )


def finding(
    delta_r2: Interval,
    p_value: float,
    beyond: str = "subscribers",
    *,
    is_within_channels: bool = True,
) -> str:
    """Say what the thumbnail adds beyond the rest, and stay silent where nothing is shown.

    Where interval and permutation seem to contradict each other, it is said what each is about: the
    interval asks how much models learned from other channels would gain on other channels, the
    permutation whether these models take anything from each video's own picture.

    Args:
        delta_r2: What the thumbnail adds.
        p_value: Of the permutation (:class:`~ml.thumbnails.evaluation.permutation.Permutation`).
        beyond: What is known without the thumbnail.
        is_within_channels: Whether most pictures were dealt within their channel; those of channels
            with one video are dealt among each other.
    """
    numbers = f"ΔR² {delta_r2.value:.3f} [{delta_r2.low:.3f}, {delta_r2.high:.3f}]"
    is_own, p = p_value < SIGNIFICANT, f"p = {p_value:.3f}"
    another = "another of the channel's" if is_within_channels else "another channel's"
    if delta_r2.low > 0:
        said = f"The thumbnail adds {numbers} beyond {beyond}."
        if is_own:
            return said
        if not is_within_channels:
            return f"{said} With {another} thumbnail the models do about as well ({p})."
        return (
            f"{said} That may be the channel's usual look rather than the video's own picture:"
            f" {another} thumbnails does about as well ({p})."
        )
    said = f"No effect of the thumbnail beyond {beyond} can be shown: {numbers}."
    if not is_own:
        return said
    elsewhere = (
        "models of other channels do worse with it than without."
        if delta_r2.high < 0
        else "whether models of other channels would gain by it is what cannot be shown with so"
        " few."
    )
    return (
        f"{said} These models do take something from each video's own picture (with {another} they"
        f" do worse, {p}); {elsewhere}"
    )


def _aligned(
    dataset: Dataset, out_of_fold: pa.Table, rung: str
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return a rung's folds, probabilities and log views in the order of the dataset's rows."""
    part = out_of_fold.filter(pc.equal(out_of_fold["rung"], rung)).sort_by("video_id")
    # The dataset's table is sorted by video id too.
    if not part["video_id"].equals(dataset.table["video_id"]):
        raise LearningError(
            f"the predictions of rung {rung} are not for the videos of dataset"
            f" {dataset.description.id}",
            reason="predictionsMismatch",
        )
    probability_over, log_views = (
        part["probability_over"].to_numpy(),
        part["log10_views_per_day"].to_numpy(),
    )
    if not (np.isfinite(probability_over).all() and np.isfinite(log_views).all()):
        raise LearningError(f"rung {rung} predicts NaN", reason="notFinite")
    return part["fold"].to_numpy(), probability_over, log_views


def metrics_of(
    rung: str,
    labels: BoolArray,
    truth: FloatArray,
    probability_over: FloatArray,
    log_views: FloatArray,
    folds: IntArray,
    channels: Sequence[str],
) -> dict[str, Metric]:
    """Return a rung's metrics as functions of the row weights, by ``rung metric``."""
    return {
        f"{rung} auc": lambda w: metrics.auc(labels, probability_over, weights=w, strata=folds),
        f"{rung} r2": lambda w: metrics.r_squared(truth, log_views, weights=w),
        f"{rung} spearman": lambda w: metrics.spearman(truth, log_views, weights=w, strata=folds),
        f"{rung} mae": lambda w: metrics.mean_absolute_error(truth, log_views, weights=w),
        f"{rung} within_channel_auc": lambda w: metrics.within_cluster_auc(
            labels, probability_over, channels, weights=w
        ),
        f"{rung} brier": lambda w: metrics.brier(labels, probability_over, weights=w),
        f"{rung} log_loss": lambda w: metrics.log_loss(labels, probability_over, weights=w),
        f"{rung} average_precision": lambda w: metrics.average_precision(
            labels, probability_over, weights=w, strata=folds
        ),
    }


def with_steps(
    functions: Mapping[str, Metric], rungs: Collection[str]
) -> tuple[dict[str, Metric], list[tuple[str, str]]]:
    """Add what each rung has over its baseline in R² and AUC, as ``rung metric - baseline``.

    Args:
        functions: Metrics by ``rung metric``.
        rungs: Those that were evaluated.

    Returns:
        All functions, and the pairs (rung, baseline) of which both are there.
    """
    steps = [(more, less) for more, less in comparisons() if more in rungs and less in rungs]
    added = {
        f"{more} {name} - {less}": _difference(
            functions[f"{more} {name}"], functions[f"{less} {name}"]
        )
        for more, less in steps
        for name in ("r2", "auc")
    }
    return {**functions, **added}, steps


def _difference(more: Metric, less: Metric) -> Metric:
    return lambda weights: more(weights) - less(weights)
