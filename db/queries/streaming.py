"""Reading many rows a page at a time, so that memory does not grow with what is stored."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, text
from sqlalchemy.orm import Session


def pages(
    session: Session,
    statement: Executable,
    values: Mapping[str, Any] | None = None,
    *,
    size: int,
) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query ``size`` at a time, through a cursor of the server.

    The session stays busy until the last page: nothing slow may be done in between.

    Args:
        session: The unit of work.
        statement: The query; text too. The size is named with each fetch, because the driver
            forgets one that was given with the statement where rows are asked for as mappings.
        values: Of its parameters.
        size: Rows a page, the most that are held at a time.
    """
    # All of it will be read; for a cursor's sake a plan would be chosen that is quick to begin.
    session.execute(text("SET LOCAL cursor_tuple_fraction = 1"))
    result = session.execute(
        statement,
        dict(values or {}),
        execution_options={"stream_results": True, "max_row_buffer": size},
    )
    try:
        yield from result.partitions(size)
    finally:
        result.close()
