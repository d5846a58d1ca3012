"""What YouTube counted as a view at which time, and which two counts may be compared.

``viewCount`` has changed its meaning twice. A count made under one meaning less a count made
under another is no growth of anything, so every snapshot carries the meaning in force when it was
read. Source: the revision history of the YouTube Data API, entries of 2025-03-26 (Shorts, from
2025-03-31 on) and of 2026-08-27 (all formats).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

ViewDefinition = Literal["watched", "started"]
Counting = Literal["short", "other"]


@dataclass(frozen=True)
class InForce:
    """From when on the views of some formats were counted in which way.

    Attributes:
        format: ``short``, or ``other`` for long videos, streams and premieres.
        definition: ``watched`` for a moment before it counted, or counted once it ``started``;
            None where YouTube was changing over and one cannot tell.
        since: The first moment, in UTC.
    """

    format: Counting
    definition: ViewDefinition | None
    since: datetime


_EVER: Final = datetime.min.replace(tzinfo=UTC)

DEFINITIONS: Final = (
    InForce("short", "watched", _EVER),
    InForce("short", "started", datetime(2025, 3, 31, tzinfo=UTC)),
    InForce("other", "watched", _EVER),
    # First seen on the 24th, announced on the 27th: for some days it may be either.
    InForce("other", None, datetime(2026, 8, 24, tzinfo=UTC)),
    InForce("other", "started", datetime(2026, 8, 28, tzinfo=UTC)),
)
"""In the order of time for each format."""


def view_definition(captured_at: datetime, video_format: str | None) -> ViewDefinition | None:
    """Return what was counted as a view when a count was read.

    Args:
        captured_at: When it was read, with a time zone.
        video_format: ``short``, ``long``, ``live`` or ``premiere``; None if it is not known,
            which is no matter while all formats agree.

    Returns:
        The definition, or None where it is not known.
    """
    possible: tuple[Counting, ...] = ("short", "other")
    if video_format is not None:
        possible = ("short",) if video_format == "short" else ("other",)
    found = {_in_force(captured_at, counting) for counting in possible}
    return found.pop() if len(found) == 1 else None


def comparable(one: str | None, other: str | None) -> bool:
    """Tell whether the counts of two snapshots may be subtracted, by their definitions."""
    return one is not None and one == other


def crosses_break(start: datetime, end: datetime, video_format: str | None) -> bool:
    """Tell whether the meaning of a view changed between two moments, or may have.

    Unlike :func:`comparable` it needs no format where all formats agree that nothing changed.

    Args:
        start: The earlier moment, with a time zone.
        end: The later one.
        video_format: As for :func:`view_definition`.
    """
    possible: tuple[Counting, ...] = ("short", "other")
    if video_format is not None:
        possible = ("short",) if video_format == "short" else ("other",)
    return any(
        _in_force(start, counting) is None
        or any(row.format == counting and start < row.since <= end for row in DEFINITIONS)
        for counting in possible
    )


def _in_force(moment: datetime, counting: Counting) -> ViewDefinition | None:
    rows = [row for row in DEFINITIONS if row.format == counting and row.since <= moment]
    return rows[-1].definition
