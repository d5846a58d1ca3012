"""How well models tell languages apart by how much they learned from."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from services.learning.report import formatting
from services.learning.report.charts.drawing import ACCENT, INK, MUTED, RULE, UNDER, add_axes, draw

SIZE = (760.0, 380.0)
MARKS = ("o", "s", "D", "^", "v", "P")
HALF = 0.5


def curve_panel(
    name: str, curves: Mapping[str, Sequence[Mapping[str, Any]]], best: str, *, kind: str
) -> Markup:
    """Draw balanced accuracy on held-out sources against the clips learned from.

    Args:
        name: Unique on the page.
        curves: By model the points of a comparison's ``curve``.
        best: The model in the accent colour.
        kind: ``clips`` or ``sources``: which points besides the one of everything.
    """
    shown = {
        model: sorted(
            (point for point in curve if point["kind"] in (kind, "all")),
            key=lambda point: point["training_clips"],
        )
        for model, curve in curves.items()
    }

    def paint(figure: Figure) -> None:
        axes = add_axes(figure, left=44, right=150, top=24, bottom=48)
        counts = [point["training_clips"] for curve in shown.values() for point in curve]
        axes.set_xscale("log")
        axes.set_xlim(0.85 * min(counts), 1.1 * max(counts))
        axes.set_ylim(0.45, 1.0)
        ticks = sorted({round(count) for count in counts})
        axes.minorticks_off()
        axes.set_xticks(ticks, [formatting.whole(tick) for tick in ticks])
        axes.set_xlabel("clips learned from", labelpad=6)
        axes.grid(axis="y", color=RULE, linewidth=1)
        axes.axhline(HALF, color=MUTED, linewidth=1, dashes=(2, 3))
        axes.text(0, 1.03, "balanced accuracy", color=MUTED, transform=axes.transAxes)
        for place, (model, curve) in enumerate(shown.items()):
            colour = ACCENT if model == best else (INK, UNDER)[place % 2]
            values = [point["balanced_accuracy"]["value"] for point in curve]
            clips = [point["training_clips"] for point in curve]
            mark = MARKS[place % len(MARKS)]
            axes.plot(clips, values, f"{mark}-", color=colour, linewidth=1.6, markersize=6)
            axes.text(
                1.02 * clips[-1], values[-1], f" {model}", color=colour, va="center", clip_on=False
            )

    description = "; ".join(
        f"{model}: "
        + ", ".join(
            f"{formatting.decimal(point['balanced_accuracy']['value'])} from "
            f"{formatting.whole(round(point['training_clips']))} clips"
            for point in curve
        )
        for model, curve in shown.items()
    )
    title = "share of the clips" if kind == "clips" else "number of sources"
    return draw(name, SIZE, f"Learning curve over the {title}", description, paint)
