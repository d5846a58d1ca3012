"""Expected against collected."""

from datetime import UTC, date, datetime, timedelta
from threading import BoundedSemaphore
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.api.dependencies import Ctx, Cursor, Limit, place_among
from services.context import Context
from services.crawl import completeness
from services.errors import UsageError
from services.paging import Page

router = APIRouter(prefix="/completeness", tags=["completeness"])
LONGEST: Final = 400
WHOLE_DAYS: Final = 7
CELLS: Final = 1_500
"""Of channel by day, in a page: over many days there are fewer channels."""
_PLACES = BoundedSemaphore(2)
"""Sums at a time: each reads all channels' days."""

Channel = Annotated[str | None, Query(description="Only this one.", max_length=200)]
Since = Annotated[
    date | None, Query(description=f"The first UTC day; {WHOLE_DAYS} days with today by default.")
]


class Total(BaseModel):
    """What was to be collected since a UTC day, and what was; ``share`` is 0 to 1.

    What is overdue is counted up to ``overdue_at``: ``asked_at``, or before where it is very much.
    """

    since: date
    expected: int
    collected: int
    late: int
    share: float | None
    reasons: dict[str, int]
    channels_not_listed: dict[str, int]
    overdue_at: datetime | None
    asked_at: datetime


@router.get("")
def list_completeness(
    context: Ctx,
    channel: Channel = None,
    since: Since = None,
    after: Cursor = None,
    limit: Limit = 50,
) -> Page[dict[str, Any]]:
    """Hold what was collected against what fell due, by channel and day; 400 days at most.

    ``limit`` counts channels; of many days there are fewer of them in a page.
    """
    first, days = _span(context, since)
    most = max(1, min(limit, CELLS // days))
    return completeness.page(context, channel=channel, since=first, after=after, limit=most)


@router.get("/total")
def add_up_completeness(context: Ctx, channel: Channel = None, since: Since = None) -> Total:
    """Add up what was to be collected of all channels, and what was; 400 days at most."""
    first, _ = _span(context, since)
    with place_among(_PLACES, "others"):
        found = completeness.worst(context, channel=channel, since=first, most=1).all
    told = found.as_json() | {"since": first, "asked_at": found.asked_at}
    return Total(**told)


def _span(context: Context, since: date | None) -> tuple[date, int]:
    """Return the first day, and how many there are with today."""
    today = context.clock().astimezone(UTC).date()
    first = since or today - timedelta(days=WHOLE_DAYS - 1)
    days = (today - first).days + 1
    if days > LONGEST:
        raise UsageError(
            f"that is more than {LONGEST} days ago",
            hint="begin later, or ask the view completeness",
            reason="tooLongAgo",
        )
    return first, max(days, 1)
