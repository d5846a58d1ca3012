"""Asking a home that is up, and starting nothing."""

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.context import Context
    from services.embedded.status import Status
    from services.settings import Settings

Found = TypeVar("Found")


def asked(
    settings: "Settings", seen: "Status", question: "Callable[[Context], Found]"
) -> "Found | None":
    """Ask the database of a home; None where it is down or cannot say."""
    from sqlalchemy.exc import SQLAlchemyError

    from services.context import Context
    from services.embedded import lifecycle, postgres, urls
    from services.embedded.home import Home
    from services.errors import TubeGraderError

    home = Home(settings.home)
    running = postgres.running(home) if settings.database_url is None else None
    url = settings.database_url or (running.url if running is not None else None)
    up = {part.name for part in seen.parts if part.state == "up"}
    if url is None or "postgres" not in up:
        return None
    own = {
        "database_url": urls.database_url(url),
        "storage_url": lifecycle.storage_url(home, settings),
    }
    context = Context.of_process(settings.model_copy(update=own))
    try:
        return question(context)
    except (SQLAlchemyError, TubeGraderError):
        return None  # of an earlier version: the next command migrates it
    finally:
        context.close()
