"""The table and the curves of what grows, drawn from what was kept of each size."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import pages

TABLE = "growth"
Point = Mapping[str, Any]
LINES = {
    "claiming": "#1d2a33",
    "the same, all of them": "#2f6db3",
    "1,000 scores": "#6a9a3b",
    "pages: videos, the newest": "#9aa4ad",
    "`completeness`, 50": "#d08a1e",
    "one rung": "#8a4fa8",
    "completeness of a week": "#c4472b",
}
"""What is drawn, by how it begins, and in which colour."""


def write_table(points: Sequence[Point], page: Path) -> None:
    """Write the costs of all sizes into a page, and how each grows."""
    pages.write_between(page, TABLE, lines(points))


def lines(points: Sequence[Point]) -> list[str]:
    """Return the page's lines: processor time, and pages in brackets, a column for each size."""
    head = ["", *(_size(point) for point in points), "tenfold videos"]
    names = list(dict.fromkeys(name for point in points for name in point["costs"]))
    rows = [
        [name, *(_cell(point["costs"].get(name)) for point in points), _growth(name, points)]
        for name in names
    ]
    loads = ", ".join(str(point["load"]) for point in points)
    sizes = ", ".join(f"{point['gigabytes']:g} GB" for point in points)
    return [*pages.table(head, rows), "", f"On disk: {sizes}. Processes that waited: {loads}."]


def _size(point: Point) -> str:
    counts = point["videos"] * point["counts"]
    return f"{point['videos']:,} videos, {counts:,} snapshots"


def _cell(cost: Mapping[str, Any] | None) -> str:
    if cost is None:
        return "–"
    if cost["processor_ms"] is None:
        return f"> {cost['wall_ms'] / 1000:,.0f} s"
    ms = cost["processor_ms"]
    said = f"{ms / 1000:.2g} s" if ms >= 1000 else f"{ms:.3g} ms"
    return f"{said} ({cost['pages']:,})"


def _along(name: str, points: Sequence[Point]) -> list[tuple[int, float]]:
    """Return videos and milliseconds where each video has one snapshot."""
    return [
        (point["videos"], point["costs"][name]["processor_ms"])
        for point in points
        if point["counts"] == 1 and point["costs"].get(name, {}).get("processor_ms")
    ]


def _growth(name: str, points: Sequence[Point]) -> str:
    """Return by how much the largest two sizes differ, for ten times as many videos."""
    along = _along(name, points)
    if len(along) < 2:
        return "–"
    (few, before), (many, after) = along[-2:]
    return f"× {(after / before) ** (1 / math.log10(many / few)):.2g}"


def draw(points: Sequence[Point], path: Path) -> None:
    """Draw some of them: a straight line as steep as the grid's is as many times as much."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # The same figures make the same file.
    mpl.rcParams["svg.hashsalt"] = TABLE
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    names = list(points[0]["costs"])
    for begins, colour in LINES.items():
        name = next(name for name in names if name.startswith(begins))
        along = _along(name, points)
        label = name.replace("`", "").replace("the same, ", "planning, ")
        axes.plot(*zip(*along, strict=True), "o-", color=colour, label=label, ms=4, linewidth=1.4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("videos")
    axes.set_ylabel("ms of processor")
    axes.grid(visible=True, color="#e3e6e8", linewidth=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
