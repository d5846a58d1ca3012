"""Where the parts of a running stack are."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.settings import Settings


@dataclass(frozen=True)
class Endpoints:
    """Where the parts are: addresses for SQLAlchemy, for redis-py and Celery, for the store."""

    database_url: str
    redis_url: str
    storage_url: str
    owner_url: str | None = None
    """The database as its owner; None: as ``database_url``."""

    def applied_to(self, settings: "Settings") -> "Settings":
        """Return the settings with these addresses instead of theirs."""
        from pydantic import SecretStr

        changes: dict[str, Any] = {
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "storage_url": self.storage_url,
        }
        if self.owner_url is not None:
            changes["owner_url"] = SecretStr(self.owner_url)
        return settings.model_copy(update=changes)
