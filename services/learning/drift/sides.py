"""What is compared of each row, and how the comparison is told."""

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
    EvaluatedRows,
    Numbers,
    Performance,
)
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Predictions
from services.learning.drift.windows import FIXED_AGE


@dataclass(frozen=True)
class Side:
    """Reference or window: the rows, what the champion and the thumbnail alone say of them."""

    rows: Dataset
    said: Predictions
    seen: Predictions | None

    @property
    def judged(self) -> EvaluatedRows:
        """Predictions and truth."""
        truth = self.rows.log10_views_per_day
        return EvaluatedRows(
            self.said.probability_over, self.said.log10_views_per_day, self.rows.is_over, truth
        )


@dataclass(frozen=True)
class Compared:
    """A column with its kind and its name for people."""

    column: Column
    kind: str
    label: str


@dataclass(frozen=True)
class Told:
    """A finding in words and two figures: medians, shares or measures."""

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


def compared(reference: Side, window: Side) -> list[Compared]:
    """Return the columns of two sides."""
    sides = (reference, window)
    at_fixed_age = set(window.rows.strings("label_kind")) <= FIXED_AGE
    found = [
        _numbers(name, "feature", label, [side.rows.numbers(name) for side in sides])
        for name, label in _FEATURES.items()
        if name != "age_days" or not at_fixed_age
    ]
    before, after = (side.rows.table["format"].to_pylist() for side in sides)
    found.append(Compared(Categories("format", before, after), "feature", "format"))
    if reference.seen is not None and window.seen is not None:
        seen = [reference.seen.log10_views_per_day, window.seen.log10_views_per_day]
        label = "log views a day by the thumbnail alone"
        found.append(_numbers("thumbnail", "thumbnail", label, seen))
    judged = [side.judged for side in sides]
    found.append(
        _numbers(
            "probability_over",
            "score",
            "predicted probability",
            [one.probability_over for one in judged],
        )
    )
    before, after = (["over" if yes else "under" for yes in one.is_over] for one in judged)
    over = Categories("is_over", before, after)
    found.append(Compared(over, "label", "videos over or under the threshold"))
    found.append(_numbers("views", "label", "log views a day", [one.truth for one in judged]))
    errors = [one.truth - one.log10_views_per_day for one in judged]
    label = "measured less predicted log views a day"
    found.append(_numbers("error", "performance", label, errors))
    found += [
        Compared(Performance(name, judged[0], judged[1]), "performance", label)
        for name, label in _MEASURES.items()
    ]
    return found


def tell(one: Compared, found: Drift) -> Told:
    """Say in a sentence what became of a column, and whether that is more than chance."""
    before, after, figures = _figures(one.column)
    verdict = "more than chance" if found.is_drifted else "no more than chance"
    return Told(before, after, f"{_capital(one.label)}: {figures}, {verdict}.")


def _numbers(name: str, kind: str, label: str, values: Sequence[FloatArray]) -> Compared:
    reference, window = values
    return Compared(Numbers(name, reference, window), kind, label)


def _figures(column: Column) -> tuple[float | None, float | None, str]:
    if isinstance(column, Performance):
        was, now = column.values()
        return was, now, f"{was:.3f} before, {now:.3f} now"
    if isinstance(column, Categories):
        return _word_that_changed(column)
    assert isinstance(column, Numbers)
    before, after = (_median(values) for values in (column.reference, column.window))
    said = f"median {_short(before)} before, {_short(after)} now"
    unknown = [float(np.isnan(values).mean()) for values in (column.reference, column.window)]
    if any(unknown):
        said += f", unknown of {unknown[0]:.0%} before and {unknown[1]:.0%} now"
    return before, after, said


def _word_that_changed(column: Categories) -> tuple[float, float, str]:
    """Return the share of the word whose share changed most."""
    shares = {
        word: tuple(
            list(side).count(word) / len(side) for side in (column.reference, column.window)
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
