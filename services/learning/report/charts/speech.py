"""How well each source is told, source by source, the models beside each other."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from services.learning.report import formatting
from services.learning.report.charts.drawing import (
    ACCENT,
    INK,
    MUTED,
    PAPER,
    RULE,
    UNDER,
    add_axes,
    draw,
)
from services.learning.report.speech import SpeechModelResult

WIDTH, ROW = 640.0, 40.0
TOP, BOTTOM = 6.0, 44.0
MOST_SOURCES = 20
LONGEST_NAME = 44
HALF = 0.5
MARKS = ("s", "D", "^")
"""Shapes besides colours tell the other models apart."""


def sources_panel(
    name: str, models: Sequence[SpeechModelResult], best: str, *, width: float = WIDTH
) -> Markup:
    """Draw the best model's share told right of each source as a bar, the others' as marks.

    Args:
        name: Unique on the page.
        models: The best one and those to hold it against, at most three others.
        best: Its name.
        width: In CSS pixels.
    """
    others = [model for model in models if model.name != best]
    evaluated = next(model for model in models if model.name == best)
    parts = sorted(evaluated.by_source, key=lambda part: (part.accuracy, part.name))[:MOST_SOURCES]
    others_by_name = {
        model.name: {part.name: part.accuracy for part in model.by_source} for model in others
    }
    height = TOP + ROW * len(parts) + BOTTOM

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=8, right=12, top=TOP, bottom=BOTTOM)
        axes.set_xlim(0, 1)
        axes.set_ylim(len(parts), 0)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        ticks = (0, 0.25, HALF, 0.75, 1)
        axes.set_xticks(ticks, [f"{100 * tick:g}" for tick in ticks])
        axes.set_xlabel("told right, %", labelpad=6)
        for tick in ticks[1:]:
            axes.axvline(tick, color=RULE, linewidth=1, zorder=0)
        axes.axvline(HALF, color=MUTED, linewidth=1, dashes=(2, 3), zorder=1)
        over_line = blended_transform_factory(axes.transAxes, axes.transData)
        for row, part in enumerate(parts):
            label = formatting.one_line(part.name, "unnamed", longest=LONGEST_NAME)
            box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1}
            for x, side, text in (
                (0, "left", label),
                (1, "right", formatting.share(part.accuracy)),
            ):
                axes.text(
                    x, row + 0.38, text, color=INK, ha=side, transform=over_line,
                    # A source's name is text, never a formula.
                    parse_math=False, bbox=box,
                )  # fmt: skip
            y = row + 0.68
            axes.plot([0, 1], [y, y], color=RULE, linewidth=7, solid_capstyle="butt")
            axes.plot([0, part.accuracy], [y, y], color=ACCENT, linewidth=7, solid_capstyle="butt")
            for place, model in enumerate(others):
                axes.plot(
                    [others_by_name[model.name].get(part.name, float("nan"))],
                    [y],
                    MARKS[place % len(MARKS)],
                    color=(INK, UNDER)[place % 2],
                    markersize=8,
                    markeredgecolor=PAPER,
                    clip_on=False,
                    zorder=4,
                )

    description = "; ".join(
        f"{formatting.one_line(part.name, 'unnamed')} {formatting.share(part.accuracy)} of {part.n}"
        + "".join(
            f", {model.name} {formatting.share(others_by_name[model.name][part.name])}"
            for model in others
            if part.name in others_by_name[model.name]
        )
        for part in parts
    )
    return draw(name, (width, height), f"Sources told right by {best}", description, paint)
