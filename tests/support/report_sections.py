"""What the report's sections on slices, swaps and growth show, made up."""

from typing import Any

import numpy as np

from ml.evaluation.bootstrap import Interval
from ml.thumbnails.evaluation.swaps import ByScore, SwapStudy
from services.learning.thumbnails.growth import Growth, Labelled
from services.learning.thumbnails.swaps import SwapsFound


def _json(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def _part(by: str, name: str, n: int, auc: float | None) -> dict[str, Any]:
    figures = {"auc": auc, "r2": 0.41, "spearman": 0.6, "mae": 0.4}
    return {
        "by": by,
        "name": name,
        "n_videos": n,
        "n_channels": 77,
        "base_rate": 0.31,
        "rungs": {"subscribers": figures, "subscribers+thumbnail": figures},
        "delta_r2": _json(0.012, -0.004, 0.03),
    }


SLICES = [
    _part("subscribers", "under 1,000", 1_234, 0.81),
    _part("subscribers", "1 M", 45, 0.72),
    _part("age", "30 days", 300, 0.9),
    _part("format", "short", 60, 0.85),
    _part("format", "undefined part", 20, None),
]
FORWARD: dict[str, Any] = {
    "cut": "2026-02-03T10:00:00+00:00",
    "n_earlier": 380,
    "n_later": 381,
    "looked": True,
    "rungs": {
        "subscribers": {"auc": 0.912, "r2": 0.61},
        "subscribers+thumbnail": {"auc": 0.92, "r2": None},
    },
    "intervals": {"subscribers": {"auc": _json(0.912, 0.88, 0.94), "r2": _json(0.61, 0.5, 0.7)}},
    "differences": [
        {
            "rung": "subscribers+thumbnail",
            "baseline": "subscribers",
            "delta_auc": _json(0.008, -0.01, 0.02),
            "delta_r2": _json(0.01, -0.02, 0.04),
        }
    ],
}


def swaps_of(**changes: Any) -> SwapsFound:
    """Return swaps that gained a quarter, the more the more their score rose."""
    values: dict[str, Any] = {
        "n_swaps": 64,
        "n_channels": 31,
        "n_controls": 287,
        "unmatched": 3,
        "effect": Interval(0.1, 0.05, 0.15),
        "placebo": Interval(-0.04, -0.07, -0.01),
        "daily": [
            (day, Interval(*((0.1, 0.05, 0.15) if day > 0 else (0.0, -0.04, 0.04))))
            for day in (*range(-7, 0), *range(1, 8))
        ],
        "by_score": ByScore(
            35,
            29,
            Interval(0.18, 0.1, 0.26),
            Interval(0.01, -0.06, 0.08),
            Interval(0.17, 0.07, 0.27),
            Interval(0.9, 0.4, 1.4),
        ),
    }
    return SwapsFound(71, {"noControl": 3, "noCountBefore": 4}, SwapStudy(**(values | changes)))


def growth_of() -> Growth:
    """Return two labels of 3,000 videos."""
    generator = np.random.default_rng(0)
    lifetime = generator.normal(2.2, 1.0, 3_000).clip(0)
    week = (lifetime - 0.9 + generator.normal(0, 0.6, 3_000)).clip(0)
    cut = np.log10(101)
    return Growth(
        n_videos=3_000,
        n_channels=210,
        threshold=100.0,
        week=Labelled(0.17, 21.0, Interval(0.94, 0.93, 0.95), Interval(0.55, 0.5, 0.6)),
        lifetime=Labelled(0.57, 130.0, Interval(0.93, 0.92, 0.94), Interval(0.71, 0.68, 0.74)),
        delta_auc=Interval(0.01, -0.002, 0.022),
        delta_r2=Interval(-0.16, -0.2, -0.12),
        correlation=0.7,
        spearman=0.72,
        fell=int(((lifetime >= cut) & (week < cut)).sum()),
        rose=int(((lifetime < cut) & (week >= cut)).sum()),
        log_week=week,
        log_lifetime=lifetime,
    )
