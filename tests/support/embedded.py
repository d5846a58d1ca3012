"""PostgreSQL and Redis for a whole test session."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services import embedded
from services.settings import Settings


@contextmanager
def session_stack(tmp: Path, *, durable: bool = False) -> Iterator[embedded.Endpoints]:
    """Run PostgreSQL (migrated) and Redis in ``tmp/home`` while the block runs.

    Args:
        tmp: An empty folder.
        durable: True keeps fsync on; tests that pull no plug are faster without.
    """
    # Given here, an address of None wins over one in the environment.
    settings = Settings(home=tmp / "home", database_url=None, redis_url=None, storage_url=None)
    with embedded.stack(settings, role="tests", durable=durable) as endpoints:
        yield endpoints
