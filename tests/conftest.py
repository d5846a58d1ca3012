"""Fixtures that many tests share: the recorded data, and a database and store of one's own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from services.context import Context
from services.embedded import Endpoints
from tests.support.databases import context_on, own_database
from tests.support.embedded import session_stack

# On a loaded machine a slow example says nothing; the same examples every time say more.
hypothesis_settings.register_profile(
    "tubegrader", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("tubegrader")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded real data beside the checkout; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the recorded data is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> None:
    """Tests see no setting of whoever runs them."""
    for name in list(os.environ):
        if name.startswith("TUBEGRADER_"):
            del os.environ[name]


@pytest.fixture(scope="session")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """A real PostgreSQL (migrated) and Redis for the whole session."""
    with session_stack(tmp_path_factory.mktemp("stack")) as found:
        yield found


@pytest.fixture
def database_url(endpoints: Endpoints, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database of one's own, copied from a template, dropped afterwards."""
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    with own_database(endpoints.database_url, name) as url:
        yield url


@pytest.fixture
def context(database_url: str, endpoints: Endpoints, tmp_path: Path) -> Iterator[Context]:
    """A context on an empty database and an empty object store, without YouTube."""
    made = context_on(database_url, endpoints, tmp_path)
    yield made
    made.close()
