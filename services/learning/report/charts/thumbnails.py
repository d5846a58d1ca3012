"""Views a day against subscribers, and predicted against measured views."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from ml.arrays import BoolArray, FloatArray, IntArray
from services.learning.report import formatting
from services.learning.report.charts.drawing import (
    INK,
    MUTED,
    OVER,
    RULE,
    UNDER,
    add_axes,
    draw,
    log_ticks,
    opacity,
    span,
)
from services.learning.report.contents import Line, Rows

MOST_POINTS = 3_000
"""More dots than this are thinned: nobody can see them apart, and each costs 50 bytes."""


def drawn_rows(rows: Rows) -> IntArray:
    """Return which rows are drawn: all, or MOST_POINTS of them at random (always the same)."""
    if len(rows) <= MOST_POINTS:
        return np.arange(len(rows))
    return np.sort(np.random.default_rng(0).choice(len(rows), MOST_POINTS, replace=False))


def views_against_subscribers(
    name: str, size: tuple[float, float], rows: Rows, line: Line, threshold: float
) -> Markup:
    """Draw every video by its channel's subscribers; hidden counts stand apart on the left."""
    drawn = drawn_rows(rows)
    subscribers, is_over = rows.subscribers[drawn], rows.is_over[drawn]
    views = rows.log_views[drawn]
    hidden = np.isnan(subscribers)
    log_subscribers = np.log10(subscribers + 1)
    log_threshold = float(np.log10(threshold + 1))
    heights = span(views, np.array([log_threshold]))
    narrow = size[0] < 500  # noqa: PLR2004 - a phone
    left, strip = (44.0, 34.0) if narrow else (54.0, 56.0)

    def paint(figure: Figure) -> None:
        indent = left + (strip + 12 if hidden.any() else 0)
        axes = add_axes(figure, left=indent, right=10, top=30, bottom=50)
        axes.set_ylim(*heights)
        if not hidden.all():
            x = log_subscribers[~hidden]
            axes.set_xlim(*span(x))
            log_ticks(axes.xaxis, *axes.get_xlim(), most=6 if narrow else 9)
            _grid(axes)
            _dots(axes, x, views[~hidden], is_over[~hidden], len(drawn))
            _fitted(axes, line)
        else:
            axes.set_xticks([])
        axes.set_xlabel("subscribers of the channel", labelpad=8)
        first = axes
        if hidden.any():
            first = add_axes(
                figure, left=left, right=size[0] - left - strip, top=30, bottom=50, share_y=axes
            )
            first.set_xlim(-1, 1)
            first.set_xticks([0], ["hidden"])
            # Spread sideways only so that dots do not cover each other.
            x = np.random.default_rng(0).uniform(-0.7, 0.7, int(hidden.sum()))
            _dots(first, x, views[hidden], is_over[hidden], len(drawn))
            first.axhline(log_threshold, color=INK, linewidth=1.2, dashes=(4, 3), zorder=3)
            axes.tick_params(labelleft=False)
            axes.spines["left"].set_visible(False)
        log_ticks(first.yaxis, *heights)
        first.text(
            -left / (strip if first is not axes else size[0] - left - 10) + 0.005,
            1.05,
            "views a day",
            color=MUTED,
            transform=first.transAxes,
        )
        axes.axhline(log_threshold, color=INK, linewidth=1.2, dashes=(4, 3), zorder=3)
        edge = blended_transform_factory(axes.transAxes, axes.transData)
        axes.text(
            1,
            log_threshold - 0.06,
            f"{formatting.amount(threshold)} a day",
            ha="right",
            va="top",
            color=INK,
            transform=edge,
            zorder=5,
        )

    description = (
        f"{len(drawn)} videos on logarithmic axes. Each tenfold of subscribers goes with"
        f" {formatting.amount(10**line.slope)} times the views a day. {int(hidden.sum())} videos"
        " are of channels that hide their subscribers and stand apart on the left."
    )
    return draw(name, size, "Views a day against subscribers", description, paint)


def predicted_against_measured(
    name: str, rung: str, rows: Rows, limits: tuple[float, float], threshold: float
) -> Markup:
    """Draw what a rung predicted against what was measured, on equal axes.

    Args:
        name: Of the figure.
        rung: Key of ``rows.predicted``.
        rows: The evaluated rows.
        limits: Ends of both axes on the log scale, from :func:`common_limits`.
        threshold: Views per day between the two colours.
    """
    drawn = drawn_rows(rows)

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=44, right=10, top=30, bottom=50)
        axes.set_xlim(*limits)
        axes.set_ylim(*limits)
        log_ticks(axes.xaxis, *limits, most=6)
        log_ticks(axes.yaxis, *limits, most=6)
        _grid(axes)
        axes.plot(limits, limits, color=INK, linewidth=1.2, zorder=1)
        x, y = rows.predicted[rung][drawn], rows.log_views[drawn]
        _dots(axes, x, y, rows.is_over[drawn], len(drawn))
        axes.set_xlabel("predicted views a day", labelpad=8)
        axes.text(-44 / 306, 1.05, "measured", color=MUTED, transform=axes.transAxes)

    description = (
        f"{len(drawn)} videos on logarithmic axes; on the diagonal the prediction would be exact."
        f" Dots above {formatting.amount(threshold)} measured views a day have the warmer colour."
    )
    return draw(name, (360, 386), f"Predicted and measured: {rung}", description, paint)


def common_limits(rows: Rows, rungs: Sequence[str]) -> tuple[float, float]:
    """Return the axes' ends that hold the measured values and these rungs' predictions."""
    return span(rows.log_views, *(rows.predicted[rung] for rung in rungs))


def _dots(axes: Axes, x: FloatArray, y: FloatArray, is_over: BoolArray, crowd: int) -> None:
    for mask, colour in ((~is_over, UNDER), (is_over, OVER)):
        axes.plot(
            x[mask],
            y[mask],
            "o",
            color=colour,
            markersize=5.0,
            markeredgewidth=0,
            alpha=opacity(crowd),
            zorder=2,
        )


def _fitted(axes: Axes, line: Line) -> None:
    ends = np.array(axes.get_xlim())
    axes.plot(ends, line.intercept + line.slope * ends, color=INK, linewidth=2, zorder=4)


def _grid(axes: Axes) -> None:
    axes.grid(color=RULE, linewidth=1, zorder=0)
    axes.set_axisbelow(True)
