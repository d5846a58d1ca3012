"""Work items: how many stand where, and those that failed made due again."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from services.api.dependencies import Ctx, Cursor
from services.api.v1.jobs import Failed
from services.paging import Page
from services.work import retries

router = APIRouter(prefix="/work-items", tags=["jobs"])


class ItemCount(BaseModel):
    """How many items of a kind are in a state for a reason; ``oldest`` is the oldest slot."""

    kind: str
    state: str
    reason: str | None
    count: int
    oldest: datetime | None


@router.get("")
def count_items(context: Ctx, after: Cursor = None) -> Page[ItemCount]:
    """Count the work items by kind, state and reason, some 150,000 a page.

    What stands in several pages is to be added up; what changes meanwhile may be in two of them.
    """
    found = retries.item_counts_page(context, after=after)
    return Page([ItemCount(**each) for each in found.items], found.next)


@router.post("/retry")
def retry_items(context: Ctx, which: Failed) -> dict[str, int]:
    """Make those due again that failed, or those of a reason and kind; tells how many."""
    return {"items": retries.retry_items(context, reason=which.reason, kind=which.kind)}
