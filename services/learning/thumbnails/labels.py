"""Labels: views per day, from the two counts around a moment. Interpolated, never extrapolated.

Between two counts the logarithm of the views is taken as a straight line over the logarithm of the
age. Views of a video follow a power of its age over such spans (Crane & Sornette, "Robust dynamic
classes revealed by measuring the response function of a social system", 2008), so most of a week's
views come early: a straight line in plain views would cut across that bend and put a seven days'
count too low, the more the further the two counts are apart. A growth from one count to another
needs no interpolation: both ends are counts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from db.queries.learning.asof import Span
from services.youtube.view_counts import crosses_break

YOUNGEST = timedelta(days=1)
"""A younger video has no lifetime average worth the name."""
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class LabelKind:
    """One way to say how many views a day a video gets.

    Attributes:
        name: As in ``--label`` and in the rows' ``label_kind``.
        span: Which counts it takes.
        days: The age at which views are counted, or how far apart the two counts are.
    """

    name: str
    span: Span
    days: float


LABELS: Final = {
    kind.name: kind
    for kind in (
        LabelKind("day7", "fixedAge", 7.0),
        LabelKind("day30", "fixedAge", 30.0),
        LabelKind("week", "growth", 7.0),
        LabelKind("lifetime", "lifetime", 0.0),
    )
}
AUTOMATIC: Final = ("day7", "week", "lifetime")
"""In which order ``--label auto`` tries them."""


@dataclass(frozen=True)
class Label:
    """What came of a video: the columns of the dataset that say so."""

    label_from: datetime
    label_to: datetime
    captured_at: datetime
    mixed_definitions: bool
    age_days: float
    view_count: int
    views_per_day: float

    def as_row(self) -> dict[str, Any]:
        """Return the columns."""
        return dict(vars(self))


def label(kind: LabelKind, video: Mapping[str, Any]) -> Label | str:
    """Return a video's label, or the reason why it has none.

    Args:
        kind: Which label.
        video: A row of ``db.queries.learning.asof.rows`` for the kind's span.
    """
    if video["newer_at"] is None:
        return "noViewCount" if kind.span != "fixedAge" else "noCountAtAge"
    if kind.span == "fixedAge":
        return _at_age(kind, video)
    if kind.span == "growth":
        return _growth(video)
    return _lifetime(video)


def interpolated(age: float, older: tuple[float, float], newer: tuple[float, float]) -> float:
    """Return the views at an age between two counts, on a line through log age and log views.

    Args:
        age: In days, from that of ``older`` to that of ``newer``.
        older: Its age in days, > 0, and its views.
        newer: Likewise.

    Raises:
        ValueError: The age is not between the two; nothing is extrapolated.
    """
    (age0, views0), (age1, views1) = older, newer
    if not 0 < age0 <= age <= age1:
        raise ValueError(f"an age of {age} days is not between {age0} and {age1}")
    if age0 == age1:
        return views0
    share = math.log(age / age0) / math.log(age1 / age0)
    # One more than the views, so that none has a logarithm too.
    return math.expm1((1 - share) * math.log1p(views0) + share * math.log1p(views1))


def _at_age(kind: LabelKind, video: Mapping[str, Any]) -> Label | str:
    began: datetime = video["began_at"]
    label_to = began + timedelta(days=kind.days)
    if video["older_at"] is None:
        return "noCountAtAge"
    if video["predicted_at"] >= label_to:
        return "seenTooLate"
    crossed = crosses_break(began, video["newer_at"], video["format"])
    if crossed or _redefined(video):
        return "metricBreak"
    views = interpolated(
        kind.days,
        ((video["older_at"] - began) / _DAY, video["older_views"]),
        ((video["newer_at"] - began) / _DAY, video["newer_views"]),
    )
    return Label(
        label_from=began,
        label_to=label_to,
        captured_at=video["newer_at"],
        mixed_definitions=False,
        age_days=kind.days,
        view_count=round(views),
        views_per_day=views / kind.days,
    )


def _growth(video: Mapping[str, Any]) -> Label | str:
    older_at, newer_at = video["older_at"], video["newer_at"]
    if older_at is None:
        return "noCountBefore"
    if older_at < video["began_at"]:
        return "tooYoung"
    if video["predicted_at"] >= newer_at:
        return "seenTooLate"
    if crosses_break(older_at, newer_at, video["format"]) or _redefined(video):
        return "metricBreak"
    # YouTube takes views back that it finds invalid: a count that falls is no gain, not a loss.
    gained = max(video["newer_views"] - video["older_views"], 0)
    return Label(
        label_from=older_at,
        label_to=newer_at,
        captured_at=newer_at,
        mixed_definitions=False,
        age_days=(newer_at - video["began_at"]) / _DAY,
        view_count=video["newer_views"],
        views_per_day=gained / ((newer_at - older_at) / _DAY),
    )


def _lifetime(video: Mapping[str, Any]) -> Label | str:
    began, newer_at = video["began_at"], video["newer_at"]
    if newer_at - began < YOUNGEST:
        return "tooYoung"
    age_days = (newer_at - began) / _DAY
    return Label(
        label_from=began,
        label_to=newer_at,
        captured_at=newer_at,
        # A fallback is marked rather than left out: else nothing older than a change could be used.
        mixed_definitions=crosses_break(began, newer_at, video["format"]),
        age_days=age_days,
        view_count=video["newer_views"],
        views_per_day=video["newer_views"] / age_days,
    )


def _redefined(video: Mapping[str, Any]) -> bool:
    """Tell whether the two counts were stored as counts of different things."""
    known = {video["older_definition"], video["newer_definition"]} - {None}
    return len(known) > 1
