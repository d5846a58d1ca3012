"""On what something was measured: written beside it, since figures without that say nothing."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ml.runtime.pools import cores
from services.embedded import postgres

_PACKAGES = ("torch", "onnxruntime", "numpy", "psycopg", "sqlalchemy")


def record() -> dict[str, Any]:
    """Return cores, processor, memory, versions and how many processes waited for a core."""
    return {
        "cores": cores(),
        "processor": _named("/proc/cpuinfo", "model name") or platform.processor(),
        "memory_gb": round(int((_named("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 1e6),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": _postgresql(),
        **{name: _version(name) for name in _PACKAGES},
        "load": round(os.getloadavg()[0], 1),
    }


def in_words(machine: dict[str, Any]) -> str:
    """Return the record in a line."""
    names = {"postgresql": "PostgreSQL", "python": "Python", "sqlalchemy": "SQLAlchemy"}
    versions = ", ".join(
        f"{names.get(name, name)} {machine[name]}"
        for name in ("python", "postgresql", *_PACKAGES)
        if machine.get(name)
    )
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB, "
        f"{machine['system']}; {versions}"
    )


def _named(path: str, name: str) -> str | None:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except OSError:
        return None
    found = [line.partition(":")[2].strip() for line in lines if line.startswith(name)]
    return found[0] if found else None


def _postgresql() -> str:
    """Return the version of the embedded server, which benchmarks run."""
    program = postgres.programs() / "bin" / "postgres"
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return said.split()[2]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
