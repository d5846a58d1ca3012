"""The command line as a user runs it: another process, its exit code and what it printed."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from unittest.mock import patch

from click.testing import CliRunner

from services.cli.main import main
from services.context import Context
from tests.support.forked import Forks

_FORKS, _LEARNING_FORKS = Forks(), Forks("torch")
_LEARNING = {"compare", "demo", "drift", "grade", "language", "report", "train"}
"""Commands that import torch, which takes longer than what most of them do with it."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> list[str]:
        """The lines of standard error that start with ``error:`` and what follows."""
        lines = self.err.splitlines()
        starts = [i for i, line in enumerate(lines) if line.startswith("error:")]
        return lines[starts[0] :] if starts else []


def tubegrader(
    *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "", timeout_s: float = 240
) -> Ran:
    """Run a command with exactly the given TUBEGRADER_* settings, in a process of its own."""
    forks = _FORKS if _LEARNING.isdisjoint(arguments) else _LEARNING_FORKS
    return Ran(*forks.run(arguments, _environment(env), stdin, timeout_s))


def tubegrader_started(
    *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 240
) -> Ran:
    """The same with a new interpreter, as a shell does it: for commands that start processes."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", *arguments],
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def settings_of(context: Context) -> dict[str, str]:
    """The environment that points a command at a context's database, queue and store."""
    settings = context.settings
    assert settings.database_url
    assert settings.redis_url
    assert settings.storage_url
    return {
        "TUBEGRADER_HOME": str(settings.home),
        "TUBEGRADER_DATABASE_URL": settings.database_url,
        "TUBEGRADER_REDIS_URL": settings.redis_url,
        "TUBEGRADER_STORAGE_URL": settings.storage_url,
    }


def pointing_at(url: str, key: str = "offline") -> dict[str, str]:
    """The environment that points a command at an offline YouTube."""
    return {
        "TUBEGRADER_YOUTUBE_ENDPOINT": url,
        "TUBEGRADER_THUMBNAIL_URL": url,
        "TUBEGRADER_FEED_URL": url,
        "TUBEGRADER_YOUTUBE_API_KEY": key,
    }


def in_process(*arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> Ran:
    """Run a command as ``tubegrader`` does, but in this process: a tenth of the time."""
    with (
        CliRunner().isolation(stdin, env=env) as (out, err, _),
        patch.object(sys, "argv", ["tubegrader", *arguments]),
    ):
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
    shown = (stream.getvalue().decode("utf-8", "replace") for stream in (out, err))
    return Ran(code, *shown)


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    outside = {k: v for k, v in os.environ.items() if not k.startswith("TUBEGRADER_")}
    return {**outside, **(env or {})}
