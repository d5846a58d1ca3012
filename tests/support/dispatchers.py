"""Dispatchers of one database, as members of this process and as processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.context import Context
from services.embedded import Endpoints
from services.embedded.workers import environment
from services.queue import DISPATCHER
from services.work import fleet


@pytest.fixture
def members(context: Context) -> Iterator[Callable[[], fleet.Member]]:
    made: list[fleet.Member] = []

    def make() -> fleet.Member:
        member = fleet.Member(context, DISPATCHER)
        member.name += f"/{len(made)}"
        made.append(member)
        return member

    yield make
    for member in made:
        member.leave()


@pytest.fixture
def environ(context: Context, endpoints: Endpoints) -> dict[str, str]:
    settings = context.settings.model_copy(update={"redis_url": endpoints.redis_url})
    return {**os.environ, **environment(settings), "TUBEGRADER_LOG_FORMAT": "json"}


def start(environ: dict[str, str], ready: Path) -> "subprocess.Popen[bytes]":
    with ready.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "workers.dispatcher"],
            env={**environ, "TUBEGRADER_READY_FILE": str(ready)},
            stderr=log,
        )
