"""How the models compare: the ladder, calibration, forward in time, slices, video by video."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services import browsing
from services.api import charts
from services.api.dependencies import Ctx
from services.api.rendering import page
from services.learning.results import newest_comparison

router = APIRouter()
POINTS = 500
"""Videos of the scatter: as many as can be told apart."""
_METRICS = {
    "thumbnails": ("r2", "auc", "spearman"),
    "speech": ("balanced_accuracy", "equal_error_rate"),
}
_TITLES = {
    "r2": "R², share of the variation explained",
    "auc": "AUC, tells over from under; 0.5 is chance",
    "spearman": "Spearman, agreement in order; 0 is chance",
    "balanced_accuracy": "Balanced accuracy; 0.5 is chance",
    "equal_error_rate": "Equal error rate; 0.5 is chance",
}


@router.get("/comparison")
def show_comparison(
    request: Request, context: Ctx, task: Literal["thumbnails", "speech"] = "thumbnails"
) -> HTMLResponse:
    """Show the newest comparison of a task."""
    found = newest_comparison(context, task)
    return page(
        "comparison.html",
        request,
        task=task,
        found=found,
        panels=[panel for metric in _METRICS[task] if (panel := _panel(found["rungs"], metric))],
        differences=_differences(found),
        calibrations=_calibrations(found) if task == "thumbnails" else [],
        forward=_forward(found),
        slices=_slices(found),
        headline=found.get("headline"),
    )


@router.get("/comparison/points")
def points(context: Ctx) -> dict[str, Any]:
    """Return the newest videos that the model shown has scored: predicted against actual."""
    videos = browsing.videos(context, limit=POINTS).items
    model = browsing.model_shown(context)
    return {
        "model": None if model is None else f"{model.rung} v{model.version}",
        "points": [
            [v.video_id, v.title, v.channel_title, v.predicted_views_per_day, v.views_per_day]
            for v in videos
            if v.predicted_views_per_day is not None and v.views_per_day is not None
        ],
    }


def _panel(rungs: dict[str, Any], metric: str) -> dict[str, Any] | None:
    known = {
        rung: value[metric]
        for rung, value in rungs.items()
        if isinstance(value.get(metric), dict) and value[metric].get("value") is not None
    }
    if not known:
        return None
    laid, low, high = charts.whiskers(list(known.values()))
    return {
        "title": _TITLES[metric],
        "low": low,
        "high": high,
        "rows": list(zip(known, known.values(), laid, strict=True)),
    }


def _differences(found: dict[str, Any]) -> list[dict[str, Any]]:
    made = found.get("differences", [])
    return [entry for entry in made if isinstance(entry, dict)]


def _calibrations(found: dict[str, Any]) -> list[tuple[str, list[dict[str, float]]]]:
    """Return the bins of the model that the sentence is about and of what it is held against."""
    about = found.get("headline") or {}
    names = [about[side] for side in ("rung", "baseline") if about.get(side) in found["rungs"]]
    return [(name, found["rungs"][name].get("calibration", [])) for name in names]


def _forward(found: dict[str, Any]) -> dict[str, Any] | None:
    """Return what models of the earlier half say of the later one, in the order of the ladder."""
    forward = found.get("forward")
    if forward is None:
        return None
    intervals = forward.get("intervals", {})
    rows = [
        (rung, [(figures.get(m), intervals.get(rung, {}).get(m)) for m in ("r2", "auc")])
        for rung in found["rungs"]
        if (figures := forward["rungs"].get(rung)) is not None
    ]
    return {**{name: forward[name] for name in ("n_earlier", "n_later", "cut")}, "rows": rows}


def _slices(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how much the headline's model adds in each part, laid out on one axis."""
    parts = [part for part in found.get("slices", []) if part["delta_r2"]["value"] is not None]
    laid, low, high = charts.whiskers([part["delta_r2"] for part in parts])
    return [
        {**part, "laid": each, "low": low, "high": high}
        for part, each in zip(parts, laid, strict=True)
    ]
