"""Compare the rungs on the same rows, with intervals by channel, and say it in one sentence."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml import metrics
from ml.arrays import BoolArray, FloatArray, IntArray
from ml.bootstrap import Interval, Metric, cluster_bootstrap
from ml.datasets import Dataset
from ml.errors import LearningError
from ml.metrics import CalibrationBin

BASELINE = "subscribers"
FULL = "subscribers+thumbnail"


@dataclass(frozen=True)
class RungEvaluation:
    """One rung's metrics with intervals, and its calibration."""

    auc: Interval
    r2: Interval
    spearman: Interval
    brier: Interval
    average_precision: Interval
    log_loss: Interval
    calibration: list[CalibrationBin]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        intervals = {
            name: value.as_json() for name, value in vars(self).items() if name != "calibration"
        }
        return intervals | {"calibration": [asdict(bin_) for bin_ in self.calibration]}


@dataclass(frozen=True)
class Evaluation:
    """The result of one comparison.

    Attributes:
        rungs: By name.
        delta_r2: R² of subscribers+thumbnail minus that of subscribers, paired by channel.
        delta_auc: The same for the AUC.
        sentence: The finding in plain words.
        n_videos: Rows compared.
        n_channels: Their channels.
        base_rate: Share of rows over the threshold.
        threshold: Views per day.
        resamples: Of the bootstrap.
        dataset: The dataset's id.
    """

    rungs: dict[str, RungEvaluation]
    delta_r2: Interval
    delta_auc: Interval
    sentence: str
    n_videos: int
    n_channels: int
    base_rate: float
    threshold: float
    resamples: int
    dataset: str

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        plain = (
            "sentence",
            "n_videos",
            "n_channels",
            "base_rate",
            "threshold",
            "resamples",
            "dataset",
        )
        return {
            "rungs": {name: rung.as_json() for name, rung in self.rungs.items()},
            "beyond_subscribers": {
                "delta_r2": self.delta_r2.as_json(),
                "delta_auc": self.delta_auc.as_json(),
            },
            **{name: getattr(self, name) for name in plain},
        }


def evaluate(
    dataset: Dataset, out_of_fold: pa.Table, *, resamples: int = 2000, seed: int = 0
) -> Evaluation:
    """Compare the rungs' out-of-fold predictions.

    AUC, average precision and Spearman's correlation compare only videos of the same fold, which
    the same model scored; see :mod:`ml.metrics`. The bootstrap resamples channels and keeps the
    models fixed: intervals say how far other channels could differ, not how other trainings would.

    Args:
        dataset: Holds the truth.
        out_of_fold: ``OUT_OF_FOLD_SCHEMA``, every rung on every video of the dataset.
        resamples: Bootstrap resamples of the channels.
        seed: Makes the resamples repeatable.

    Raises:
        LearningError: Predictions missing or not finite, or fewer than two channels.
    """
    labels, truth = dataset.is_over, dataset.log_views_per_day
    functions: dict[str, Metric] = {}
    probabilities: dict[str, FloatArray] = {}
    for rung in dict.fromkeys(out_of_fold["rung"].to_pylist()):
        folds, p_over, log_views = _aligned(dataset, out_of_fold, rung)
        probabilities[rung] = p_over
        functions |= _metrics_of(rung, labels, truth, p_over, log_views, folds)
    for name in ("r2", "auc"):
        functions[f"delta {name}"] = _difference(
            functions[f"{FULL} {name}"], functions[f"{BASELINE} {name}"]
        )
    channels = dataset.strings("channel_id")
    intervals = cluster_bootstrap(functions, channels, resamples=resamples, seed=seed)
    delta_r2 = intervals["delta r2"]
    return Evaluation(
        rungs={
            rung: RungEvaluation(
                auc=intervals[f"{rung} auc"],
                r2=intervals[f"{rung} r2"],
                spearman=intervals[f"{rung} spearman"],
                brier=intervals[f"{rung} brier"],
                average_precision=intervals[f"{rung} average_precision"],
                log_loss=intervals[f"{rung} log_loss"],
                calibration=metrics.calibration_bins(labels, p_over),
            )
            for rung, p_over in probabilities.items()
        },
        delta_r2=delta_r2,
        delta_auc=intervals["delta auc"],
        sentence=finding(delta_r2),
        n_videos=len(dataset),
        n_channels=len(set(channels)),
        base_rate=float(labels.mean()),
        threshold=dataset.description.threshold,
        resamples=resamples,
        dataset=dataset.description.id,
    )


def finding(delta_r2: Interval) -> str:
    """Say what the thumbnail adds beyond subscribers, and stay silent where nothing is shown."""
    numbers = f"ΔR² {delta_r2.value:.3f} [{delta_r2.low:.3f}, {delta_r2.high:.3f}]"
    if delta_r2.low > 0:
        return f"The thumbnail adds {numbers} beyond subscribers."
    return f"No effect of the thumbnail beyond subscribers can be shown: {numbers}."


def _aligned(
    dataset: Dataset, out_of_fold: pa.Table, rung: str
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return a rung's folds, probabilities and log views in the order of the dataset's rows."""
    part = out_of_fold.filter(pc.equal(out_of_fold["rung"], rung)).sort_by("video_id")
    # The dataset's table is sorted by video id too.
    if part["video_id"].to_pylist() != dataset.strings("video_id"):
        raise LearningError(
            f"the predictions of rung {rung} are not for the videos of dataset"
            f" {dataset.description.id}",
            reason="predictions_mismatch",
        )
    p_over, log_views = part["p_over"].to_numpy(), part["log_views_per_day"].to_numpy()
    if not (np.isfinite(p_over).all() and np.isfinite(log_views).all()):
        raise LearningError(f"rung {rung} predicts NaN", reason="not_finite")
    return part["fold"].to_numpy(), p_over, log_views


def _metrics_of(
    rung: str,
    labels: BoolArray,
    truth: FloatArray,
    p_over: FloatArray,
    log_views: FloatArray,
    folds: IntArray,
) -> dict[str, Metric]:
    return {
        f"{rung} auc": lambda w: metrics.auc(labels, p_over, weights=w, strata=folds),
        f"{rung} r2": lambda w: metrics.r_squared(truth, log_views, weights=w),
        f"{rung} spearman": lambda w: metrics.spearman(truth, log_views, weights=w, strata=folds),
        f"{rung} brier": lambda w: metrics.brier(labels, p_over, weights=w),
        f"{rung} log_loss": lambda w: metrics.log_loss(labels, p_over, weights=w),
        f"{rung} average_precision": lambda w: metrics.average_precision(
            labels, p_over, weights=w, strata=folds
        ),
    }


def _difference(more: Metric, less: Metric) -> Metric:
    return lambda weights: more(weights) - less(weights)
