"""A client of the pages and the HTTP API, on a context, without a process in between."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi.testclient import TestClient

from services.api.app import create_app
from services.context import Context
from tests.support.cli import settings_of

HOST = "http://127.0.0.1:8765"
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None"
"""Said before the api begins: whoever imports torch in it fails."""


def bearer(token: str) -> dict[str, str]:
    """The header by which a token is shown."""
    return {"Authorization": f"Bearer {token}"}


@contextmanager
def client_of(context: Context, *, base_url: str = HOST) -> Iterator[TestClient]:
    app = create_app(context, remembered_s=0)
    with TestClient(
        app, base_url=base_url, raise_server_exceptions=False, follow_redirects=False
    ) as client:
        yield client


@contextmanager
def with_settings(context: Context, **changes: object) -> Iterator[Context]:
    """A context of its own on the same database, with other settings."""
    made = Context(context.settings.model_copy(update=changes), context.clock)
    yield made
    made.close()


def environment(context: Context, **more: str) -> dict[str, str]:
    """What a process of a context's is started with."""
    return {**os.environ, **settings_of(context), "TUBEGRADER_API_PORT": "0", **more}


@contextmanager
def api_process(
    context: Context, folder: Path, *, first: str = "", **more: str
) -> Iterator[tuple[str, int]]:
    """The api as a process of its own, without torch; gives its address and pid.

    Args:
        context: Whose database it serves.
        folder: For the file that says where it listens.
        first: Python that it runs before, such as another patience.
        more: Of its environment.
    """
    ready = folder / "ready"
    script = f"""
{WITHOUT_TORCH}
from services.api import __main__ as api
{first}
sys.exit(api.main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment(context, TUBEGRADER_READY_FILE=str(ready), **more),
    )
    try:
        given_up = time.monotonic() + 120
        while not ready.exists() or not ready.read_text():
            assert process.poll() is None
            assert time.monotonic() < given_up
            time.sleep(0.05)
        yield ready.read_text(), process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
