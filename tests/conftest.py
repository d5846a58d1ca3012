"""Fixtures that many tests share: the recorded data, and a database and store of one's own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from services.context import Context
from services.embedded import Endpoints
from tests.support.databases import context_on, own_database
from tests.support.embedded import fast_folder, session_stack

# On a loaded machine a slow example says nothing; the same examples every time say more.
hypothesis_settings.register_profile(
    "tubegrader", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("tubegrader")

# The suite runs as many tests at once as there are cores. Threads of one matrix product would wait
# in busy loops for cores that other tests have; workers of xdist and programs inherit this.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHARED_DATA = SHARED / "data"
SHARED_CASES = SHARED / "cases"


LONGEST_FIRST = ("learning", "faults", "integration", "browser", "unit")
"""The folders of tests, by how long one of their files takes."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, in random order otherwise: the workers then end together."""
    items.sort(key=_how_short)


def _how_short(item: pytest.Item) -> tuple[float, int]:
    allowed = item.get_closest_marker("timeout")
    room = item.path.relative_to(Path(__file__).parent).parts[0]
    return -float(allowed.args[0] if allowed else 300), (*LONGEST_FIRST, room).index(room)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded real data beside the checkout; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the recorded data is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of small inputs that once went wrong, beside the checkout; skips where absent."""
    if not SHARED_CASES.is_dir():
        pytest.skip(f"the collected cases are not at {SHARED_CASES}")
    return SHARED_CASES


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> None:
    """Tests see no setting of whoever runs them."""
    for name in list(os.environ):
        if name.startswith("TUBEGRADER_"):
            del os.environ[name]


@pytest.fixture(scope="session")
def endpoints() -> Iterator[Endpoints]:
    """A real PostgreSQL (migrated) and Redis for the whole session."""
    # Most tests copy a database, six hundred files: a sixth of the work where no disk is asked.
    with (
        tempfile.TemporaryDirectory(prefix="tubegrader-test-", dir=fast_folder()) as folder,
        session_stack(Path(folder)) as found,
    ):
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
