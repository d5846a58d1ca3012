"""Matplotlib figures as SVG that belongs to the page: its fonts, its colours, light and dark.

Figures are drawn with stand-in colours, which become the page's CSS variables, so that one drawing
serves both themes. Letters stay letters: the reader's own fonts draw them, nothing is embedded.
"""

import io
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from xml.etree import ElementTree as ET  # matplotlib's own output, parsed by defusedxml below

import matplotlib as mpl
import numpy as np
from defusedxml.ElementTree import fromstring
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from ml.arrays import FloatArray
from services.learning.report import formatting

INK, MUTED, RULE, ACCENT, OVER, UNDER, PAPER = (f"#00010{n}" for n in range(1, 8))
VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        INK: "var(--ink)",
        MUTED: "var(--muted)",
        RULE: "var(--rule)",
        ACCENT: "var(--accent)",
        OVER: "var(--over)",
        UNDER: "var(--under)",
        PAPER: "var(--paper)",
    }
)
POINTS_AN_INCH = 72.0
FONT_SIZE = 12.0
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": FONT_SIZE,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.labelcolor": MUTED,
    "axes.labelsize": FONT_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 1.0,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "figure.facecolor": "none",
}


def draw(
    name: str,
    size: tuple[float, float],
    title: str,
    description: str,
    paint: Callable[[Figure], None],
) -> Markup:
    """Return a figure as inline SVG; the same arguments give the same text.

    Args:
        name: Unique on the page; prefix of every id.
        size: Width and height in CSS pixels at full size.
        title: What it is, for those who cannot see it.
        description: What it shows, for them too.
        paint: Draws on the figure; sizes are in pixels.
    """
    buffer = io.StringIO()
    with mpl.rc_context():
        # Whatever the user's matplotlibrc says, the page looks as designed.
        mpl.rcdefaults()
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": name})
        width, height = size
        figure = Figure(figsize=(width / POINTS_AN_INCH, height / POINTS_AN_INCH))
        paint(figure)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    root: ET.Element = fromstring(buffer.getvalue())
    _clean(root, name)
    for tag, text in (("desc", description), ("title", title)):
        element = ET.Element(tag, {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(0, element)
    root.attrib = {
        "viewBox": f"0 0 {width:g} {height:g}",
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-desc",
        "style": f"max-width: {width:g}px",
    }
    text = ET.tostring(root, encoding="unicode")
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    return Markup(text)  # noqa: S704 - our own drawing; texts were escaped by the serialiser


def add_axes(
    figure: Figure,
    *,
    left: float,
    top: float,
    right: float,
    bottom: float,
    share_y: Axes | None = None,
) -> Axes:
    """Add axes; the margins to the figure's edges are in pixels."""
    width, height = (POINTS_AN_INCH * figure.get_size_inches()).tolist()
    box = (
        left / width,
        bottom / height,
        (width - left - right) / width,
        (height - top - bottom) / height,
    )
    axes: Axes = figure.add_axes(box, sharey=share_y)
    axes.tick_params(length=0, pad=6)
    return axes


def log_ticks(axis: Axis, low: float, high: float, *, most: int = 8) -> None:
    """Label an axis of log10(1 + value) from ``low`` to ``high`` with round values.

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``.
        low: Left or lower end of the axis, on the log scale.
        high: The other end.
        most: At most so many labels; more decades than that are labelled every second one.
    """
    values = [10.0**power for power in range(10)]
    inside = [v for v in values if low <= np.log10(v + 1) <= high]
    step = -(-len(inside) // most)
    shown = inside[::step] if inside else []
    axis.set_ticks([float(np.log10(v + 1)) for v in shown], [short(v) for v in shown])


def short(value: float) -> str:
    """Return a round number for an axis: 1, 100, 10k, 1M."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def span(*values: FloatArray, pad: float = 0.04) -> tuple[float, float]:
    """Return the range of all values with a margin on both sides, never empty."""
    together = np.concatenate(values)
    low, high = float(together.min()), float(together.max())
    margin = max(pad * (high - low), 0.05)
    return low - margin, high + margin


def opacity(points: int) -> float:
    """Return how opaque dots should be so that a crowd of them still shows its density."""
    return float(np.clip(18 / np.sqrt(max(points, 1)), 0.28, 0.85))


def interval_text(value: float, limits: str) -> str:
    """Return a value and its limits for a description."""
    return f"{formatting.decimal(value)} {limits}".strip()


def _clean(root: ET.Element, name: str) -> None:
    """Drop what a page does not need, make ids unique on the page, and round coordinates."""
    for parent in root.iter():
        for child in list(parent):
            # A style inside an SVG would hold for the whole page.
            if child.tag == f"{_SVG}metadata" or child.find(f"{_SVG}style") is not None:
                parent.remove(child)
    _rename_ids(root, name)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.tail = None
        attributes = element.attrib
        if "style" in attributes:
            attributes["style"] = re.sub(r" ?font-family:[^;]+;?", "", attributes["style"])
        for key in attributes.keys() & {"d", "x", "y", "transform"}:
            attributes[key] = _rounded(attributes[key])
    for group in root.iter("g"):
        _hoist_style(group)


def _rename_ids(root: ET.Element, name: str) -> None:
    """Put the figure's name before every id that something refers to; drop the other ids."""
    used = {e.attrib[_HREF][1:] for e in root.iter() if _HREF in e.attrib}
    used |= {e.attrib["clip-path"][5:-1] for e in root.iter() if "clip-path" in e.attrib}
    for element in root.iter():
        attributes = element.attrib
        identity = attributes.pop("id", None)
        if identity in used:
            attributes["id"] = f"{name}-{identity}"
        if _HREF in attributes:
            attributes["href"] = f"#{name}-{attributes.pop(_HREF)[1:]}"
        if "clip-path" in attributes:
            attributes["clip-path"] = f"url(#{name}-{attributes['clip-path'][5:-1]})"


def _hoist_style(group: ET.Element) -> None:
    """Say a style once for a whole cloud of dots instead of once a dot."""
    styles = {child.get("style") for child in group}
    if len(group) > 1 and len(styles) == 1 and {child.tag for child in group} == {"use"}:
        (style,) = styles
        if style is not None:
            group.set("style", style)
            for child in group:
                del child.attrib["style"]


def _rounded(numbers: str) -> str:
    shorter = re.sub(
        r"-?\d+\.\d+", lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), numbers
    )
    return " ".join(shorter.split())
