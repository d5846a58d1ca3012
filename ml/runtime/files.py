"""Files as wholes: the hash of one, and putting one in another's place in a single step.

Light on purpose: crawl workers and the embedded stack import it too.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file of any size, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replaced(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a name beside ``path`` to write to; what lies there takes its place as the block ends.

    A reader finds the old file or the new one, never half of it. If the block raises, the old one
    stays and nothing lies beside it.

    Args:
        path: Where the file is wanted, in a folder that exists.
        durable: Whether the bytes are on the disk before the name is, so that they outlive a crash
            of the machine.

    Raises:
        OSError: It cannot be written or moved.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        if durable:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
