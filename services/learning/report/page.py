"""The page itself: what the template is given, ready to be read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ml.evaluation.bootstrap import Interval
from ml.thumbnails.evaluation.evaluate import BASELINE
from ml.thumbnails.models.registry import ladder_specs
from ml.thumbnails.models.thumbnail import ThumbnailRung
from services.learning.report import formatting
from services.learning.report.charts.calibration import calibration_panel
from services.learning.report.charts.ladder import difference_strip, ladder_panel
from services.learning.report.charts.thumbnails import (
    MOST_POINTS,
    common_limits,
    predicted_against_measured,
    views_against_subscribers,
)
from services.learning.report.contents import METRICS, Report, RungResult
from services.learning.report.drift_section import render_drift
from services.learning.report.extremes import Tile
from services.learning.report.sections import render_growth, render_slices, render_swaps
from services.learning.report.speech import NOTHING_COLLECTED, Missing, SpeechReport
from services.learning.report.speech_section import render_speech
from services.learning.thumbnails.growth import Growth, TooLittle
from services.learning.thumbnails.swaps import SwapsFound

WIDE, NARROW = (1000.0, 520.0), (360.0, 420.0)
PICTURE_ALONE = ThumbnailRung.spec.name
LEFT_OUT = {
    "gone": "deleted or private",
    "metricBreak": "across a change of what YouTube counts as a view",
    "noCountAtAge": "without counts around the age in question",
    "noCountBefore": "without a count before",
    "otherThumbnailSize": "with a picture of another size than most",
    "seenTooLate": "first seen after that age",
    "liveOrUpcoming": "live or not yet started",
    "liveStateUnknown": "perhaps live: YouTube said so in a word that is new",
    "noViewCount": "without a view count",
    "noThumbnail": "without a stored thumbnail",
    "sampledOut": "of channels that are not of the sample learned from",
    "tooYoung": "younger than a day",
}


@dataclass(frozen=True)
class Panel:
    """A small figure with its heading and one line about it."""

    heading: str
    note: str
    figure: Markup


def render(
    report: Report,
    speech: SpeechReport | Missing = NOTHING_COLLECTED,
    drift: Mapping[str, Any] | None = None,
    swaps: SwapsFound | None = None,
    growth: Growth | TooLittle | None = None,
) -> str:
    """Return the report as one HTML page without scripts, fonts or addresses to fetch.

    Everything that comes from YouTube is escaped by the template; pictures are ``data:`` addresses.

    Args:
        report: What was learned of thumbnails.
        speech: What was learned of speech, or what is missing for that.
        drift: The newest report on drift, or None.
        swaps: What swapped thumbnails did; None leaves the section out.
        growth: What a week's growth says beside the lifetime average; likewise.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["words"] = formatting
    folder = resources.files("services.learning.report")
    template = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    # Ours, and inside <style>, where escaping would break it.
    style = Markup((folder / "page.css").read_text(encoding="utf-8"))  # noqa: S704

    def read(name: str) -> str:
        return (folder / f"{name}.html").read_text(encoding="utf-8")

    return template.render(
        style=style,
        report=report,
        slices=render_slices(environment, read("slices"), report),
        swaps="" if swaps is None else render_swaps(environment, read("swaps"), swaps),
        growth="" if growth is None else render_growth(environment, read("growth"), growth),
        speech=render_speech(environment, read("speech"), speech),
        drift=render_drift(environment, read("drift"), drift),
        **_figures(report),
        **_texts(report),
    )


