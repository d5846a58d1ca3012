"""Expected against collected."""

from datetime import timedelta
from threading import BoundedSemaphore
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from services.api.dependencies import Ctx, place_among
from services.crawl.completeness import report
from services.errors import UsageError

router = APIRouter(tags=["completeness"])
LONGEST: Final = timedelta(days=400)
_PLACES = BoundedSemaphore(2)
"""Answers at a time: each holds all channels' days."""


@router.get("/completeness")
def show_completeness(
    context: Ctx,
    channel: Annotated[str | None, Query(description="Only this one.", max_length=200)] = None,
    since: Annotated[AwareDatetime | None, Query(description="A week ago by default.")] = None,
) -> dict[str, Any]:
    """Hold what was collected against what fell due, by channel and day; 400 days at most."""
    if since is not None and since < context.clock() - LONGEST:
        raise UsageError(
            f"that is more than {LONGEST.days} days ago",
            hint="begin later, or ask the view completeness",
            reason="tooLongAgo",
        )
    with place_among(_PLACES, "others"):
        return report(context, channel=channel, since=since).as_json()
