"""Files that a user names and the learning part writes: reports, grades, pictures."""

from pathlib import Path

from ml.runtime.files import replaced
from services.errors import UsageError


def write_wanted_file(path: Path, content: bytes, *, failure: str) -> None:
    """Write a file as a whole, with the folders above it; one that is there is replaced.

    Args:
        path: Where the user wants it.
        content: All of it.
        failure: How the message begins if that cannot be done.

    Raises:
        UsageError: It cannot be written there (``cannotWrite``).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"{failure}: {error.strerror}",
            reason="cannotWrite",
            hint="name a file in a folder that you may write to",
        ) from error
