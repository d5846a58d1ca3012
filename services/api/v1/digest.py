"""The digest of the last day."""

from datetime import date, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from services.api.dependencies import Ctx
from services.digest import digest

router = APIRouter(tags=["system"])


class Told(BaseModel):
    """What came of a day and its nights, also in a sentence and as the body of a message."""

    since: datetime
    until: datetime
    day: date
    expected: int
    collected: int
    late: int
    missing: dict[str, int]
    nights: list[dict[str, Any]]
    look_at: list[dict[str, str]]
    sentence: str
    text: str


@router.get("/digest")
def show_digest(context: Ctx) -> Told:
    """Tell what came of the day up to now, and what to look at."""
    found = digest(context)
    return Told(**found.as_json(), text=found.as_text())