def _figures(report: Report) -> dict[str, Any]:
    rungs, rows, threshold = report.rungs, report.rows, report.threshold
    best, baseline = report.headline
    compared = [rung for rung in (baseline, PICTURE_ALONE, best) if rung in rows.predicted]
    limits = common_limits(rows, compared)
    return {
        "difference": difference_strip(report.delta_r2, "ΔR²"),
        "ladder": [
            Panel(label, note, ladder_panel(metric, label, rungs, floor=floor, best=best))
            for metric, label, note, floor in (
                ("auc", "AUC", "tells over from under; 0.5 is chance", 0.5),
                ("r2", "R²", "share of the variation explained", 0.0),
                ("spearman", "Spearman", "agreement in order; 0 is chance", 0.0),
            )
        ],
        "scatter": [
            (name, views_against_subscribers(f"scatter-{name}", size, rows, report.line, threshold))
            for name, size in (("wide", WIDE), ("narrow", NARROW))
        ],
        "calibration": [
            Panel(
                rung.name,
                _brier(rung),
                calibration_panel(rung.name, rung.calibration, is_best=rung.name == best),
            )
            for rung in rungs
        ],
        "predicted": [
            Panel(
                rung,
                f"R² {formatting.decimal(report.rung(rung).metrics['r2'].value, 2)}, "
                f"Spearman {formatting.decimal(report.rung(rung).metrics['spearman'].value, 2)}",
                predicted_against_measured(f"predicted-{i}", rung, rows, limits, threshold),
            )
            for i, rung in enumerate(compared)
        ],
    }


def _texts(report: Report) -> dict[str, Any]:
    knows = {spec.name: spec.knows for spec in ladder_specs()}
    return {
        "lede": _lede(report),
        "table": [
            {
                "name": rung.name,
                "knows": knows.get(rung.name, ""),
                "is_best": rung.name == report.headline[0],
                "cells": [_cell(rung.metrics[metric]) for metric in METRICS],
            }
            for rung in report.rungs
        ],
        "differences": [
            (d.rung, d.baseline, _cell(d.delta_auc, signed=True), _cell(d.delta_r2, signed=True))
            for d in report.differences
        ],
        "beyond": [
            _cell(report.delta_auc, signed=True),
            _cell(report.delta_r2, signed=True),
        ],
        "versions": ", ".join(
            rung.name if rung.version is None else f"{rung.name} v{rung.version}"
            for rung in report.rungs
        ),
        "left_out": [
            f"{formatting.whole(n)} {LEFT_OUT.get(reason, reason)}"
            for reason, n in sorted(report.excluded.items())
        ],
        "thinned": MOST_POINTS if len(report.rows) > MOST_POINTS else None,
        "n_hidden": int(sum(math.isnan(s) for s in report.rows.subscribers)),
        "n_gone": report.n_videos - len(report.rows),
        "tenfold": formatting.amount(10**report.line.slope),
        "alone": _alone(report),
        "sides": _sides(report),
    }


def _lede(report: Report) -> str:
    """Say what the sentence's numbers are made of."""
    rung, baseline = report.headline
    without, with_ = (report.rung(name).metrics["r2"].value for name in (baseline, rung))
    channels = "on channels that no model had seen"
    if not (math.isfinite(without) and math.isfinite(with_)):
        return f"Judged {channels}."
    if baseline == BASELINE:
        known, together = "Subscribers alone explain", "subscribers and the thumbnail together"
    else:
        known, together = "Subscribers, age and format explain", "together with the thumbnail they"
    return (
        f"{known} {_explained(without)} of how (log) views a day differ between"
        f" videos; {together} explain {_explained(with_)}, {channels}."
    )


def _explained(r2: float) -> str:
    # Below zero the predictions are worse than one number for all.
    return "nothing" if r2 <= 0 else f"{100 * r2:.1f}\N{NO-BREAK SPACE}%"


def _alone(report: Report) -> str:
    auc = next((r.metrics["auc"].value for r in report.rungs if r.name == PICTURE_ALONE), math.nan)
    if not math.isfinite(auc):
        return ""
    return (
        f"Shown one video over and one under {formatting.amount(report.threshold)} views a day, the"
        f" picture alone ranks the right one higher {formatting.share(auc)} of the time; a coin"
        " would manage half."
    )


def _sides(report: Report) -> Sequence[tuple[str, str, Sequence[Tile]]]:
    return (
        (
            "Most over-estimated",
            "predicted far more than they got",
            report.extremes.overestimated,
        ),
        (
            "Most under-estimated",
            "got far more than predicted",
            report.extremes.underestimated,
        ),
    )


def _brier(rung: RungResult) -> str:
    brier = rung.metrics["brier"]
    return f"Brier {formatting.decimal(brier.value)} {formatting.limits(brier)}".rstrip()


def _cell(interval: Interval, *, signed: bool = False) -> tuple[str, str]:
    return formatting.decimal(interval.value, signed=signed), formatting.limits(
        interval, signed=signed
    )
