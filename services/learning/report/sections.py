"""The sections on slices, on swapped thumbnails and on weekly growth: what their templates get."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ml.evaluation.bootstrap import Interval
from ml.thumbnails.models.registry import rung_names
from services.learning.report import formatting
from services.learning.report.charts.experiments import by_day, two_labels
from services.learning.report.contents import Report
from services.learning.thumbnails.growth import Growth, TooLittle
from services.learning.thumbnails.swaps import SwapsFound

HEADINGS = {
    "subscribers": "by subscribers, from",
    "age": "by age, from",
    "format": "by format",
}
LEFT_OUT = {
    "metricBreak": "across a change of what YouTube counts as a view",
    "noControl": "with no video like it",
    "noCountAfter": "without two counts soon after",
    "noCountBefore": "without two counts shortly before",
    "noVideo": "of streams that are not over",
    "notCounted": "without counts close enough, or of channels with no other video",
}


def render_slices(environment: Environment, template: str, report: Report) -> Markup:
    """Return the table of the comparison's slices and what it found forward in time."""
    rung, baseline = report.headline
    by: dict[str, list[dict[str, Any]]] = {}
    for part in report.slices:
        by.setdefault(part["by"], []).append(_slice(part, rung, baseline))
    given = {
        "slices": [(HEADINGS.get(name, name), parts) for name, parts in by.items()],
        "rung": rung,
        "baseline": baseline,
        "threshold": formatting.amount(report.threshold),
        "forward": None if report.forward is None else _forward(report.forward, (rung, baseline)),
    }
    return _filled(environment, template, given)


def render_swaps(environment: Environment, template: str, found: SwapsFound) -> Markup:
    """Return what swapped thumbnails did, or how many are missing to tell."""
    study, by_score = found.found, found.found.by_score
    named: list[tuple[str, int | None, Interval | None]] = [
        ("all", study.n_swaps, study.effect),
        ("a week too early", None, study.placebo),
    ]
    if by_score is not None:
        named.append(("to a higher score", by_score.n_rose, by_score.rose))
        named.append(("to a lower score", by_score.n_fell, by_score.fell))
    rows = [_swaps_row(name, n, each) for name, n, each in named if each is not None]
    placebo = study.placebo
    given = {
        "found": found,
        "study": study,
        "rows": rows,
        "figure": by_day(study.daily) if study.daily else None,
        "placebo_shown": placebo is not None and (placebo.low > 0 or placebo.high < 0),
        "slope": by_score
        and f"{formatting.decimal(by_score.slope.value, 2)} {formatting.limits(by_score.slope, 2)}",
        "left_out": [
            f"{formatting.whole(n)} {LEFT_OUT.get(reason, reason)}"
            for reason, n in found.left_out.items()
        ],
    }
    return _filled(environment, template, given)


def render_growth(environment: Environment, template: str, found: Growth | TooLittle) -> Markup:
    """Return the two labels beside each other, or how many videos are missing."""
    if isinstance(found, TooLittle):
        return _filled(environment, template, {"found": found, "table": None})
    table = [
        (name, formatting.share(side.base_rate), _cell(side.auc), _cell(side.r2))
        for name, side in (("of one week", found.week), ("since publication", found.lifetime))
    ]
    differences = (_cell(each, signed=True) for each in (found.delta_auc, found.delta_r2))
    given = {
        "found": found,
        "table": [*table, ("difference", "", *differences)],
        "figure": two_labels(found.log_lifetime, found.log_week, found.threshold),
    }
    return _filled(environment, template, given)


def _swaps_row(name: str, n: int | None, interval: Interval) -> tuple[str, str, str, str]:
    value, low, high = (_percent(v) for v in vars(interval).values())
    return name, "" if n is None else formatting.whole(n), value, f"[{low}, {high}]"


def _filled(environment: Environment, template: str, given: Mapping[str, Any]) -> Markup:
    # The environment escaped what had to be.
    return Markup(environment.from_string(template).render(**given))  # noqa: S704


def _slice(part: Mapping[str, Any], rung: str, baseline: str) -> dict[str, Any]:
    figures = [
        [
            formatting.decimal(_number(part["rungs"].get(name, {}).get(metric)), 2)
            for name in (rung, baseline)
        ]
        for metric in ("auc", "r2")
    ]
    return {
        "name": part["name"],
        "n": formatting.whole(part["n_videos"]),
        "channels": formatting.whole(part["n_channels"]),
        "over": formatting.share(part["base_rate"]),
        "figures": figures,
        "delta": _cell(Interval.from_json(part["delta_r2"]), signed=True),
    }


def _forward(forward: Mapping[str, Any], headline: tuple[str, str]) -> dict[str, Any]:
    """Return the figures forward in time; an earlier release had them without intervals."""
    intervals = forward.get("intervals", {})
    # JSON in PostgreSQL forgets the order; the registry has it.
    order = {name: place for place, name in enumerate(rung_names())}
    rungs = [
        (name, *(_forward_cell(figures, intervals.get(name, {}), m) for m in ("auc", "r2")))
        for name, figures in sorted(
            forward["rungs"].items(), key=lambda each: order.get(each[0], len(order))
        )
    ]
    differences = [
        (
            "what the thumbnail adds",
            _cell(Interval.from_json(each["delta_auc"]), signed=True),
            _cell(Interval.from_json(each["delta_r2"]), signed=True),
        )
        for each in forward.get("differences", ())
        if (each["rung"], each["baseline"]) == headline
    ]
    return {
        "earlier": formatting.whole(forward["n_earlier"]),
        "later": formatting.whole(forward["n_later"]),
        "cut": forward["cut"][:10],
        "rungs": rungs,
        "differences": differences,
    }


def _forward_cell(
    figures: Mapping[str, float | None], intervals: Mapping[str, Any], metric: str
) -> Sequence[str]:
    if metric in intervals:
        return _cell(Interval.from_json(intervals[metric]))
    return formatting.decimal(_number(figures.get(metric))), ""


def _cell(interval: Interval, *, signed: bool = False) -> tuple[str, str]:
    return formatting.decimal(interval.value, signed=signed), formatting.limits(
        interval, signed=signed
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _percent(log10: float) -> str:
    """Return a change in log10 in percent with a real minus sign."""
    return f"{formatting.decimal(100 * (10**log10 - 1), 0, signed=True)}\N{NO-BREAK SPACE}%"
