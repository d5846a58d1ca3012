"""Who runs PostgreSQL: it refuses to be root, so as root it gets a system user of its own."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from services.errors import UsageError

_NAME = "pgserver"
_SEARCH_BY_OTHERS = stat.S_IXOTH


@dataclass(frozen=True)
class Account:
    """A system user that PostgreSQL runs as."""

    name: str
    uid: int
    gid: int


def account_for(data: Path) -> Account | None:
    """Return the user to run PostgreSQL as; None for the user we are (when that is not root).

    A data folder keeps the user it was made with; a new one gets ``pgserver``, which is created
    where it is missing.

    Raises:
        UsageError: We are root and no such user can be made.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        try:
            return _account(pwd.getpwuid(data.stat().st_uid))
        except KeyError:  # the data came from another machine: its owner means nobody here
            account = _system_user()
            _give(data, account)
            return account
    return _system_user()


def open_way(path: Path, account: Account | None) -> None:
    """Let the account pass through the folders above ``path``: search only, never list.

    Folders that it can already pass are left alone.
    """
    if account is None:
        return
    for folder in path.resolve().parents:
        status = folder.stat()
        if status.st_uid == account.uid or status.st_mode & _SEARCH_BY_OTHERS:
            continue
        folder.chmod(stat.S_IMODE(status.st_mode) | _SEARCH_BY_OTHERS)


def open_programs(folder: Path, account: Account | None) -> None:
    """Let the account run what is in ``folder`` (an installation made under a strict umask)."""
    if account is None:
        return
    open_way(folder, account)
    readable = stat.S_IRGRP | stat.S_IROTH
    if (folder / "bin" / "postgres").stat().st_mode & readable == readable:
        return
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        runnable = path.is_dir() or bool(mode & stat.S_IXUSR)
        path.chmod(mode | (0o055 if runnable else 0o044))


def _system_user() -> Account:
    try:
        return _account(pwd.getpwnam(_NAME))
    except KeyError:
        pass
    try:
        subprocess.run(
            [
                shutil.which("useradd") or "/usr/sbin/useradd",
                "--system",
                "--user-group",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
                _NAME,
            ],
            check=False,  # it also fails when another command was faster
            capture_output=True,
        )
        return _account(pwd.getpwnam(_NAME))
    except (OSError, KeyError) as error:
        raise UsageError(
            f"PostgreSQL cannot run as root, and the system user {_NAME} could not be made",
            hint=f"run tubegrader as an ordinary user, or create one: useradd --system {_NAME}",
        ) from error


def _give(folder: Path, account: Account) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
