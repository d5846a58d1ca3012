#!/usr/bin/env python
"""Check the structure of docker-compose.yml: what can be told without Docker.

Names that refer to nothing, conditions that can never be met, times that are none, variables
that are written wrong. Prints what is wrong, one line each.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

SERVICE_KEYS = frozenset(
    [
        "build",
        "cap_add",
        "cap_drop",
        "command",
        "container_name",
        "depends_on",
        "deploy",
        "entrypoint",
        "environment",
        "healthcheck",
        "image",
        "init",
        "logging",
        "network_mode",
        "networks",
        "ports",
        "profiles",
        "read_only",
        "restart",
        "security_opt",
        "shm_size",
        "stop_grace_period",
        "tmpfs",
        "user",
        "volumes",
    ]
)
"""The keys in use; add one here when a service first needs it."""

CONDITIONS = frozenset(
    ("service_started", "service_healthy", "service_completed_successfully"),
)
_DURATION = re.compile(r"(\d+h)?(\d+m)?(\d+s)?")
_VARIABLE = re.compile(r"\$(?:\$|\{[A-Z][A-Z0-9_]*(?::[-?+][^${}]*)?\})")
_TARGET = re.compile(r"^FROM \S+ AS (\S+)$", re.MULTILINE)


def main() -> int:
    """Check the repository's file; return 0 if nothing is wrong, else 1."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    found = list(problems(compose))
    for problem in found:
        print(f"docker-compose.yml: {problem}", file=sys.stderr)
    if not found:
        print(f"docker-compose.yml: structure of {len(compose['services'])} services checked")
    return 1 if found else 0


def problems(compose: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a parsed file, in words."""
    for key in compose:
        if key not in ("name", "services", "networks", "volumes") and not key.startswith("x-"):
            yield f"nothing is known of the section {key}"
    services: dict[str, dict[str, Any]] = compose["services"]
    for name, service in services.items():
        for problem in (
            *_shape(service),
            *_dependencies(service, services),
            *_references(service, compose),
        ):
            yield f"{name}: {problem}"
    for name in services:
        if name in _reachable(name, services):
            yield f"{name}: waits for itself"
    for text in _texts(compose):
        rest = text
        while (shorter := _VARIABLE.sub("", rest)) != rest:  # from the innermost outwards
            rest = shorter
        if "$" in rest:
            yield f"a $ that is neither ${{NAME}} nor $$: {text.strip()[:60]}"


def _shape(service: dict[str, Any]) -> Iterator[str]:
    for key in service.keys() - SERVICE_KEYS:
        yield f"nothing is known of {key}"
    if "image" not in service and "build" not in service:
        yield "has neither image nor build"
    build = service.get("build")
    if build is not None:
        dockerfile = ROOT / build["context"] / build["dockerfile"]
        if build["target"] not in _TARGET.findall(dockerfile.read_text(encoding="utf-8")):
            yield f"{build['dockerfile']} has no target {build['target']}"
    health = service.get("healthcheck", {})
    times = [health[k] for k in ("interval", "timeout", "start_period") if k in health]
    for time in (
        *times,
        *([service["stop_grace_period"]] if "stop_grace_period" in service else ()),
    ):
        if not time or not _DURATION.fullmatch(str(time)):
            yield f"{time} is no time such as 90s or 2m"


def _dependencies(service: dict[str, Any], services: dict[str, dict[str, Any]]) -> Iterator[str]:
    for needed, how in service.get("depends_on", {}).items():
        condition = how.get("condition")
        if needed not in services:
            yield f"depends on {needed}, which is no service"
        elif condition not in CONDITIONS:
            yield f"there is no condition {condition}"
        elif condition == "service_healthy" and "test" not in services[needed].get(
            "healthcheck", {}
        ):
            yield f"waits for the health of {needed}, which has no check"
        elif condition == "service_completed_successfully" and services[needed].get(
            "restart", "no"
        ) in ("always", "unless-stopped"):
            yield f"waits for the end of {needed}, which is always started again"


def _references(service: dict[str, Any], compose: dict[str, Any]) -> Iterator[str]:
    for network in service.get("networks", ()):
        if network not in compose["networks"]:
            yield f"there is no network {network}"
    for volume in service.get("volumes", ()):
        source = volume.partition(":")[0]
        if not source.startswith((".", "/")) and source not in compose["volumes"]:
            yield f"there is no volume {source}"


def _reachable(name: str, services: dict[str, dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    to_do = [name]
    while to_do:
        needed = set(services.get(to_do.pop(), {}).get("depends_on", ())) - found
        found |= needed
        to_do += needed
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for entry in value.values():
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, str):
        yield value


if __name__ == "__main__":
    sys.exit(main())
