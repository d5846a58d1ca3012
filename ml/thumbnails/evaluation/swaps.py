"""What a swapped thumbnail does: difference in differences beside matched videos.

Each swapped video is compared with up to five that kept their picture in the same days. Views fade
with age and platforms have good weeks; both happen to the controls too. Owners swap the picture of
a video that does badly, and after a bad week most videos recover by themselves (regression to the
mean; in this design "Ashenfelter's dip", Ashenfelter 1978). So a control must have had as few views
in the days before, at about the same age and in a channel that usually gets as many: it recovers as
well. What differences are left within a match is taken out by a regression among the controls
(Abadie & Imbens 2011, "Bias-corrected matching estimators for average treatment effects"). No video
is a control twice, and whole channels are resampled with their matches (Abadie & Spiess 2022,
"Robust post-matching inference").

What this cannot see is a reason to swap that also moves views: a new title on the same day, a
campaign. The placebo asks whether the swapped videos already parted from their like the week
before, when nothing had been swapped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ml.arrays import BoolArray, FloatArray
from ml.evaluation.bootstrap import Interval, Metric, cluster_bootstrap

DAYS = 7
"""Days compared on each side of a swap, at most."""
CONTROLS = 5
NEAR_VIEWS, NEAR_AGE, NEAR_USUAL = 0.15, 0.15, 0.3
"""How far a control may be off, in log10 of its views a day and its age (a factor of 1.4), and of
what its channel usually gets (by a factor of 2)."""
MIN_SWAPS, MIN_CHANNELS = 30, 15
"""Fewer say nothing: an interval by channel from a dozen channels is too short."""
MIN_PER_DAY = 10


@dataclass(frozen=True)
class Trajectory:
    """How one video fared around a moment; views as log10(views per day + 1).

    Attributes:
        video: Its id.
        channel: Its channel's.
        log_age: log10 of its age in days at the moment.
        usual: Of the channel's other videos, in the middle.
        earlier: In the window before the one before; NaN where it was not counted.
        before: In the window before the moment.
        recent: In the later half of that window.
        after: In the window after the moment.
        daily: Day by day, (2 · DAYS,), from DAYS before to DAYS after; NaN where not counted.
    """

    video: str
    channel: str
    log_age: float
    usual: float
    earlier: float
    before: float
    recent: float
    after: float
    daily: FloatArray


@dataclass(frozen=True)
class Swap:
    """A video whose picture was swapped, and others in the same days that kept theirs.

    Attributes:
        trajectory: Around the swap.
        candidates: Of those that may be controls; those of the same channel are preferred.
        score_change: What a model predicts with the new picture less with the old, in log10 of
            views a day; NaN where no model scored both.
    """

    trajectory: Trajectory
    candidates: Sequence[Trajectory]
    score_change: float = float("nan")


@dataclass(frozen=True)
class ByScore:
    """Swaps parted by what a model says of the two pictures.

    Attributes:
        n_rose: Swaps to a picture with a higher score.
        n_fell: To one with a lower.
        rose: Their effect.
        fell: Theirs.
        difference: The first less the second: above zero where the model knows better pictures.
        slope: Effect per unit of the predicted change: 1 where the model is right in full.
    """

    n_rose: int
    n_fell: int
    rose: Interval
    fell: Interval
    difference: Interval
    slope: Interval


@dataclass(frozen=True)
class SwapStudy:
    """What swaps did to views, in log10 of views a day: 0.1 is a quarter more.

    Attributes:
        n_swaps: With matched controls.
        n_channels: Theirs.
        n_controls: Matched.
        unmatched: Swaps that no control is near enough to.
        effect: Mean over the swaps; None where there are too few.
        placebo: The same a window earlier, when nothing was swapped; None where too few were
            counted then.
        daily: Mean difference by day, -DAYS … -1, 1 … DAYS, relative to the window before.
        by_score: None where too few swaps have scores of both pictures.
    """

    n_swaps: int
    n_channels: int
    n_controls: int
    unmatched: int
    effect: Interval | None = None
    placebo: Interval | None = None
    daily: Sequence[tuple[int, Interval]] = field(default_factory=tuple)
    by_score: ByScore | None = None

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        by_score = self.by_score and {
            name: value.as_json() if isinstance(value, Interval) else value
            for name, value in vars(self.by_score).items()
        }
        return {
            **vars(self),
            "effect": self.effect and self.effect.as_json(),
            "placebo": self.placebo and self.placebo.as_json(),
            "daily": [{"day": day, **interval.as_json()} for day, interval in self.daily],
            "by_score": by_score,
        }


def study(swaps: Sequence[Swap], *, resamples: int = 2000, seed: int = 0) -> SwapStudy:
    """Estimate what the swaps did.

    Args:
        swaps: In the order of their time: earlier ones choose their controls first.
        resamples: Of the bootstrap.
        seed: Makes the intervals repeatable.
    """
    matches = _matched(swaps, lambda trajectory: trajectory.before)
    channels = [match.swap.trajectory.channel for match in matches]
    counted = SwapStudy(
        n_swaps=len(matches),
        n_channels=len(set(channels)),
        n_controls=sum(len(match.controls) for match in matches),
        unmatched=len(swaps) - len(matches),
    )
    if not _enough(channels):
        return counted
    effects = _adjusted(matches, _from_before)
    scored = np.array([match.swap.score_change for match in matches])
    daily = _daily(matches)
    days = [day for day in range(2 * DAYS) if np.isfinite(daily[:, day]).sum() >= MIN_PER_DAY]
    metrics: dict[str, Metric] = {"effect": _mean(effects)}
    metrics |= {f"day {day}": _mean(daily[:, day]) for day in days}
    parted = _by_score(effects, scored, channels)
    found = cluster_bootstrap(metrics | parted, channels, resamples=resamples, seed=seed)
    return SwapStudy(
        counted.n_swaps,
        counted.n_channels,
        counted.n_controls,
        counted.unmatched,
        effect=found["effect"],
        placebo=_placebo(swaps, resamples=resamples, seed=seed),
        daily=[(day - DAYS + (day >= DAYS), found[f"day {day}"]) for day in days],
        by_score=ByScore(
            n_rose=int((scored > 0).sum()),
            n_fell=int((scored < 0).sum()),
            **{name: found[name] for name in parted},
        )
        if parted
        else None,
    )


@dataclass(frozen=True)
class _Match:
    swap: Swap
    controls: Sequence[Trajectory]


def _matched(swaps: Sequence[Swap], level: Callable[[Trajectory], float]) -> list[_Match]:
    """Give each swap the nearest candidates by age and level; no video serves twice."""
    taken: set[str] = set()
    matches = []
    for swap in swaps:
        own = swap.trajectory
        near = [
            (other.channel != own.channel, distance, other.video, other)
            for other in swap.candidates
            if other.video not in taken and (distance := _distance(own, other, level)) <= 1
        ]
        chosen = [other for *_, other in sorted(near, key=lambda each: each[:3])[:CONTROLS]]
        if chosen:
            taken.update(other.video for other in chosen)
            matches.append(_Match(swap, chosen))
    return matches


def _distance(own: Trajectory, other: Trajectory, level: Callable[[Trajectory], float]) -> float:
    """Return how far off a candidate is, 1 at the edge of what is allowed; infinite if unknown."""
    furthest = max(
        abs(level(own) - level(other)) / NEAR_VIEWS,
        abs(own.log_age - other.log_age) / NEAR_AGE,
        abs(own.usual - other.usual) / NEAR_USUAL,
    )
    return furthest if np.isfinite(furthest) else float("inf")


_Change = tuple[Callable[[Trajectory], float], Callable[[Trajectory], Sequence[float]]]
"""What changed in a course, and what of it was known before."""
_from_before: _Change = (
    lambda trajectory: trajectory.after - trajectory.before,
    lambda c: (c.before, c.recent - c.before, c.usual - c.before, c.log_age),
)
_from_earlier: _Change = (
    lambda trajectory: trajectory.before - trajectory.earlier,
    lambda c: (c.earlier, c.usual - c.earlier, c.log_age),
)


def _adjusted(matches: Sequence[_Match], change: _Change) -> FloatArray:
    """Return each swap's change beyond its controls', freed of what tells them apart, (M,)."""
    outcome, known = change
    controls = [trajectory for match in matches for trajectory in match.controls]
    columns = np.array([known(trajectory) for trajectory in controls])
    centre = columns.mean(axis=0)
    design = np.column_stack([np.ones(len(controls)), columns - centre])
    changes = np.array([outcome(trajectory) for trajectory in controls])
    coefficients = np.linalg.lstsq(design, changes, rcond=None)[0]

    def beyond(trajectory: Trajectory) -> float:
        expected = coefficients[0] + (np.array(known(trajectory)) - centre) @ coefficients[1:]
        return float(outcome(trajectory) - expected)

    return np.array(
        [
            beyond(match.swap.trajectory)
            - np.mean([beyond(trajectory) for trajectory in match.controls])
            for match in matches
        ]
    )


def _daily(matches: Sequence[_Match]) -> FloatArray:
    """Return (M, 2 · DAYS): each swap less its controls by day, relative to the window before."""
    rows = []
    for match in matches:
        own = match.swap.trajectory.daily - match.swap.trajectory.before
        others = np.array([trajectory.daily - trajectory.before for trajectory in match.controls])
        # A day that one control was not counted on would compare other videos than the next day.
        rows.append(own - others.mean(axis=0))
    return np.array(rows)


def _placebo(swaps: Sequence[Swap], *, resamples: int, seed: int) -> Interval | None:
    """Compare a window earlier, with controls that were alike then."""
    matches = _matched(swaps, lambda trajectory: trajectory.earlier)
    channels = [match.swap.trajectory.channel for match in matches]
    if not _enough(channels):
        return None
    effects = _adjusted(matches, _from_earlier)
    found = cluster_bootstrap({"effect": _mean(effects)}, channels, resamples=resamples, seed=seed)
    return found["effect"]


def _by_score(
    effects: FloatArray, scored: FloatArray, channels: Sequence[str]
) -> dict[str, Metric]:
    """Return what to measure of swaps with scores of both pictures; nothing if they are few."""
    rose, fell, known = scored > 0, scored < 0, np.isfinite(scored)
    for part in (rose, fell):
        inside = [channel for channel, is_in in zip(channels, part, strict=True) if is_in]
        if len(inside) < MIN_SWAPS // 2 or len(set(inside)) < MIN_CHANNELS // 2:
            return {}
    of_rose = _mean(np.where(rose, effects, np.nan))
    of_fell = _mean(np.where(fell, effects, np.nan))
    return {
        "rose": of_rose,
        "fell": of_fell,
        "difference": lambda weights: of_rose(weights) - of_fell(weights),
        "slope": _slope(np.where(known, scored, 0.0), effects, known),
    }


def _enough(channels: Sequence[str]) -> bool:
    return len(channels) >= MIN_SWAPS and len(set(channels)) >= MIN_CHANNELS


def _mean(values: FloatArray) -> Metric:
    """Return the weighted mean of the known values."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    return lambda weights: _over(weights @ filled, weights @ known)


def _slope(x: FloatArray, y: FloatArray, known: BoolArray) -> Metric:
    """Return the weighted slope of y over x among the known rows."""

    def slope(weights: FloatArray) -> FloatArray:
        weight = weights * known
        total = weight.sum(axis=-1)
        x_mean, y_mean = _over(weight @ x, total), _over(weight @ y, total)
        covariance = _over(weight @ (x * y), total) - x_mean * y_mean
        return _over(covariance, _over(weight @ (x * x), total) - x_mean**2)

    return slope


def _over(above: FloatArray, below: FloatArray) -> FloatArray:
    result: FloatArray = np.divide(
        above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) != 0
    )
    return result
