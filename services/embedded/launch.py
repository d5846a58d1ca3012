"""Start a server that outlives the command that needed it."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from services.embedded.account import Account
from services.embedded.identity import ProcessId
from services.embedded.logs import rotate

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
