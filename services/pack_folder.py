"""Packs on this disk: what was read of a store far away, as much as may lie here."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from ml.runtime.files import replaced

log = structlog.get_logger()

UNUSED_S = 30 * 86_400
"""A pack that was not read for so long goes, however much room there is."""


class PackFolder:
    """Copies of packs by their hash; those go first that were not read for the longest time.

    A copy is never the only one, so whatever goes wrong here costs time alone. Any number of
    processes may use a folder.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most = most_bytes

    @property
    def most_bytes(self) -> int:
        """How much may lie here."""
        return self._most

    def rows(self, sha256: str, ranges: Sequence[tuple[int, int]]) -> list[memoryview] | None:
        """Return stretches of a pack (first byte, end), not verified; None if it is not here."""
        path = self._folder / sha256
        try:
            with path.open("rb") as file:
                os.utime(file.fileno())
                return [
                    memoryview(os.pread(file.fileno(), end - start, start)) for start, end in ranges
                ]
        except OSError:
            return None

    def keep(self, sha256: str, content: memoryview) -> None:
        """Keep a pack, if the disk lets us."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replaced(self._folder / sha256) as partial:
                partial.write_bytes(content)
        except OSError as error:
            log.warning("packs.not_kept_here", folder=str(self._folder), problem=str(error))

    def remove(self, sha256: str) -> None:
        """Remove a pack that is damaged."""
        with suppress(OSError):
            (self._folder / sha256).unlink()

    def trim(self) -> None:
        """Remove what is too much, and what nobody reads."""
        held = []
        for path in self._folder.glob("*"):
            with suppress(FileNotFoundError):  # another process trims too
                found = path.stat()
                held.append((found.st_mtime, found.st_size, path))
        room, oldest = self._most, time.time() - UNUSED_S
        for read_at, size, path in sorted(held, reverse=True):
            room -= size
            if room < 0 or read_at < oldest:
                with suppress(FileNotFoundError):
                    path.unlink()
