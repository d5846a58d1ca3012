"""The ladder's figures as dots with intervals, and what the thumbnail adds, against nothing."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from ml.evaluation.bootstrap import Interval
from services.learning.report import formatting
from services.learning.report.charts.drawing import (
    ACCENT,
    INK,
    MUTED,
    PAPER,
    RULE,
    add_axes,
    draw,
    interval_text,
)
from services.learning.report.contents import RungResult

WIDTH = 340.0
ROW = 48.0
TOP, BOTTOM = 6.0, 30.0


def ladder_panel(
    metric: str, label: str, rungs: Sequence[RungResult], *, floor: float, best: str
) -> Markup:
    """Draw one metric of every rung.

    Args:
        metric: Key of ``RungResult.metrics``.
        label: Its name for people.
        rungs: From the bottom of the ladder up; drawn from the top of the figure down.
        floor: The value that says nothing: 0.5 for the AUC, 0 for R². The axis ends at 1.
        best: The rung to draw in the accent colour.
    """
    height = TOP + ROW * len(rungs) + BOTTOM
    known = [r for r in rungs if math.isfinite(r.metrics[metric].value)]
    lowest = min([floor, *(_ends(r.metrics[metric])[0] for r in known)])

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=8, right=12, top=TOP, bottom=BOTTOM)
        axes.set_xlim(lowest - 0.02 * (1 - lowest), 1 + 0.01 * (1 - lowest))
        axes.set_ylim(len(rungs), 0)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        ticks = np.linspace(floor, 1, 6)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks.round(2)])
        axes.axvline(floor, color=MUTED, linewidth=1, dashes=(2, 3))
        for tick in ticks[1:]:
            axes.axvline(tick, color=RULE, linewidth=1, zorder=0)
        for row, rung in enumerate(rungs):
            _row(axes, row, rung, rung.metrics[metric], ACCENT if rung.name == best else INK)

    values = "; ".join(
        f"{r.name} {interval_text(r.metrics[metric].value, formatting.limits(r.metrics[metric]))}"
        for r in rungs
    )
    return draw(f"ladder-{metric}", (WIDTH, height), f"{label} by rung", values, paint)


def difference_strip(delta: Interval, label: str) -> Markup:
    """Draw what the thumbnail adds as one interval on a line with zero marked."""
    low, high = _ends(delta)
    # Never so close that a tiny effect looks like a large one.
    left, right = min(-0.02, low * 1.25), max(0.04, high * 1.25)

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=16, right=16, top=24, bottom=28)
        axes.set_xlim(left, right)
        axes.set_ylim(0, 1)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        ticks = axes.get_xticks()
        digits = 2 if ticks[1] - ticks[0] > 0.009 else 3  # noqa: PLR2004 - steps of a hundredth
        axes.xaxis.set_major_formatter(lambda x, _: formatting.decimal(x, digits, signed=True))
        axes.axvline(0, color=MUTED, linewidth=1, dashes=(2, 3))
        above = blended_transform_factory(axes.transData, axes.transAxes)
        axes.text(0, 1.12, "adds nothing", color=MUTED, ha="center", transform=above)
        if math.isfinite(delta.value):
            axes.plot(
                [low, high],
                [0.5, 0.5],
                color=ACCENT,
                linewidth=5,
                solid_capstyle="round",
                alpha=0.4,
            )
            axes.plot([delta.value], [0.5], "o", color=ACCENT, markersize=11, markeredgewidth=0)

    description = f"{label} {interval_text(delta.value, formatting.limits(delta))}; zero is marked"
    return draw("difference", (380, 92), "What the thumbnail adds", description, paint)


def _row(axes: Axes, row: int, rung: RungResult, interval: Interval, colour: str) -> None:
    """Draw a rung's name and value over its interval."""
    over_line = blended_transform_factory(axes.transAxes, axes.transData)
    weight = "bold" if colour == ACCENT else "normal"
    for x, side, text in ((0, "left", rung.name), (1, "right", formatting.decimal(interval.value))):
        axes.text(
            x,
            row + 0.42,
            text,
            color=INK,
            ha=side,
            fontweight=weight,
            transform=over_line,
            # Lines behind the letters stop short of them.
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
        )
    y = row + 0.68
    if math.isfinite(interval.value):
        low, high = _ends(interval)
        axes.plot([low, high], [y, y], color=colour, linewidth=4, solid_capstyle="round", alpha=0.4)
        axes.plot([interval.value], [y], "o", color=colour, markersize=9, markeredgewidth=0)


def _ends(interval: Interval) -> tuple[float, float]:
    """Return the limits, or the value where there is no interval."""
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        return interval.low, interval.high
    if math.isfinite(interval.value):
        return interval.value, interval.value
    return 0.0, 0.0
