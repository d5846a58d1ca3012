"""PostgreSQL and Redis from wheels for tests, and homes to start and break them in."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil
import psycopg
import pytest

from services import embedded
from services.embedded.home import Home
from services.embedded.identity import ProcessId
from services.settings import Settings

HOLD = """
import json, sys
from pathlib import Path
from services import embedded
from services.settings import Settings
with embedded.stack(Settings(home=Path(sys.argv[1])), durable=False) as endpoints:
    print(json.dumps(vars(endpoints)), flush=True)
    sys.stdin.readline()
"""
"""A program that has a stack running until a line comes."""


@contextmanager
def session_stack(tmp: Path, *, durable: bool = False) -> Iterator[embedded.Endpoints]:
    """Run PostgreSQL (migrated) and Redis in ``tmp/home`` while the block runs.

    Args:
        tmp: An empty folder.
        durable: True keeps fsync on; tests that pull no plug are faster without.
    """
    with embedded.stack(settings_for(tmp / "home"), role="tests", durable=durable) as endpoints:
        yield endpoints


def settings_for(home: Path, **changes: str | None) -> Settings:
    """Settings of a home with all its own parts, whatever the environment says."""
    parts = {"database_url": None, "redis_url": None, "storage_url": None, **changes}
    return Settings(home=home, **parts)


def fast_stack(home: Path) -> AbstractContextManager[embedded.Endpoints]:
    """The stack of a home without waiting for the disk; nobody pulls the plug in a test."""
    return embedded.stack(settings_for(home), durable=False)


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was started and stopped once, to be copied: making a cluster takes seconds."""
    # A fixture that several modules import is made once for each: this looks for the first one's.
    path = tmp_path_factory.getbasetemp() / "made-home"
    if not path.exists():
        with fast_stack(path):
            pass
    return path


@pytest.fixture
def home(made_home: Path) -> Iterator[Path]:
    """A home of its own for one test, with an empty migrated database, not running."""
    with tempfile.TemporaryDirectory(prefix="tubegrader-test-", dir=fast_folder()) as folder:
        path = copy_home(made_home, Path(folder) / "home")
        yield path
        assert leftovers(path) == []


def fast_folder() -> str | None:
    """A folder in memory if it is roomy: tests copy clusters and databases by the hundred."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 * 2**30
    return str(memory) if roomy else None


def copy_home(made: Path, to: Path) -> Path:
    """Copy a home that does not run; owners are kept (as root, PostgreSQL's files have another)."""
    to.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", made, to], check=True)
    shutil.rmtree(to / "run")
    return to


def leftovers(home: Path) -> list[str]:
    """Processes that work in a home or were supervised in it."""
    found = []
    for process in psutil.process_iter():
        try:
            working_in = Path(process.cwd())
            marked = process.environ().get("TUBEGRADER_SUPERVISED", "").startswith(f"{home}/")
            if process.pid != os.getpid() and (marked or working_in.is_relative_to(home)):
                found.append(f"{process.pid} {process.cmdline()}")
        except (psutil.Error, OSError):  # not ours to see, or it ended while we looked
            continue
    return found


def kill_leftovers(home: Path) -> None:
    """Kill what runs in a home, as a crash or a failed test leaves it."""
    while found := leftovers(home):
        for entry in found:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(int(entry.split()[0])).kill()


def execute(endpoints: embedded.Endpoints, statement: str) -> list[tuple[object, ...]]:
    """Run one statement as the owner and return its rows, if it has any."""
    address = (endpoints.owner_url or endpoints.database_url).replace("+psycopg", "", 1)
    with psycopg.connect(address, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def recorded(home: Path, name: str) -> ProcessId:
    """The process that a home records for a server or its supervisor."""
    process = ProcessId.from_json(Home(home).read_state(name)["process"])
    assert process is not None
    return process


def supervised(home: Path, name: str) -> ProcessId | None:
    """The process that the home's supervisor records under a name."""
    entries = Home(home).read_state("supervisor").get("processes", {})
    return ProcessId.from_json(entries.get(name, {}).get("process"))


def wait_until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait for something that another process will do."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


class Python:
    """A Python program in another process that reports by lines of JSON."""

    def __init__(self, code: str, *arguments: str | Path, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def next_report(self) -> object:
        """The next thing it reports."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the program ended without a word"
        return json.loads(line)

    def finish(self) -> int:
        """Let it go on to its end; return its exit code."""
        self.process.communicate("\n", timeout=60)
        return self.process.returncode
