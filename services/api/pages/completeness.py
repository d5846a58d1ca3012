"""Expected against collected, as a heat map of channel by day."""

from datetime import UTC, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.api import charts
from services.api.dependencies import Ctx
from services.api.rendering import page
from services.crawl.completeness import worst

router = APIRouter()
SHOWN = 100
"""Channels in the map; of the others it says how many there are."""
CELLS = 1_500
"""Of the map, of channel by day: over many days there are fewer channels."""


@router.get("/completeness")
def show_completeness(
    request: Request, context: Ctx, days: int = 7, channel: str | None = None
) -> HTMLResponse:
    """Show what was collected of what fell due, the worst channels first."""
    days = max(1, min(days, 60))
    since = (context.clock() - timedelta(days=days - 1)).astimezone(UTC).date()
    of = worst(context, channel=channel or None, since=since, most=min(SHOWN, CELLS // days))
    found = of.all
    names: dict[str, str] = {}
    cells: dict[str, dict[Any, dict[str, Any]]] = {}
    for entry in found.days:
        channel_id = entry["channel_id"]
        names[channel_id] = entry["handle"] or entry["channel_title"] or channel_id
        cell = cells.setdefault(channel_id, {}).setdefault(
            str(entry["day"]), {"expected": 0, "collected": 0, "reasons": {}}
        )
        cell["expected"] += entry["expected"]
        cell["collected"] += entry["collected"]
        for reason, n in entry["reasons"].items():
            cell["reasons"][reason] = cell["reasons"].get(reason, 0) + n
    for of_channel in cells.values():
        for cell in of_channel.values():
            share = cell["collected"] / cell["expected"] if cell["expected"] else None
            cell["level"] = charts.level(share)
    missing = {
        c: sum(cell["expected"] - cell["collected"] for cell in of.values())
        for c, of in cells.items()
    }
    shown = sorted(cells, key=lambda c: (-missing[c], names[c]))
    return page(
        "completeness.html",
        request,
        found=found,
        days=sorted({str(entry["day"]) for entry in found.days}),
        rows=[(c, names[c], cells[c]) for c in shown],
        more=max(of.channels - len(shown), 0),
        n_days=days,
    )
