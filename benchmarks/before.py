"""The program as it was at a commit, to be measured beside today's in the same run."""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SCORING = "5b1c22fd23f3"
"""The last commit before networks were compiled and scoring was cut into shards."""

_PARTS = ("db", "ml", "services", "workers", "migrations", "tests/support")


@contextmanager
def source_of(commit: str) -> Iterator[Path]:
    """Lay a commit's files out in a folder of their own for as long as the block lasts.

    Raises:
        CalledProcessError: This is no git checkout, or the commit is not in its history.
    """
    packed = subprocess.run(
        ["git", "archive", commit, "--", *_PARTS],
        cwd=Path(__file__).parents[1],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        yield Path(folder)


def run_python(
    source: Path,
    arguments: Sequence[str],
    *,
    content: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run this Python on the source of a folder and return what it printed.

    Raises:
        CalledProcessError: It failed; what it said is on the standard error output.
    """
    found = subprocess.run(
        [sys.executable, *arguments],
        cwd=source,
        env={**os.environ, **(environment or {}), "PYTHONPATH": str(source)},
        input=content,
        check=True,
        stdout=subprocess.PIPE,
    )
    return found.stdout.decode()
