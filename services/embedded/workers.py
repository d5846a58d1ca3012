"""The worker processes of one machine: which they are, and the supervisor that runs them."""

import hashlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from services.embedded.home import Home
from services.embedded.identity import ProcessId
from services.embedded.launch import launch
from services.embedded.logs import log_size, tail
from services.embedded.processes import MARK, READY_FILE, ProcessSpec, ProcessState, stop_orphans
from services.errors import TransientError, UsageError
from services.queue import DISPATCHER, QUEUES

if TYPE_CHECKING:
    from services.embedded.endpoints import Endpoints
    from services.settings import Settings

SUPERVISOR = "supervisor"
API = "api"

_READY_S = 120.0
_LAUNCHES = 3
_POLL_S = 0.05
# The supervisor gives its processes their grace first.
_STOP_S = 40.0
# Two commands may differ in these and still share their workers.
_OWN_AFFAIR = {"home", "owner_url", "log_format", "log_level"}


def process_specs(settings: "Settings", endpoints: "Endpoints") -> list[ProcessSpec]:
    """Return the worker of each queue, the dispatcher and, where it is installed, the api."""
    as_api = {
        **environment(settings),
        "TUBEGRADER_DATABASE_URL": endpoints.database_url,
        "TUBEGRADER_REDIS_URL": endpoints.redis_url,
        "TUBEGRADER_STORAGE_URL": endpoints.storage_url,
        # They change rows, not the schema; empty hides the supervisor's.
        "TUBEGRADER_OWNER_URL": "",
    }
    # Only the api needs to know who may do everything there.
    env = as_api | {"TUBEGRADER_API_ADMIN_TOKEN": ""}
    celery = (sys.executable, "-m", "services.embedded.celery_process", "-A", "workers.app")
    log_level = ("--loglevel", settings.log_level)
    specs = []
    for name, queue in QUEUES.items():
        argv = [*celery, "worker", "-Q", name, "-n", f"{name}@%h", *log_level]
        argv += ["-c", str(queue.processes), "--without-gossip", "--without-mingle"]
        if queue.spawns:
            argv += ["--pool-start-method", "spawn"]
        specs.append(ProcessSpec(name, argv, env))
    modules = {DISPATCHER: "workers.dispatcher"} | ({API: "services.api"} if has_api() else {})
    ours = [
        ProcessSpec(n, (sys.executable, "-m", m), as_api if n == API else env)
        for n, m in modules.items()
    ]
    return [_read_by_prometheus(spec, settings) for spec in (*specs, *ours)]


def metrics_ports(settings: "Settings") -> dict[str, int]:
    """Return at which port Prometheus reads each process of a home; none where it is off."""
    first = settings.metrics_port
    return {} if first is None else {name: first + i for i, name in enumerate(names())}


def _read_by_prometheus(spec: ProcessSpec, settings: "Settings") -> ProcessSpec:
    """Give a process a port of its own: all of a home have one address."""
    port = metrics_ports(settings).get(spec.name)
    own = {} if port is None else {"TUBEGRADER_METRICS_PORT": str(port)}
    return replace(spec, env={**spec.env, **own})


def names() -> list[str]:
    """Return the worker of each queue, the dispatcher, and the api where it is installed."""
    return [*QUEUES, DISPATCHER, *([API] if has_api() else [])]


def has_api() -> bool:
    """Tell whether what pages and the HTTP API need is installed."""
    return all(map(importlib.util.find_spec, ("fastapi", "uvicorn", "python_multipart")))


def api_url(home: Home) -> str | None:
    """Return where a home's pages are, None while nothing serves them."""
    with suppress(OSError):
        return (home.ready / API).read_text() or None
    return None


def environment(settings: "Settings") -> dict[str, str]:
    """Return the environment variables from which another process reads the same settings."""
    from pydantic import SecretStr

    found = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None:
            shown = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            found[f"TUBEGRADER_{name.upper()}"] = shown
    return found


