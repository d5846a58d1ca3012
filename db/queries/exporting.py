"""Views in bulk: their columns, and all of their rows a page at a time."""

from collections.abc import Generator, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.streaming import pages
from db.views import CURRENT


def columns(session: Session, view: str) -> list[tuple[str, str]]:
    """Return the columns of a view, each with PostgreSQL's name of its type, such as ``bigint``."""
    found = session.execute(
        text(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
            "WHERE attrelid = to_regclass(:view) AND attnum > 0 AND NOT attisdropped "
            "ORDER BY attnum"
        ),
        {"view": view},
    )
    return [(name, kind) for name, kind in found]


def rows(session: Session, view: str, *, size: int) -> Generator[Sequence[Any], None, None]:
    """Yield the rows of one of our views ``size`` at a time, in no order."""
    if view not in CURRENT:
        raise ValueError(view)
    yield from pages(session, text(f"SELECT * FROM {view}"), size=size)
