"""What swaps did day by day, and two labels of the same videos."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from ml.arrays import FloatArray
from ml.evaluation.bootstrap import Interval
from services.learning.report import formatting
from services.learning.report.charts.drawing import (
    ACCENT,
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

DAYS_SIZE = (420.0, 300.0)
LABELS_SIZE = (380.0, 400.0)
MOST_POINTS = 2_000


def by_day(daily: Sequence[tuple[int, Interval]]) -> Markup:
    """Draw the mean difference of swapped videos by day, in percent of views."""

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=52, right=10, top=28, bottom=46)
        axes.axhline(0, color=MUTED, linewidth=1, dashes=(2, 3))
        axes.axvline(0, color=INK, linewidth=1.2, dashes=(4, 3))
        for day, interval in daily:
            colour = ACCENT if day > 0 else INK
            # Days before end where days after begin: both lie beside the moment of the swap.
            x = day - 0.5 if day > 0 else day + 0.5
            low, value, high = (_percent(v) for v in (interval.low, interval.value, interval.high))
            axes.plot([x, x], [low, high], color=colour, linewidth=4, alpha=0.4,
                      solid_capstyle="round")  # fmt: skip
            axes.plot([x], [value], "o", color=colour, markersize=7, markeredgewidth=0)
        furthest = max(abs(day) for day, _ in daily)
        axes.set_xlim(-furthest, furthest)
        axes.set_xticks([-furthest, 0, furthest])
        axes.set_xticklabels([f"{furthest} days before", "swapped", f"{furthest} days after"])
        first, _, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
        axes.yaxis.set_major_formatter(lambda y, _: formatting.decimal(y, 0, signed=True))
        axes.grid(axis="y", color=RULE, linewidth=1, zorder=0)
        axes.set_axisbelow(True)
        axes.text(-52 / 358, 1.06, "% more views", color=MUTED, transform=axes.transAxes)

    values = "; ".join(
        f"day {day}: {_percent(i.value):+.0f} % [{_percent(i.low):+.0f}, {_percent(i.high):+.0f}]"
        for day, i in daily
    )
    return draw("swaps-days", DAYS_SIZE, "Views of swapped videos by day", values, paint)


def two_labels(log_lifetime: FloatArray, log_week: FloatArray, threshold: float) -> Markup:
    """Draw every video by both labels; those that change sides in the warmer colour."""
    rows = np.arange(len(log_week))
    if len(rows) > MOST_POINTS:
        rows = np.random.default_rng(0).choice(rows, MOST_POINTS, replace=False)
    x, y = log_lifetime[rows], log_week[rows]
    cut = float(np.log10(threshold + 1))
    limits = span(x, y)
    changes = (x >= cut) != (y >= cut)

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=44, right=10, top=30, bottom=50)
        axes.set_xlim(*limits)
        axes.set_ylim(*limits)
        log_ticks(axes.xaxis, *limits, most=6)
        log_ticks(axes.yaxis, *limits, most=6)
        axes.grid(color=RULE, linewidth=1, zorder=0)
        axes.set_axisbelow(True)
        axes.plot(limits, limits, color=INK, linewidth=1.2, zorder=1)
        for line in (axes.axhline, axes.axvline):
            line(cut, color=INK, linewidth=1.2, dashes=(4, 3), zorder=3)
        for mask, colour in ((~changes, UNDER), (changes, OVER)):
            axes.plot(x[mask], y[mask], "o", color=colour, markersize=4.5, markeredgewidth=0,
                      alpha=opacity(len(rows)), zorder=2)  # fmt: skip
        axes.set_xlabel("views a day since publication", labelpad=8)
        axes.text(-44 / 326, 1.05, "views a day in one week", color=MUTED, transform=axes.transAxes)

    description = (
        f"{len(rows)} videos on logarithmic axes; {formatting.share(float(changes.mean()))} change"
        f" sides at {formatting.amount(threshold)} views a day and have the warmer colour"
    )
    return draw("growth-labels", LABELS_SIZE, "Both labels of the same videos", description, paint)


def _percent(log10: float) -> float:
    return float(100 * (10**log10 - 1))
