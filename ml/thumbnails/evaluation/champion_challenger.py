"""Champion and challenger of thumbnails: which rung challenges, and by what it is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.errors import LearningError
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Interval, Metric, cluster_bootstrap
from ml.evaluation.champion_challenger import ChallengeResult, Measure, Part, Rules, evaluate
from ml.evaluation.splits import fold_of
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Predictions
from ml.thumbnails.evaluation.slices import parts_of
from ml.thumbnails.models.constant import ConstantRung
from ml.thumbnails.models.registry import ladder_specs
from ml.thumbnails.models.rung import Role

R2_MARGIN = 0.01
LOG_LOSS_MARGIN = 0.01
"""How much worse a challenger may be at most: a hundredth of the variance, of a nat."""
FLOOR = ConstantRung.spec.name
"""What any other rung has to beat."""
ONE_ERROR = 0.6827
"""Coverage of one standard error to either side."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Candidate:
    """A rung that might challenge the champion.

    Attributes:
        rung: Its name.
        log_loss: Out of fold, in nats.
        r2: Out of fold.
        beyond_nothing: Its log loss less that of the constant, with a 95 % interval.
        behind_best: Its log loss less the lowest one, with an interval of one standard error.
        is_sound: It is shown to be better than the constant.
    """

    rung: str
    log_loss: float
    r2: float
    beyond_nothing: Interval
    behind_best: Interval
    is_sound: bool

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        intervals = {n: getattr(self, n).as_json() for n in ("beyond_nothing", "behind_best")}
        return {**vars(self), **intervals}


@dataclass(frozen=True)
class Choice:
    """Which rung becomes challenger, None where none is sound; the candidates as in the ladder."""

    rung: str | None
    best: str | None
    candidates: Sequence[Candidate]

    def sentence(self) -> str:
        """Say which rung was chosen by what."""
        if self.rung is None:
            return "No rung can be shown to tell more than the constant."
        found = {candidate.rung: candidate for candidate in self.candidates}
        loss = found[self.rung].log_loss
        if self.rung == self.best:
            return f"{self.rung} has the lowest log loss out of fold, {loss:.3f}."
        assert self.best is not None
        return (
            f"{self.rung} is the simplest rung within one standard error of the lowest log loss "
            f"out of fold ({loss:.3f}; {self.best} has {found[self.best].log_loss:.3f})."
        )


def choose_rung(dataset: Dataset, out_of_fold: Mapping[str, Predictions], *, seed: int) -> Choice:
    """Choose the rung that becomes challenger, by a rule that was fixed before any was trained.

    Of the rungs that are shown to be better than the constant, it is the simplest one within one
    standard error of the lowest log loss (Breiman, Friedman, Olshen & Stone 1984, section 3.4.3),
    differences paired by channel.

    Args:
        dataset: The rows they were trained on.
        out_of_fold: What each rung predicts for the channels it never saw, from the simplest
            rung to the one that knows most; the constant among them.
        seed: Makes the resamples repeatable.

    Raises:
        LearningError: A rung predicts NaN, the constant is missing, or fewer than two channels.
    """
    if FLOOR not in out_of_fold:
        raise LearningError(f"there is no rung {FLOOR} to beat", reason="noConstant")
    for rung, predicted in out_of_fold.items():
        check_finite(rung, predicted)
    labels, truth = dataset.is_over, dataset.log10_views_per_day
    channels = dataset.strings("channel_id")
    whole = np.ones(len(channels))
    losses: dict[str, Metric] = {
        rung: _log_loss(labels, predicted) for rung, predicted in out_of_fold.items()
    }
    values = {rung: float(loss(whole)) for rung, loss in losses.items()}

    def less(other: str, *, level: float) -> dict[str, Interval]:
        functions = {rung: _difference(loss, losses[other]) for rung, loss in losses.items()}
        return cluster_bootstrap(functions, channels, resamples=RESAMPLES, seed=seed, level=level)

    references = {spec.name for spec in ladder_specs() if spec.role is Role.REFERENCE}
    beyond = less(FLOOR, level=0.95)
    sound = [rung for rung in losses if rung not in references and beyond[rung].high < 0]
    best = min(sound, key=lambda rung: values[rung], default=None)
    behind = less(best or FLOOR, level=ONE_ERROR)
    candidates = [
        Candidate(
            rung,
            values[rung],
            float(metrics.r_squared(truth, predicted.log10_views_per_day)),
            beyond[rung],
            behind[rung],
            rung in sound,
        )
        for rung, predicted in out_of_fold.items()
    ]
    chosen = next((rung for rung in sound if behind[rung].low <= 0), None)
    return Choice(chosen, best, candidates)


