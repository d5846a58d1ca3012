"""A store in which some objects have names of their own, beside those named by their content."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Self

import obstore
from obstore.store import from_url

from services.storage import ObjectStore, object_name
from services.storage_errors import clear_errors

HURRY = timedelta(seconds=4)


class NamedStore(ObjectStore):
    """Objects by their hash, and a few by name."""

    @classmethod
    def hurried(cls, url: str) -> Self:
        """Open a store for who wants an answer soon, be it that there is none: within 30 s.

        Raises:
            UsageError: The URL names no store that can be opened.
        """
        if url.startswith(("file://", "memory://")):
            return cls.from_url(url)
        with clear_errors(url):
            # No options of the client's: they would replace those of the environment.
            return cls(from_url(url, retry_config={"max_retries": 1, "retry_timeout": HURRY}))

    def put_named(self, name: str, content: bytes) -> None:
        """Write an object under a name, whatever is there."""
        with clear_errors(name):
            obstore.put(self._backend, name, content)

    def get_named(self, name: str) -> bytes:
        """Return what lies under a name.

        Raises:
            PermanentError: Nothing does (``objectMissing``).
            TransientError: The store did not answer.
        """
        with clear_errors(name):
            return bytes(obstore.get(self._backend, name).bytes())

    def named(self, folder: str) -> Iterator[str]:
        """Yield the names of a folder, without the folder's."""
        with clear_errors(folder):
            for page in obstore.list(self._backend, folder):
                for entry in page:
                    yield str(entry["path"]).rsplit("/", 1)[-1]

    def delete_named(self, names: Sequence[str]) -> None:
        """Delete what lies under names; what is not there is gone already."""
        for name in names:
            with suppress(FileNotFoundError), clear_errors(name, missing=False):
                obstore.delete(self._backend, name)

    def digest(self, sha256: str) -> str:
        """Return the SHA-256 of what lies under a hash now, read a piece at a time.

        Raises:
            PermanentError: Nothing does (``objectMissing``).
            TransientError: The store did not answer.
        """
        found = hashlib.sha256()
        with clear_errors(sha256):
            for piece in obstore.get(self._backend, object_name(sha256)).stream():
                found.update(piece)
        return found.hexdigest()

    def is_empty(self) -> bool:
        """Tell whether nothing at all lies in it."""
        with clear_errors("list"):
            return not any(len(page) for page in obstore.list(self._backend))
