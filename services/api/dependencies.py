"""What routes are given: the context that the process opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict

from services.api.access import Caller
from services.context import Context
from services.errors import BusyError


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


Ctx = Annotated[Context, Depends(_context)]
WhoAsks = Annotated[Caller, Depends(_caller)]
Limit = Annotated[int, Query(ge=1, le=500, description="The most to return.")]
Cursor = Annotated[
    str | None, Query(description="Where the last page ended: its ``next``.", max_length=500)
]


class Body(BaseModel):
    """What a request's body may hold; what is misspelt is refused instead of passed over."""

    model_config = ConfigDict(extra="forbid")


@contextmanager
def place_among(places: BoundedSemaphore, others: str) -> Iterator[None]:
    """Have one of so many places while the block runs.

    Raises:
        BusyError: All are taken.
    """
    if not places.acquire(blocking=False):
        raise BusyError(f"{others} are being answered", reason="busy", hint="try again soon")
    try:
        yield
    finally:
        places.release()
