"""The contents of a report drawn from a seed, and the page as a reader's tools see it."""

import base64
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import numpy as np
from PIL import Image

from ml.evaluation.bootstrap import Interval
from ml.evaluation.metrics import CalibrationBin, calibration_bins
from services.learning.report.contents import METRICS, Line, Report, Rows, RungResult
from services.learning.report.extremes import Extremes, Tile

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RUNGS = ("constant", "subscribers", "thumbnail", "subscribers+thumbnail")
UNDEFINED = Interval(math.nan, math.nan, math.nan)
VOID = frozenset({"meta", "br", "img", "hr", "link", "input"})


def report_of(
    videos: int = 200,
    *,
    hidden: float = 0.05,
    title: str | None = "How to sharpen a pencil",
    channel: str | None = "Pencil Corner",
    tiles: int = 4,
    **changes: Any,
) -> Report:
    """Return contents that hang together: views follow subscribers, rungs follow views."""
    rng = np.random.default_rng(0)
    log_subscribers = rng.normal(4.5, 1.2, videos).clip(0)
    log_views = (0.8 * log_subscribers - 1.6 + rng.normal(0, 0.6, videos)).clip(0)
    subscribers = np.where(rng.random(videos) < hidden, np.nan, 10**log_subscribers - 1)
    views = 10**log_views - 1
    noise = {"constant": 0.0, "subscribers": 0.8, "thumbnail": 0.3, "subscribers+thumbnail": 0.9}
    predicted = {
        rung: weight * log_views + (1 - weight) * log_views.mean() + rng.normal(0, 0.1, videos)
        for rung, weight in noise.items()
    }
    is_over = views >= 100
    rungs = [
        RungResult(
            rung,
            version,
            {metric: Interval(0.5, 0.4, 0.6) for metric in METRICS},
            calibration_bins(is_over, rng.random(videos)),
        )
        for version, rung in enumerate(RUNGS, start=1)
    ]
    sides = [
        [
            Tile(f"video{i:06d}", title, channel, picture(i) if i else None, 50.0, 5_000.0, -2.0)
            for i in range(tiles)
        ]
        for _ in range(2)
    ]
    values: dict[str, Any] = {
        "sentence": "The thumbnail adds ΔR² 0.012 [0.004, 0.021] beyond subscribers.",
        "evaluation_id": 3,
        "evaluated_at": NOW,
        "written_at": NOW,
        "code_version": "0.1.0",
        "n_videos": videos,
        "n_channels": 60,
        "base_rate": float(is_over.mean()),
        "threshold": 100.0,
        "resamples": 2000,
        "as_of": NOW,
        "dataset_id": "5e" * 32,
        "excluded": {},
        "rungs": rungs,
        "delta_r2": Interval(0.012, 0.004, 0.021),
        "delta_auc": Interval(0.01, 0.0, 0.02),
        "line": Line(-1.6, 0.8),
        "rows": Rows(subscribers, views, is_over, predicted),
        "extremes": Extremes(*sides),
    }
    return Report(**(values | changes))


def undefined_rungs() -> list[RungResult]:
    """Return rungs of which nothing is known but that they exist."""
    metrics = dict.fromkeys(METRICS, UNDEFINED)
    return [RungResult(rung, None, metrics, [CalibrationBin(1, 0.5, 1.0)]) for rung in RUNGS]


def picture(seed: int) -> str:
    """Return a small picture as a ``data:`` address."""
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).resize((320, 180)).save(encoded, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()


@dataclass
class Element:
    """One element with its attributes and the text inside it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A parsed page: its elements in order; unclosed elements are an error."""

    source: str
    elements: list[Element] = field(default_factory=list)
    _open: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)
        self.close()
        assert not self._open, f"not closed: {[e.tag for e in self._open]}"

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, css_class: str | None = None) -> list[Element]:
        """Return the elements of one tag, with a class if one is given."""
        return [
            e
            for e in self.elements
            if e.tag == tag and (css_class in (None, *e.attributes.get("class", "").split()))
        ]

    @property
    def text(self) -> str:
        """Everything a reader sees, on one line."""
        return " ".join(self.all("body")[0].text.split())

    @property
    def repeated_ids(self) -> list[str]:
        """The ids that stand on more than one element."""
        counts = Counter(e.attributes["id"] for e in self.elements if "id" in e.attributes)
        return [name for name, count in counts.items() if count > 1]
