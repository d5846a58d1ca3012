"""How trained models do on videos that none of them learned from: judged as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import BoolArray, FloatArray
from ml.evaluation.bootstrap import Interval, Metric, cluster_bootstrap
from ml.thumbnails.data.duplicates import duplicate_groups
from ml.thumbnails.data.rows import Predictions
from ml.thumbnails.evaluation.champion_challenger import check_finite
from ml.thumbnails.evaluation.evaluate import Difference, finding, metrics_of, with_steps
from ml.thumbnails.evaluation.permutation import permuted_contribution
from ml.thumbnails.models.registry import headlines

METRICS = ("auc", "r2", "spearman", "mae", "log_loss")


@dataclass(frozen=True)
class HeldOut:
    """What was found.

    The models are given, so no interval is widened for other trainings: all say how far other
    channels of the kind could differ.

    Attributes:
        rungs: The metrics of each, by name.
        differences: Each rung that declares a baseline against it.
        sentence: What the thumbnail adds there.
        n_videos: Rows.
        n_channels: Their channels.
        base_rate: Share of rows over the threshold.
    """

    rungs: dict[str, dict[str, Interval]]
    differences: list[Difference]
    sentence: str
    n_videos: int
    n_channels: int
    base_rate: float

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        return {
            "sentence": self.sentence,
            "rungs": {
                rung: {name: value.as_json() for name, value in metrics.items()}
                for rung, metrics in self.rungs.items()
            },
            "differences": [each.as_json() for each in self.differences],
            "n_videos": self.n_videos,
            "n_channels": self.n_channels,
            "base_rate": self.base_rate,
        }


def evaluate_held_out(
    rows: pa.Table,
    predictions: Mapping[str, Predictions],
    *,
    threshold: float,
    resamples: int = 2000,
    seed: int = 0,
) -> HeldOut:
    """Evaluate predictions of rows that no model learned from.

    Args:
        rows: N rows with ``channel_id`` and ``views_per_day``.
        predictions: Of each rung, of the same rows.
        threshold: Views per day.
        resamples: Bootstrap resamples of the channels.
        seed: Makes the resamples repeatable.

    Raises:
        LearningError: Fewer than two channels, or predictions are not finite.
    """
    views = np.asarray(rows["views_per_day"].to_numpy(), dtype=np.float64)
    truth, labels = np.log10(views + 1), views >= threshold
    channels = rows["channel_id"].to_pylist()
    together = np.zeros(len(views), dtype=np.int64)
    functions: dict[str, Metric] = {}
    for rung, said in predictions.items():
        check_finite(rung, said)
        found = metrics_of(
            rung,
            labels,
            truth,
            said.probability_over,
            said.log10_views_per_day,
            together,
            channels,
        )
        functions |= {f"{rung} {name}": found[f"{rung} {name}"] for name in METRICS}
    functions, steps = with_steps(functions, predictions)
    intervals = cluster_bootstrap(functions, channels, resamples=resamples, seed=seed)
    differences = [
        Difference(more, less, *(intervals[f"{more} {name} - {less}"] for name in ("r2", "auc")))
        for more, less in steps
    ]
    return HeldOut(
        rungs={
            rung: {name: intervals[f"{rung} {name}"] for name in METRICS} for rung in predictions
        },
        differences=differences,
        sentence=_sentence(differences, predictions, truth, channels, seed),
        n_videos=len(views),
        n_channels=len(set(channels)),
        base_rate=float(labels.mean()),
    )


def shares_a_picture(rows: pa.Table, learned: pa.Table) -> BoolArray:
    """Tell which rows show a picture that, nearly or exactly, is among those learned from, (N,)."""
    columns = ("video_id", "thumbnail_sha256", "perceptual_hash")
    both = [pa.concat_arrays([*a.chunks, *b.chunks]).to_pylist()
            for a, b in ((rows[name], learned[name]) for name in columns)]  # fmt: skip
    # A video of both stands for two rows.
    both[0][rows.num_rows :] = [f"{name} learned" for name in both[0][rows.num_rows :]]
    groups = duplicate_groups(*both)
    seen = pa.array(sorted(set(groups[rows.num_rows :])))
    shared = pc.is_in(pa.array(groups[: rows.num_rows]), value_set=seen)
    return np.asarray(shared.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _sentence(
    differences: list[Difference],
    predictions: Mapping[str, Predictions],
    truth: FloatArray,
    channels: Sequence[str],
    seed: int,
) -> str:
    found = {each.rung: each for each in differences}
    headlined = next((spec for spec in headlines() if spec.name in found), None)
    if headlined is None:
        return "None of these models sees thumbnails."
    headline = found[headlined.name]
    dealt = permuted_contribution(
        truth,
        predictions[headline.baseline].log10_views_per_day,
        predictions[headline.rung].log10_views_per_day,
        channels,
        np.zeros(len(truth), dtype=np.int64),
        seed=seed,
    )
    return finding(
        headline.delta_r2,
        dealt.p_value,
        headlined.beyond or "",
        is_within_channels=2 * dealt.videos_within_channel >= len(truth),
    )
