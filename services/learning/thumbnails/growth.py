"""One true week of views against the lifetime average: two labels of the same videos.

A video that was looked at once has an average over its life; one that was counted twice has what it
gained in between. Most views come early, so the two say different things of the same video. Here
both are taken of the same videos, and the subscriber baseline is learned from each, on the same
folds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.artifacts import ModelCard
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Interval, Metric, cluster_bootstrap, over_trainings
from ml.evaluation.splits import assign_folds
from ml.thumbnails.data.dataset import DEFAULT_THRESHOLD
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.models.rung import TrainingData
from ml.thumbnails.models.tabular import SubscribersRung
from services.context import Context
from services.learning.thumbnails.labels import LABELS
from services.learning.thumbnails.selection import Request, select_labelled

MIN_VIDEOS, MIN_CHANNELS = 200, 40
"""With both labels; fewer give no interval worth showing."""
MOST_VIDEOS: Final = 10_000
"""More than these are drawn from: they cost minutes and change no figure that is shown."""
FOLDS = 4
RESAMPLES = 1000


@dataclass(frozen=True)
class Labelled:
    """What one of the two labels says, and what subscribers tell of it.

    Attributes:
        base_rate: Share of the videos that reach the threshold.
        median: Views a day of the video in the middle.
        auc: Of the subscriber baseline, channel-disjoint, for reaching the threshold.
        r2: Likewise for log10(views a day + 1).
    """

    base_rate: float
    median: float
    auc: Interval
    r2: Interval


@dataclass(frozen=True)
class Growth:
    """Both labels of the same N videos.

    Attributes:
        n_videos: With both labels, in all.
        n_channels: Of those compared.
        threshold: Views a day.
        week: By the growth of one week.
        lifetime: By the average since publication.
        delta_auc: The baseline's AUC for the week less that for the lifetime, paired by channel.
        delta_r2: Likewise.
        correlation: Of the two labels' logarithms (Pearson).
        spearman: Of their order.
        fell: Videos over the threshold by the average and under it in the week.
        rose: The other way round.
        log_week: log10(views a day + 1) in the week, (N,).
        log_lifetime: Since publication, (N,).
    """

    n_videos: int
    n_channels: int
    threshold: float
    week: Labelled
    lifetime: Labelled
    delta_auc: Interval
    delta_r2: Interval
    correlation: float
    spearman: float
    fell: int
    rose: int
    log_week: FloatArray
    log_lifetime: FloatArray

    @property
    def n_compared(self) -> int:
        """How many videos the figures are of."""
        return len(self.log_week)

    @property
    def sentence(self) -> str:
        """The finding in plain words."""
        week, lifetime, changed = self.week, self.lifetime, self.fell + self.rose
        return (
            f"By lifetime average {_percent(lifetime.base_rate)} of {self.n_compared:,} videos"
            f" reach {self.threshold:g} views a day, by one week's growth"
            f" {_percent(week.base_rate)}; {_percent(changed / self.n_compared)} change sides."
            f" Subscribers explain R² {lifetime.r2.value:.2f} of the one and {week.r2.value:.2f}"
            " of the other."
        )

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        plain = ("sentence", "n_videos", "n_compared", "n_channels", "threshold", "fell", "rose")
        return {
            **{name: getattr(self, name) for name in plain},
            **{
                name: {
                    "base_rate": part.base_rate,
                    "median": part.median,
                    "auc": part.auc.as_json(),
                    "r2": part.r2.as_json(),
                }
                for name, part in (("week", self.week), ("lifetime", self.lifetime))
            },
            "delta_auc": self.delta_auc.as_json(),
            "delta_r2": self.delta_r2.as_json(),
            "correlation": self.correlation if np.isfinite(self.correlation) else None,
            "spearman": self.spearman,
        }


@dataclass(frozen=True)
class TooLittle:
    """There are not enough videos with both labels."""

    n_videos: int
    n_channels: int

    @property
    def sentence(self) -> str:
        """What there is and what is needed."""
        return (
            f"Not enough data: {self.n_videos:,} videos of {self.n_channels:,} channels have two"
            f" counts a week apart; {MIN_VIDEOS} of {MIN_CHANNELS} channels are needed."
        )

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        needed = {"videos": MIN_VIDEOS, "channels": MIN_CHANNELS}
        return {**vars(self), "sentence": self.sentence, "needed": needed}


def study_growth(
    context: Context, *, threshold: float = DEFAULT_THRESHOLD, seed: int = 0
) -> Growth | TooLittle:
    """Compare the two labels of all videos that have both, whether or not they have a picture."""
    now = context.clock()
    request = Request(threshold=threshold, pictures=False)
    grown = select_labelled(context, LABELS["week"], request, now).rows.sort_by("video_id")
    wanted = grown["video_id"]
    average = select_labelled(context, LABELS["lifetime"], request, now).rows.sort_by("video_id")
    # Who grew over a week has been there for longer than a day, so each has an average too.
    both = pc.is_in(average["video_id"], value_set=wanted.combine_chunks())
    # A video that was removed between the two readings has one label only.
    still = pc.is_in(wanted, value_set=average["video_id"].combine_chunks())
    grown, average = grown.filter(still), average.filter(both)
    return compare_labels(grown, average, threshold=threshold, seed=seed)


def compare_labels(
    week: pa.Table, lifetime: pa.Table, *, threshold: float, seed: int = 0
) -> Growth | TooLittle:
    """Compare two labels of the same videos.

    Args:
        week: ``ml.thumbnails.data.schema.ROW_SCHEMA``, by video id.
        lifetime: The same videos with the other label.
        threshold: Views a day.
        seed: Decides the folds, the resamples and which videos are drawn where there are many.
    """
    n_videos, channels = week.num_rows, week["channel_id"].to_pylist()
    if n_videos < MIN_VIDEOS or len(set(channels)) < MIN_CHANNELS:
        return TooLittle(n_videos, len(set(channels)))
    assert week["video_id"].to_pylist() == lifetime["video_id"].to_pylist()
    if n_videos > MOST_VIDEOS:
        drawn = np.random.default_rng(seed).choice(n_videos, MOST_VIDEOS, replace=False)
        week, lifetime = week.take(np.sort(drawn)), lifetime.take(np.sort(drawn))
        channels = week["channel_id"].to_pylist()
    folds = assign_folds(channels, seed=seed, folds=FOLDS)
    sides = {"week": _Side.of(week, folds, threshold, seed)}
    sides["lifetime"] = _Side.of(lifetime, folds, threshold, seed)
    found = cluster_bootstrap(_metrics(sides, folds), channels, resamples=RESAMPLES, seed=seed)
    one, other = sides["week"], sides["lifetime"]
    return Growth(
        n_videos=n_videos,
        n_channels=len(set(channels)),
        threshold=threshold,
        week=one.labelled(found, "week"),
        lifetime=other.labelled(found, "lifetime"),
        delta_auc=found["delta auc"].widened(over_trainings(FOLDS)),
        delta_r2=found["delta r2"].widened(over_trainings(FOLDS)),
        correlation=float(np.corrcoef(one.log_views, other.log_views)[0, 1]),
        spearman=float(metrics.spearman(one.log_views, other.log_views)),
        fell=int((other.is_over & ~one.is_over).sum()),
        rose=int((one.is_over & ~other.is_over).sum()),
        log_week=one.log_views,
        log_lifetime=other.log_views,
    )


@dataclass(frozen=True)
class _Side:
    """One label with the baseline's out-of-fold predictions of it."""

    log_views: FloatArray
    is_over: BoolArray
    probability_over: FloatArray
    predicted: FloatArray

    @classmethod
    def of(cls, rows: pa.Table, folds: IntArray, threshold: float, seed: int) -> "_Side":
        views = np.asarray(rows["views_per_day"].to_numpy(), dtype=np.float64)
        features = Features.of_table(rows, split_groups=rows["channel_id"].to_pylist())
        targets = Targets(np.log10(views + 1), views >= threshold)
        card = ModelCard(dataset="", seed=seed, folds=FOLDS, threshold=threshold)
        predicted = SubscribersRung.fit(TrainingData(features, targets, folds, card)).predict(
            features
        )
        return cls(
            targets.log10_views_per_day,
            targets.is_over,
            predicted.probability_over,
            predicted.log10_views_per_day,
        )

    def labelled(self, found: Mapping[str, Interval], name: str) -> Labelled:
        return Labelled(
            base_rate=float(self.is_over.mean()),
            median=float(10 ** np.median(self.log_views) - 1),
            auc=found[f"{name} auc"],
            r2=found[f"{name} r2"],
        )


def _metrics(sides: Mapping[str, _Side], folds: IntArray) -> dict[str, Metric]:
    def auc(side: _Side) -> Metric:
        return lambda w: metrics.auc(side.is_over, side.probability_over, weights=w, strata=folds)

    def r2(side: _Side) -> Metric:
        return lambda w: metrics.r_squared(side.log_views, side.predicted, weights=w)

    result: dict[str, Metric] = {}
    for name, make in (("auc", auc), ("r2", r2)):
        week, lifetime = make(sides["week"]), make(sides["lifetime"])
        result |= {f"week {name}": week, f"lifetime {name}": lifetime}
        result[f"delta {name}"] = _less(week, lifetime)
    return result


def _less(more: Metric, less: Metric) -> Metric:
    return lambda weights: more(weights) - less(weights)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
