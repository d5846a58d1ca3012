"""The section on drift: what its template is given, ready to be read."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment
from markupsafe import Markup
from matplotlib.figure import Figure

from services.learning.report.charts import drawing

WIDTH = 760.0
_ROW, _ABOVE, _BELOW, _LEFT, _RIGHT = 24.0, 12.0, 34.0, 170.0, 60.0
MOST = 3.0
"""Distances are shown up to so many times their threshold."""


def render_drift(
    environment: Environment, template: str, found: Mapping[str, Any] | None
) -> Markup:
    """Return the section's HTML.

    Args:
        environment: Escapes whatever comes from elsewhere.
        template: Of the section.
        found: The newest report on drift as ``drift --json`` prints it; None: nobody looked yet.
    """
    columns = [] if found is None else found["columns"]
    given = {"drift": found, "panel": drift_panel(columns) if columns else None}
    # The environment escaped what had to be.
    return Markup(environment.from_string(template).render(**given))  # noqa: S704


def drift_panel(columns: list[Mapping[str, Any]]) -> Markup:
    """Draw each distance as a share of its threshold, those that drifted in another colour."""
    shares = [_share(column) for column in columns]

    def paint(figure: Figure) -> None:
        axes = drawing.add_axes(figure, left=_LEFT, top=_ABOVE, right=_RIGHT, bottom=_BELOW)
        places = range(len(columns))
        axes.hlines(places, 0, shares, color=drawing.RULE, linewidth=1.5)
        for place, (column, share) in enumerate(zip(columns, shares, strict=True)):
            colour = drawing.UNDER if column["is_drifted"] else drawing.MUTED
            axes.plot(share, place, "o", color=colour, markersize=7, clip_on=False)
        axes.axvline(1.0, color=drawing.INK, linewidth=1.0, linestyle=(0, (3, 3)))
        axes.set_yticks(list(places), [column["name"] for column in columns])
        axes.set_ylim(len(columns) - 0.5, -0.5)
        axes.set_xlim(0, MOST)
        axes.set_xticks([0, 1, 2, 3], ["0", "threshold", "2 ×", "3 × and more"])

    drifted = [column["name"] for column in columns if column["is_drifted"]]
    return drawing.draw(
        "drift",
        (WIDTH, _ABOVE + _BELOW + _ROW * len(columns)),
        "Distance of each column from its threshold",
        f"Beyond their thresholds: {', '.join(drifted)}." if drifted else "None is beyond it.",
        paint,
    )


def _share(column: Mapping[str, Any]) -> float:
    """Return the distance in thresholds, 0 to MOST; a threshold of 0 is of what never varied."""
    distance, threshold = max(column["distance"], 0.0), column["threshold"]
    if threshold <= 0:
        return MOST if column["is_drifted"] else 0.0
    return float(min(distance / threshold, MOST))
