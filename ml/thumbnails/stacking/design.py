"""The columns of the regressions: what is known of a video and its channel, unknowns included.

Each column comes with another that says where it is unknown; there it takes the training rows'
median, so a hidden subscriber count is neither zero nor a reason to leave a video out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.arrays import FloatArray
from ml.thumbnails.data.rows import LIVE, SHORT, Features

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


def _log_of(name: str, features: Features) -> FloatArray:
    logs: FloatArray = np.log10(features.number(name) + 1)
    return logs