def evaluate_challenger(
    window: Dataset,
    champion: Predictions,
    challenger: Predictions,
    *,
    rules: Rules | None = None,
    seed: int = 0,
) -> ChallengeResult:
    """Evaluate a challenger on the window's N videos, of whose channels neither has seen any.

    Args:
        window: The rows.
        champion: What it predicts for each.
        challenger: What it predicts for each.
        rules: By what it is evaluated.
        seed: Makes the resamples repeatable.

    Raises:
        LearningError: One of them predicts NaN, or fewer than two channels.
    """
    check_finite("of the champion", champion)
    check_finite("of the challenger", challenger)
    labels, truth = window.is_over, window.log10_views_per_day

    def measures_of(rows: IntArray) -> list[Measure]:
        here = truth[rows]
        sides = [
            Predictions(side.probability_over[rows], side.log10_views_per_day[rows])
            for side in (champion, challenger)
        ]
        r2 = [_r_squared(here, side) for side in sides]
        log_loss = [_log_loss(labels[rows], side) for side in sides]
        return [
            Measure("R²", "r2", True, R2_MARGIN, *r2),
            Measure("log loss", "log_loss", False, LOG_LOSS_MARGIN, *log_loss),
        ]

    parts = [Part(by, name, inside) for by, name, inside in parts_of(window)]
    return evaluate(measures_of, window.strings("channel_id"), parts, rules=rules, seed=seed)


def fair_groups(
    channels: Sequence[str],
    groups: Sequence[str],
    learned: Mapping[str, str],
    *,
    seed: int,
    folds: int,
) -> tuple[list[str], BoolArray]:
    """Return by which of an older model's folds new rows are fairly predicted.

    A channel that the model learned from is predicted by the fold that it is in, which never saw
    it. So is a channel that shares a picture with one, since that picture was seen as well. Where a
    group's channels are in several of its folds, each of its models has seen one of them.

    Args:
        channels: Of the N new rows.
        groups: Their split groups, as of now.
        learned: The split group, as of then, of each channel that the model learned from.
        seed: Of the model's folds.
        folds: How many.

    Returns:
        The split group to score each row as; and whether that is fair, (N,).

    Raises:
        LearningError: ``leakChannel``: a channel would be predicted by who saw it. That is a
            defect.
    """
    folds_of_group: dict[str, dict[int, str]] = {}
    for channel, group in zip(channels, groups, strict=True):
        if channel in learned:
            fold = fold_of(learned[channel], seed=seed, folds=folds)
            folds_of_group.setdefault(group, {})[fold] = learned[channel]
    scored_as, fair = [], np.ones(len(channels), dtype=np.bool_)
    for row, (channel, group) in enumerate(zip(channels, groups, strict=True)):
        known = folds_of_group.get(group, {})
        fair[row] = len(known) <= 1
        scored_as.append(next(iter(known.values()), group))
        if fair[row] and channel in learned:
            scoring, own = (
                fold_of(name, seed=seed, folds=folds) for name in (scored_as[row], learned[channel])
            )
            if scoring != own:
                raise LearningError(
                    f"channel {channel} would be scored by a model that saw it",
                    reason="leakChannel",
                )
    return scored_as, fair


def check_finite(rung: str, predicted: Predictions) -> None:
    """See that predictions are numbers.

    Raises:
        LearningError: They are not.
    """
    numbers = np.concatenate([predicted.probability_over, predicted.log10_views_per_day])
    if not np.isfinite(numbers).all():
        raise LearningError(f"rung {rung} predicts NaN", reason="notFinite")


def _log_loss(labels: BoolArray, predicted: Predictions) -> Metric:
    return lambda weights: metrics.log_loss(labels, predicted.probability_over, weights=weights)


def _r_squared(truth: FloatArray, predicted: Predictions) -> Metric:
    return lambda weights: metrics.r_squared(truth, predicted.log10_views_per_day, weights=weights)


def _difference(first: Metric, second: Metric) -> Metric:
    return lambda weights: first(weights) - second(weights)
