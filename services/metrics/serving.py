"""The port at which Prometheus reads what a process, and those of its pool, counted.

Processes of a pool come and go, and each counts into files of a folder that its worker made; the
worker's own process adds them up when it is asked (docs/decisions/0027-metrics.md).
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIServer

from services.errors import UsageError
from services.metrics import recording
from services.metrics.instruments import COUNTED
from services.metrics.recording import Instrument

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

    from services.settings import Settings

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Where the client library counts for several processes; read when it is first imported."""


_PREFIX: Final = "tubegrader-metrics-"


class Served:
    """A port that answers with what was counted."""

    def __init__(self, server: WSGIServer, thread: Thread, folder: Path | None) -> None:
        self._server, self._thread, self._folder = server, thread, folder

    @property
    def port(self) -> int:
        """Where it is."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop answering, and forget what was counted."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def let_go(self) -> None:
        """In a child that was forked: hold the port no longer than its worker does."""
        with suppress(OSError):
            self._server.socket.close()


def serve(
    settings: "Settings",
    collectors: Iterable["Collector"] = (),
    *,
    counted: Sequence[Instrument] = COUNTED,
) -> Served | None:
    """Count, and answer with it where the settings say; None where they say nothing.

    Args:
        settings: With the port and the address.
        collectors: What else to tell.
        counted: What there is to count in this process.

    Raises:
        UsageError: The port is taken, or the address is none of this machine's.
    """
    if settings.metrics_port is None:
        return None
    from prometheus_client import (  # noqa: PLC0415
        CollectorRegistry,
        ProcessCollector,
        disable_created_metrics,
    )

    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    recording.switch_on(counted, registry)
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    return _listen(settings, registry, None)


def prepare_pool(settings: "Settings", place: Callable[[], str]) -> None:
    """In a worker, before its pool begins: have all of its processes count into one folder.

    Args:
        settings: With the port.
        place: Names the process that asks among those of its worker.
    """
    if settings.metrics_port is None:
        return
    _sweep()
    os.environ[FOLDER] = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    count_in_pool(place)


def _sweep() -> None:
    """Remove what workers left that were killed: who starts them again would fill the disk."""
    import psutil  # noqa: PLC0415

    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid, _, _ = left.name.removeprefix(_PREFIX).partition("-")
        # Of this number there is but one, and it has made none yet.
        if pid.isdecimal() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)


def count_in_pool(place: Callable[[], str]) -> None:
    """In a process of a pool: count, if its worker is read by anybody."""
    if FOLDER not in os.environ:
        return
    from prometheus_client import CollectorRegistry, values  # noqa: PLC0415

    # By its place and not its number: who takes the place of one that ended goes on counting where
    # that one was, so that files are as many as processes and nothing that was counted is lost.
    values.ValueClass = values.MultiProcessValue(place)  # type: ignore[no-untyped-call]
    recording.switch_on(COUNTED, CollectorRegistry())


def serve_pool(settings: "Settings") -> Served | None:
    """In a worker: answer with what all processes of its pool counted.

    Raises:
        UsageError: See :func:`serve`.
    """
    if settings.metrics_port is None:
        return None
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    return _listen(settings, registry, Path(os.environ[FOLDER]))


def _listen(settings: "Settings", registry: Any, folder: Path | None) -> Served:
    from prometheus_client import start_http_server  # noqa: PLC0415

    port = settings.metrics_port
    assert port is not None, "asked before"
    try:
        server, thread = start_http_server(port, settings.metrics_address, registry)
    except OSError as error:
        raise UsageError(
            f"metrics cannot be served at {settings.metrics_address}:{port}: {error}",
            reason="metricsPort",
            hint="TUBEGRADER_METRICS_PORT is the first of as many free ports as there are "
            "processes; docs/operations/watching.md has them",
        ) from error
    return Served(server, thread, folder)
