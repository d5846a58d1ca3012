"""Fixtures that many tests share: the recorded data, and a database and store of one's own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from services.context import Context
from services.embedded import Endpoints
from services.settings import Settings
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
    admin = create_engine(endpoints.database_url, isolation_level="AUTOCOMMIT")
    name = f"test_{abs(hash(request.node.nodeid)):x}"
    template = make_url(endpoints.database_url).database
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE {name} TEMPLATE "{template}"'))
    yield make_url(endpoints.database_url).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def context(database_url: str, endpoints: Endpoints, tmp_path: Path) -> Iterator[Context]:
    """A context on an empty database and an empty object store, without YouTube."""
    made = Context(
        Settings(
            home=tmp_path / "home",
            database_url=database_url,
            redis_url=endpoints.redis_url,
            storage_url=(tmp_path / "objects").as_uri(),
        )
    )
    yield made
    made.close()
