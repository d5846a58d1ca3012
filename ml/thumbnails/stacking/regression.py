"""Linear and logistic regression on what is known of a video and its channel, unknowns included.

Each column comes with another that says where it is unknown; there it takes the training rows'
median, so a hidden subscriber count is neither zero nor a reason to leave a video out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.arrays import BoolArray, FloatArray
from ml.logistic import fit_logistic_weights
from ml.thumbnails.data.rows import LIVE, SHORT, Features

RIDGE = 1e-3
"""Penalty on standardised slopes, in rows: negligible beside data, decisive for idle columns."""
Column = Callable[[Features], FloatArray]
"""Values of shape (N,), NaN where unknown."""


def log_subscribers(features: Features) -> FloatArray:
    """Return log10(subscribers + 1) in the middle of what the count may stand for.

    YouTube rounds down to three significant figures, so 1,230 is 1,230 to 1,239; the middle is
    taken on the log scale. NaN where hidden.
    """
    low = np.log10(features.subscriber_count + 1)
    high = np.log10(features.number("subscriber_count_high") + 1)
    middle: FloatArray = np.where(np.isnan(high), low, (low + np.fmax(low, high)) / 2)
    return middle


def log_age(features: Features) -> FloatArray:
    """Return log10 of the age in days at which views are counted; below a day counts as one."""
    age: FloatArray = np.log10(np.maximum(features.number("age_days"), 1.0))
    return age


def log_duration(features: Features) -> FloatArray:
    """Return log10(seconds + 1)."""
    return _log_of("duration_s", features)


def is_short(features: Features) -> FloatArray:
    """Return 1 for Shorts, 0 for others."""
    return features.number(SHORT)


def is_live(features: Features) -> FloatArray:
    """Return 1 for streams and premieres, 0 for others."""
    return features.number(LIVE)


def earlier_views(features: Features) -> FloatArray:
    """Return the channel's usual log10(views per day + 1), NaN where none was seen."""
    return features.number("earlier_log_views_per_day")


def size_with_history(features: Features) -> FloatArray:
    """Return the log subscribers of channels with a history.

    A channel's usual views say more than its size does; so size has to weigh less where they are
    known than where they are not.
    """
    known = ~np.isnan(earlier_views(features))
    size: FloatArray = np.where(known, log_subscribers(features), np.nan)
    return size


def log_earlier(features: Features) -> FloatArray:
    """Return log10(earlier videos + 1)."""
    return _log_of("n_earlier_videos", features)


def log_since_last(features: Features) -> FloatArray:
    """Return log10(days since the last upload + 1)."""
    return _log_of("days_since_last_upload", features)


def log_channel_age(features: Features) -> FloatArray:
    """Return log10(days since the channel was made + 1)."""
    return _log_of("channel_age_days", features)


AGE_FORMAT: tuple[Column, ...] = (log_age, log_duration, is_short, is_live)
SUBSCRIBERS: tuple[Column, ...] = (log_subscribers,)
SUBSCRIBERS_AGE: tuple[Column, ...] = (*SUBSCRIBERS, *AGE_FORMAT)
"""Of the strong baseline: the channel's size and the video's age, length and format."""
HISTORY: tuple[Column, ...] = (
    earlier_views,
    size_with_history,
    log_earlier,
    log_since_last,
    log_channel_age,
)


@dataclass(frozen=True)
class Design:
    """Turns what is known into the columns of a regression.

    Attributes:
        columns: The C columns.
        medians: Over the training rows that know it, shape (C,); 0 where none does.
    """

    columns: tuple[Column, ...]
    medians: FloatArray

    @classmethod
    def fit(cls, columns: tuple[Column, ...], features: Features) -> "Design":
        """Learn the medians."""
        known = [values[~np.isnan(values)] for values in (c(features) for c in columns)]
        return cls(columns, np.array([np.median(v) if len(v) else 0.0 for v in known]))

    def matrix(self, features: Features) -> FloatArray:
        """Return (N, 2 C): each column with unknowns replaced, and where it was unknown as 0/1."""
        result: FloatArray = np.empty((len(features), 2 * len(self.columns)))
        for position, (column, median) in enumerate(zip(self.columns, self.medians, strict=True)):
            values = column(features)
            unknown = np.isnan(values)
            result[:, 2 * position] = np.where(unknown, median, values)
            result[:, 2 * position + 1] = unknown
        return result


def fit_linear(
    columns: FloatArray, target: FloatArray, ridge: float | FloatArray = RIDGE
) -> FloatArray:
    """Fit least squares; return (1 + C,) coefficients, the intercept first.

    Args:
        columns: Shape (N, C).
        target: Shape (N,).
        ridge: Penalty on standardised slopes, in rows; one for all or one a column, (C,).
    """
    centre, scale = _scaling(columns)
    standard = (columns - centre) / scale
    gram = standard.T @ standard + ridge * np.eye(columns.shape[1])
    slopes = np.linalg.solve(gram, standard.T @ (target - target.mean())) / scale
    coefficients: FloatArray = np.r_[target.mean() - centre @ slopes, slopes]
    return coefficients


def fit_logistic(
    columns: FloatArray, labels: BoolArray, ridge: float | FloatArray = RIDGE
) -> FloatArray:
    """Fit logistic regression; return (1 + C,), the intercept first.

    Half a positive and half a negative row at the mean of the columns keep the fit finite where
    all labels agree (cf. Jeffreys' prior); among hundreds of rows they are not felt.

    Args:
        columns: Shape (N, C).
        labels: Shape (N,).
        ridge: As for :func:`fit_linear`.
    """
    centre, scale = _scaling(columns)
    standard = (columns - centre) / scale
    design = np.column_stack(
        [np.ones(len(standard) + 2), np.r_[standard, np.zeros((2, len(scale)))]]
    )
    target = np.r_[labels.astype(np.float64), 0.0, 1.0]
    weight = np.r_[np.ones(len(labels)), 0.5, 0.5]
    # Slopes are held a little; the two half rows hold the intercept.
    penalty = np.r_[0.0, np.broadcast_to(ridge, len(scale))]
    beta = fit_logistic_weights(design, target, weight, penalty)
    slopes = beta[1:] / scale
    coefficients: FloatArray = np.r_[beta[0] - centre @ slopes, slopes]
    return coefficients


def linear_predictor(coefficients: FloatArray, columns: FloatArray) -> FloatArray:
    """Return intercept + columns · slopes, shape (N,)."""
    # Multiplied and summed by row, so that a row's result does not depend on its neighbours.
    total: FloatArray = coefficients[0] + (columns * coefficients[1:]).sum(axis=1)
    return total


def beyond_the_rest(features: Features, log_views: FloatArray) -> FloatArray:
    """Return what the strong baseline, fitted on these very rows, leaves of log views, shape (R,).

    NaN where subscribers are hidden: there the residual holds the channel's whole size, and a few
    such channels would drown what the thumbnail does. If all are hidden, all are kept.
    """
    matrix = Design.fit(SUBSCRIBERS_AGE, features).matrix(features)
    residual = log_views - linear_predictor(fit_linear(matrix, log_views), matrix)
    hidden = np.isnan(features.subscriber_count)
    return residual if hidden.all() else np.where(hidden, np.nan, residual)


def _log_of(name: str, features: Features) -> FloatArray:
    logs: FloatArray = np.log10(features.number(name) + 1)
    return logs


def _scaling(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    scale = columns.std(axis=0)
    return columns.mean(axis=0), np.where(scale > 0, scale, 1.0)
