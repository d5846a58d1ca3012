"""Start a server that outlives the command that needed it."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from services.embedded.account import Account
from services.embedded.identity import ProcessId

_LOG_BYTES = 5_000_000
_KEPT_LOGS = 3
# The shell ends at once, so the server is nobody's child: no zombie, no Ctrl-C from our terminal.
_IN_BACKGROUND = '"$@" >&2 </dev/null & echo $!'


def launch(
    argv: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
) -> ProcessId | None:
    """Start ``argv`` in the background with its output appended to ``log``.

    Returns:
        The process; None if it died before it could be looked at (the log says why).
    """
    rotate(log)
    with log.open("ab") as output:
        shell = subprocess.run(
            ["/bin/sh", "-c", _IN_BACKGROUND, "sh", *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd=cwd,
            env=env,
            start_new_session=True,
            check=True,
            **credentials(account),
        )
    return ProcessId.of(int(shell.stdout))


class Credentials(TypedDict):
    """The keyword arguments of `subprocess.run` that make the child another user."""

    user: int | None
    group: int | None
    extra_groups: list[str | int] | None


def credentials(account: Account | None) -> Credentials:
    """Return the arguments that make a child run as ``account``, or as we do where it is None."""
    if account is None:
        return {"user": None, "group": None, "extra_groups": None}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def rotate(log: Path) -> None:
    """Move a log that has grown large aside; the oldest of its predecessors goes."""
    if not log.exists() or log.stat().st_size < _LOG_BYTES:
        return
    for number in range(_KEPT_LOGS - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))


def tail(log: Path, n_lines: int = 8, *, since: int = 0) -> str:
    """Return the last lines of a log, of those written after byte ``since``."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            size = file.tell()
            start = max(min(since, size), size - 64_000)
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-n_lines:])


def log_size(log: Path) -> int:
    """Return where the next line of a log will begin, in bytes."""
    try:
        return log.stat().st_size
    except OSError:
        return 0
