"""What is compared of each row, and how a difference is described."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.arrays import FloatArray
from ml.evaluation.drift import (
    BIAS,
    LOG_LOSS,
    R2,
    Categories,
    Column,
    Drift,
    Evaluated,
    Numbers,
    Performance,
)
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Predictions
from services.learning.drift.windows import FIXED_AGE


@dataclass(frozen=True)
class Sample:
    """Reference or window.

    Attributes:
        rows: The videos.
        predictions: Of the champion.
        by_thumbnail: Of the rung that sees the thumbnail alone; None: there is none.
    """

    rows: Dataset
    predictions: Predictions
    by_thumbnail: Predictions | None

    @property
    def evaluated(self) -> Evaluated:
        """Predictions and truth."""
        truth = self.rows.log10_views_per_day
        return Evaluated(
            self.predictions.probability_over,
            self.predictions.log10_views_per_day,
            self.rows.is_over,
            truth,
        )


@dataclass(frozen=True)
class Compared:
    """A column with its kind and its name for people."""

    column: Column
    kind: str
    label: str


@dataclass(frozen=True)
class Finding:
    """What became of a column: medians, shares or measures before and after, and a sentence."""

    before: float | None
    after: float | None
    sentence: str


_FEATURES = {
    "subscriber_count": "subscribers",
    "duration_s": "duration in seconds",
    "age_days": "age in days",
    "channel_age_days": "the channel's age in days",
    "earlier_log_views_per_day": "log views a day of earlier videos",
    "days_since_last_upload": "days since the upload before",
}
_MEASURES = {
    LOG_LOSS: "log loss of the champion",
    R2: "R² of the champion",
    BIAS: "predicted less measured share over the threshold",
}


def columns_of(reference: Sample, window: Sample) -> list[Compared]:
    """Return the columns of two samples."""
    samples = (reference, window)
    at_fixed_age = set(window.rows.strings("label_kind")) <= FIXED_AGE
    found = [
        _numbers(name, "feature", label, [sample.rows.numbers(name) for sample in samples])
        for name, label in _FEATURES.items()
        if name != "age_days" or not at_fixed_age
    ]
    before, after = (sample.rows.table["format"].to_pylist() for sample in samples)
    found.append(Compared(Categories("format", before, after), "feature", "format"))
    if reference.by_thumbnail is not None and window.by_thumbnail is not None:
        by_thumbnail = [
            sample.log10_views_per_day for sample in (reference.by_thumbnail, window.by_thumbnail)
        ]
        label = "log views a day by the thumbnail alone"
        found.append(_numbers("thumbnail", "thumbnail", label, by_thumbnail))
    evaluated = [sample.evaluated for sample in samples]
    found.append(
        _numbers(
            "probability_over",
            "score",
            "predicted probability",
            [one.probability_over for one in evaluated],
        )
    )
    before, after = (["over" if yes else "under" for yes in one.is_over] for one in evaluated)
    over = Categories("is_over", before, after)
    found.append(Compared(over, "label", "videos over or under the threshold"))
    found.append(_numbers("views", "label", "log views a day", [one.truth for one in evaluated]))
    errors = [one.truth - one.log10_views_per_day for one in evaluated]
    label = "measured less predicted log views a day"
    found.append(_numbers("error", "performance", label, errors))
    found += [
        Compared(Performance(name, evaluated[0], evaluated[1]), "performance", label)
        for name, label in _MEASURES.items()
    ]
    return found


def describe(one: Compared, found: Drift) -> Finding:
    """Say in a sentence what became of a column, and whether that is more than chance."""
    before, after, figures = _before_and_after(one.column)
    chance = "more than chance" if found.is_drifted else "no more than chance"
    return Finding(before, after, f"{_capital(one.label)}: {figures}, {chance}.")


def _numbers(name: str, kind: str, label: str, values: Sequence[FloatArray]) -> Compared:
    reference, window = values
    return Compared(Numbers(name, reference, window), kind, label)


def _before_and_after(column: Column) -> tuple[float | None, float | None, str]:
    if isinstance(column, Performance):
        was, now = column.values()
        return was, now, f"{was:.3f} before, {now:.3f} now"
    if isinstance(column, Categories):
        return _word_that_changed(column)
    assert isinstance(column, Numbers)
    before, after = (_median(values) for values in (column.reference, column.window))
    found = f"median {_short(before)} before, {_short(after)} now"
    unknown = [float(np.isnan(values).mean()) for values in (column.reference, column.window)]
    if any(unknown):
        found += f", unknown of {unknown[0]:.0%} before and {unknown[1]:.0%} now"
    return before, after, found


def _word_that_changed(column: Categories) -> tuple[float, float, str]:
    """Return the share of the word whose share changed most."""
    shares = {
        word: tuple(
            list(words).count(word) / len(words) for words in (column.reference, column.window)
        )
        for word in dict.fromkeys([*column.reference, *column.window])
    }
    word = max(shares, key=lambda each: abs(shares[each][1] - shares[each][0]))
    before, after = shares[word]
    return before, after, f"{word or 'unknown'} {before:.0%} before, {after:.0%} now"


def _median(values: FloatArray) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else None


def _short(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.4g}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
