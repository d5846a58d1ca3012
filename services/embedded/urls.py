"""The addresses of the real parts, checked and made ready to use."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from services.errors import UsageError

if TYPE_CHECKING:
    from services.settings import Settings

_POSTGRES_SCHEMES = ("postgresql+psycopg", "postgresql", "postgres")


def database_url(url: str, setting: str = "TUBEGRADER_DATABASE_URL") -> str:
    """Return a PostgreSQL address for SQLAlchemy with psycopg.

    Args:
        url: As somebody wrote it.
        setting: Where.

    Raises:
        UsageError: It is not PostgreSQL's.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _POSTGRES_SCHEMES:
        raise UsageError(
            f"{setting} is not a PostgreSQL address: {redacted(url)}",
            hint="it looks like postgresql://user:password@host:5432/database",
        )
    return f"postgresql+psycopg://{rest}"


def owner_url(settings: "Settings") -> str | None:
    """Return the address of the database's owner; None if no other is set than everybody's.

    Raises:
        UsageError: It is not PostgreSQL's.
    """
    if settings.owner_url is None:
        return None
    return database_url(settings.owner_url.get_secret_value(), "TUBEGRADER_OWNER_URL")


def redis_url(url: str) -> str:
    """Return a Redis address that redis-py and Celery both read.

    Raises:
        UsageError: It is not Redis's.
    """
    if url.partition("://")[0] not in ("redis", "rediss"):
        raise UsageError(
            f"TUBEGRADER_REDIS_URL is not a Redis address: {redacted(url)}",
            hint="it looks like redis://:password@host:6379/0",
        )
    return url


def redacted(url: str) -> str:
    """Return an address without its password, for people's eyes."""
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None
    except ValueError:
        return "(not an address)"
    if not has_password:
        return url
    user_part, _, host = parts.netloc.rpartition("@")
    user = user_part.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))
