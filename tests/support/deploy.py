"""The files of a deployment, read once, and what Compose makes of them."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from services.embedded.lifecycle import Endpoints
from services.embedded.processes import ProcessSpec
from services.embedded.workers import process_specs
from services.queue import QUEUES
from services.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
INSTALL = (ROOT / "docs/operations/install.md").read_text()
ENV_EXAMPLE = (ROOT / "deploy/.env.example").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = {name: f"worker-{name}" for name in QUEUES}
ONCE = {"objects-owner", "bucket", "migrate", "cli"}
LASTING = sorted(SERVICES.keys() - ONCE)
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)

_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z][A-Z0-9_]*)(?::([-?+])([^${}]*))?\}")


def interpolated(text: str, values: dict[str, str]) -> str:
    """Do what Compose does with variables, nested defaults included."""

    def value(match: re.Match[str]) -> str:
        name, how, otherwise = match.groups()
        if how == "+":
            return (otherwise or "") if values.get(name) else ""
        if values.get(name):
            return values[name]
        if how == "?":
            raise KeyError(name)
        return otherwise or ""

    while (shorter := _VARIABLE.sub(value, text)) != text:
        text = shorter
    return text.replace("$$", "$")


def variables() -> set[str]:
    """Every variable that the file reads, by interpolation or by handing it on."""
    read = set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", COMPOSE_FILE.read_text()))
    handed_on = {n for s in SERVICES.values() for n, v in s.get("environment", {}).items() if not v}
    return read | handed_on


def seconds(time: str) -> int:
    """Read a time such as 2m."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([hms])", time))


def load(path: Path) -> ModuleType:
    """Import a script by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def specs() -> dict[str, ProcessSpec]:
    """Return the processes of the embedded stack, by name."""
    endpoints = Endpoints("postgresql+psycopg://x", "redis://x", "s3://x")
    return {spec.name: spec for spec in process_specs(Settings(log_level="INFO"), endpoints)}


def stage(target: str) -> str:
    """Return the part of the Dockerfile that makes an image."""
    return DOCKERFILE.partition(f"FROM runtime AS {target}\n")[2].partition("\nFROM ")[0]
