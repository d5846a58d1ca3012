"""Lists page by page: where one ended is what the next begins after."""

import base64
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from services.errors import UsageError

Shown = TypeVar("Shown")
First = TypeVar("First")
Second = TypeVar("Second")


@dataclass(frozen=True)
class Page(Generic[Shown]):
    """Some of a list.

    Attributes:
        items: In the order that was asked for.
        next: What to give as ``after`` to go on; None: these are the last.
    """

    items: list[Shown]
    next: str | None


def page_of(
    found: Sequence[Shown], limit: int, key: Callable[[Shown], tuple[Any, ...]]
) -> Page[Shown]:
    """Return what was asked for of one row more than that."""
    shown = list(found[:limit])
    return Page(shown, cursor(key(shown[-1])) if len(found) > limit else None)


def cursor(key: tuple[Any, ...]) -> str:
    """Return where a page ends, as its reader gives it back."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def moment(text: str) -> datetime:
    """Return a moment of a cursor, in UTC.

    Raises:
        ValueError: It is none.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("it has no time zone")
    return found


def position(
    cursor: str, first: Callable[[Any], First], second: Callable[[Any], Second]
) -> tuple[First, Second]:
    """Return what a page ended with.

    Raises:
        UsageError: The cursor is none of ours.
    """
    padded = cursor + "=" * (-len(cursor) % 4)
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        one, two = json.loads(base64.urlsafe_b64decode(padded.encode()))
        texts = [part for part in (one, two) if isinstance(part, str)]
        # Half a character can be written in JSON and not in the database.
        if not any(b"\0" in part.encode() for part in texts):
            return first(one), second(two)
    raise UsageError(
        "that is not where a page ended",
        reason="badCursor",
        hint="give back `next` of the page before as it was, or begin without it",
    )
