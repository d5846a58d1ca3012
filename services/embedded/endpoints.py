"""Where the parts of a running stack are."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.settings import Settings


@dataclass(frozen=True)
class Endpoints:
    """Where the parts are: addresses for SQLAlchemy, for redis-py and Celery, for the store."""

    database_url: str
    redis_url: str
    storage_url: str

    def applied_to(self, settings: "Settings") -> "Settings":
        """Return the settings with these addresses instead of theirs."""
        return settings.model_copy(update=asdict(self))
