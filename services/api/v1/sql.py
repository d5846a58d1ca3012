"""Asking the database, as the analyst."""

import math
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from services.api.dependencies import Body, Ctx, place_among
from services.querying import first_rows

router = APIRouter(tags=["sql"])
MOST_ROWS = 5_000
MOST_BYTES = 16_000_000
_PLACES = BoundedSemaphore(4)
"""Questions at a time: each may take a minute, and others want to be answered meanwhile."""


class Question(Body):
    """A reading statement."""

    query: str = Field(
        min_length=1,
        max_length=20_000,
        examples=["SELECT rung, count(*) FROM scored_videos GROUP BY rung"],
    )


@dataclass(frozen=True)
class Answer:
    """What a statement gave: at most ``MOST_ROWS`` rows; ``cut`` tells whether there are more."""

    columns: list[str]
    rows: list[list[Any]]
    cut: bool


@router.post("/sql")
def ask(context: Ctx, question: Question) -> Answer:
    """Ask the views and tables as the role that may only read."""
    with place_among(_PLACES, "other questions"):
        columns, rows, cut = first_rows(
            context, question.query, most=MOST_ROWS, most_bytes=MOST_BYTES
        )
    return Answer(columns, [[_plain(value) for value in row] for row in rows], cut)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; a number that is none there as text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
