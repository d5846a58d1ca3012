"""Work items: how many stand where, and those that failed made due again."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from services.api.dependencies import Ctx
from services.api.v1.jobs import Failed
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
def count_items(context: Ctx) -> list[ItemCount]:
    """Count the work items by kind, state and reason; each is counted once."""
    return [ItemCount(**found) for found in retries.item_counts(context)]


@router.post("/retry")
def retry_items(context: Ctx, which: Failed) -> dict[str, int]:
    """Make those due again that failed, or those of a reason and kind; tells how many."""
    return {"items": retries.retry_items(context, reason=which.reason, kind=which.kind)}
