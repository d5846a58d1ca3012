"""The offline YouTube in a thread of the test's own process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.emulator.app import create_app
from services.emulator.catalog import Catalog
from services.emulator.server import ListeningServer, address, bind


@dataclass(frozen=True, slots=True)
class RunningEmulator:
    """Where it listens and what it serves."""

    url: str
    catalog: Catalog


@contextmanager
def running_emulator(catalog: Catalog, **options: object) -> Iterator[RunningEmulator]:
    """Serve ``catalog`` on a free port; ``options`` are those of ``create_app``."""
    listening = threading.Event()
    bound = bind("127.0.0.1", 0)
    server = ListeningServer(create_app(catalog, **options), listening.set)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    url = address(bound)
    thread.start()
    try:
        assert listening.wait(30), "the emulator did not start"
        yield RunningEmulator(url, catalog)
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()
        assert not thread.is_alive(), "the emulator did not stop"
