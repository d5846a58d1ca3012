"""What models hear in clips, for front doors."""

from typing import Any

from db.queries.speech import results
from services.context import Context
from services.paging import Page, cursor, position


def page(context: Context, *, after: str | None = None, limit: int = 50) -> Page[dict[str, Any]]:
    """Return what the models in use say of some clips, one entry for each clip and model.

    Args:
        context: Where.
        after: ``next`` of the page before.
        limit: Clips, at most.

    Raises:
        UsageError: ``after`` is none of ours.
    """
    last = 0 if after is None else position(after, str, clip_id)[1]
    with context.transaction() as session:
        rows, more = results.page(session, after=last, limit=limit)
    return Page(rows, None if more is None else cursor(("clip", more)))


def clip_id(value: object) -> int:
    """Return a clip's id of a cursor.

    Raises:
        ValueError: It is none.
    """
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("it is no id")
    return value
