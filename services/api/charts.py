"""Small drawings for pages: where points and bars lie, for templates to draw as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 640.0, 160.0


@dataclass(frozen=True)
class Line:
    """A line over time in a box of ``WIDTH`` by ``HEIGHT``.

    Attributes:
        points: As SVG wants them, x to the right, y down.
        low: The value at the bottom.
        high: The value at the top.
        start: The moment at the left.
        end: The moment at the right.
        marks: Where moments of note are, along x, with what they are.
        values: Each point as seconds since 1970 and value, for whoever points at it.
    """

    points: str
    low: float
    high: float
    start: datetime
    end: datetime
    marks: Sequence[tuple[float, str]]
    values: Sequence[tuple[int, float]]


def line(
    counts: Sequence[tuple[datetime, float | None]],
    marks: Sequence[tuple[datetime, str]] = (),
) -> Line | None:
    """Lay out a line; None where there are not two points."""
    known = [(at, value) for at, value in counts if value is not None]
    if len(known) < 2:  # noqa: PLR2004
        return None
    start, end = known[0][0], known[-1][0]
    span = (end - start).total_seconds() or 1.0
    low, high = min(value for _, value in known), max(value for _, value in known)
    height = (high - low) or 1.0

    def x(at: datetime) -> float:
        return WIDTH * (at - start).total_seconds() / span

    def y(value: float) -> float:
        return HEIGHT - HEIGHT * (value - low) / height if high > low else HEIGHT / 2

    points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in known)
    shown = [(x(at), what) for at, what in marks if start <= at <= end]
    values = [(round(at.timestamp()), value) for at, value in known]
    return Line(points, low, high, start, end, shown, values)


@dataclass(frozen=True)
class Whisker:
    """An interval as a share of an axis, 0 to 1; ``low`` and ``high`` None where undefined."""

    value: float
    low: float | None
    high: float | None


def whiskers(
    intervals: Sequence[dict[str, float | None]],
) -> tuple[list[Whisker | None], float, float]:
    """Lay intervals out on one axis; return them with the ends of the axis."""
    ends = [
        end
        for interval in intervals
        for end in (interval["value"], interval["low"], interval["high"])
        if end is not None
    ]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    span = (high - low) or 1.0

    def place(value: float | None) -> float | None:
        return None if value is None else (value - low) / span

    laid: list[Whisker | None] = []
    for interval in intervals:
        value = place(interval["value"])
        laid.append(
            None
            if value is None
            else Whisker(value, place(interval["low"]), place(interval["high"]))
        )
    return laid, low, high


def level(share: float | None, steps: int = 5) -> int:
    """Return how full a cell of a heat map is, 0 to ``steps``; -1 where nothing was expected."""
    if share is None:
        return -1
    return steps if share >= 1 else int(share * steps)
