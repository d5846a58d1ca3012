"""The addresses of the real parts, checked and made ready to use."""

from urllib.parse import urlsplit, urlunsplit

from services.errors import UsageError

_POSTGRES_SCHEMES = ("postgresql+psycopg", "postgresql", "postgres")


def database_url(url: str) -> str:
    """Return a PostgreSQL address for SQLAlchemy with psycopg.

    Raises:
        UsageError: It is not PostgreSQL's.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _POSTGRES_SCHEMES:
        raise UsageError(
            f"TUBEGRADER_DATABASE_URL is not a PostgreSQL address: {redacted(url)}",
            hint="it looks like postgresql://user:password@host:5432/database",
        )
    return f"postgresql+psycopg://{rest}"


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