def fingerprint(settings: "Settings") -> dict[str, str]:
    """Return a hash of each setting that decides what the workers do, secrets unreadable."""
    return {
        name: hashlib.sha256(value.encode()).hexdigest()[:16]
        for name, value in environment(settings).items()
        if name.removeprefix("TUBEGRADER_").lower() not in _OWN_AFFAIR
    }


def supervisor(home: Home) -> ProcessId | None:
    """Return the home's supervisor if it runs."""
    process = ProcessId.from_json(home.read_state(SUPERVISOR).get("process"))
    return process if process is not None and process.alive() else None


def ensure(
    home: Home,
    settings: "Settings",
    *,
    progress: Callable[[str], None] | None = None,
) -> ProcessId:
    """Have a supervisor and wait until every one of its processes is ready.

    Args:
        home: Where to run; its servers are up and held by the caller.
        settings: What the workers are to use.
        progress: Is told, in a few words, what is being waited for.

    Returns:
        The supervisor.

    Raises:
        UsageError: A supervisor runs with other settings.
        TransientError: A process keeps dying, or is not ready in time; the message has the last
            lines of its log.
    """
    deadline = time.monotonic() + _READY_S
    log = home.log(SUPERVISOR)
    since = log_size(log)
    launched: ProcessId | None = None
    launches = 0
    reported = ""
    while time.monotonic() < deadline:
        record = home.read_state(SUPERVISOR)
        process = supervisor(home)
        if process is not None and record.get("phase") == "running":
            _check_settings(home, settings, record)
            waiting = ", ".join(_not_ready(record))
            if not waiting:
                return process
            if progress is not None and waiting != reported:
                progress(f"waiting for {waiting}")
            reported = waiting
        elif process is None and (launched is None or not launched.alive()):
            if launches == _LAUNCHES:
                break
            stop_orphans(home, record.get("processes", {}))
            launched = _launch(home, settings)
            launches += 1
        time.sleep(_POLL_S)
    raise TransientError(
        f"the worker processes did not become ready\n{tail(log, since=since)}".rstrip(),
        reason="workersNotReady",
        hint=f"their logs are in {home.logs}",
    )


def stop(home: Home) -> None:
    """Stop the supervisor and its processes, also those that a killed one left behind."""
    process = supervisor(home)
    if process is not None:
        process.stop(signal.SIGTERM, _STOP_S)
    record = home.read_state(SUPERVISOR)
    if record:
        stop_orphans(home, record.get("processes", {}))
        home.drop_state(SUPERVISOR)


def _launch(home: Home, settings: "Settings") -> ProcessId | None:
    names = {f"TUBEGRADER_{name.upper()}" for name in type(settings).model_fields}
    ours = names | {f"{name}_FILE" for name in names}
    inherited = {n: v for n, v in os.environ.items() if n not in ours | {MARK, READY_FILE}}
    # -P: a stray file in the working folder must not be imported.
    argv = [
        sys.executable,
        "-P",
        "-m",
        "services.embedded.supervise",
    ]
    env = {**inherited, **environment(settings)}
    return launch(argv, log=home.log(SUPERVISOR), cwd=home.run, env=env)


def _check_settings(home: Home, settings: "Settings", record: Mapping[str, Any]) -> None:
    theirs, ours = record.get("settings", {}), fingerprint(settings)
    different = sorted(n for n in {*theirs, *ours} if theirs.get(n) != ours.get(n))
    if different:
        raise UsageError(
            f"the workers of {home.path} run with another {', '.join(different)}",
            hint=f"stop them first: tubegrader --home {home.path} down",
        )


def _not_ready(record: Mapping[str, Any]) -> list[str]:
    processes = record.get("processes", {})
    for name, entry in processes.items():
        # Without pages everything else works; `status` shows what became of them.
        if entry["state"] == ProcessState.FAILED and name != API:
            raise TransientError(
                f"a worker process keeps dying\n{entry['message']}",
                reason="workerDies",
                hint="tubegrader doctor checks what it needs",
            )
    done = {API: (ProcessState.UP, ProcessState.FAILED)}
    return [
        name
        for name, entry in processes.items()
        if entry["state"] not in done.get(name, (ProcessState.UP,))
    ]
