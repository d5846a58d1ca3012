"""Whether a probability of 70 % comes true seven times in ten."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from ml.evaluation.metrics import CalibrationBin
from services.learning.report import formatting
from services.learning.report.charts.drawing import ACCENT, INK, MUTED, RULE, add_axes, draw

SIZE = (260.0, 322.0)
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def calibration_panel(
    rung: str,
    bins: Sequence[CalibrationBin],
    *,
    is_best: bool,
    what: str = "videos",
    prefix: str = "calibration",
) -> Markup:
    """Draw observed against predicted shares by bin, with the bins' counts below.

    Args:
        rung: Name of the model.
        bins: At least one.
        is_best: Draw it in the accent colour.
        what: What is counted.
        prefix: Of the figure's name on the page.
    """
    predicted = np.array([bin_.predicted for bin_ in bins])
    observed = np.array([bin_.observed for bin_ in bins])
    counts = np.array([bin_.n for bin_ in bins])
    colour = ACCENT if is_best else INK

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=36, right=10, top=28, bottom=88)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xticks(TICKS, [""] * len(TICKS))
        axes.set_yticks(TICKS, [f"{100 * tick:g}" for tick in TICKS])
        axes.grid(color=RULE, linewidth=1)
        axes.set_axisbelow(True)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, dashes=(2, 3))
        axes.plot(predicted, observed, "o", color=colour, markersize=7, markeredgewidth=0)
        axes.text(-36 / 214, 1.06, "came true, %", color=MUTED, transform=axes.transAxes)
        below = add_axes(figure, left=36, right=10, top=SIZE[1] - 82, bottom=50)
        below.set_xlim(-0.03, 1.03)
        below.set_ylim(0, counts.max())
        below.bar(predicted, counts, width=0.022, color=colour, alpha=0.55)
        below.set_xticks(TICKS, [f"{100 * tick:g}" for tick in TICKS])
        below.set_yticks([])
        below.spines["left"].set_visible(False)
        below.set_xlabel(
            f"predicted, %  (bars: up to {formatting.whole(int(counts.max()))} {what})", labelpad=6
        )

    description = "; ".join(
        f"{formatting.whole(b.n)} {what} predicted {formatting.share(b.predicted)}, came true"
        f" {formatting.share(b.observed)}"
        for b in bins
    )
    name = f"{prefix}-" + "".join(c if c.isalnum() else "-" for c in rung)
    return draw(name, SIZE, f"Calibration of {rung}", description, paint)
