"""The object store: content-addressed, atomic, verified on read.

An object's name is the SHA-256 of its bytes, so putting twice changes nothing and a reader can
tell whether it got what was put. The one caller of obstore.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Self

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore as Backend
from obstore.store import from_url

from ml.runtime.files import file_sha256, replaced
from services.errors import PermanentError, TransientError, UsageError

_SHA256 = re.compile("[0-9a-f]{64}")
SCHEMES = ("file://", "s3://", "gs://", "az://", "memory://")
IN_FLIGHT = 64
"""Requests at once: stores far away answer in 100 to 200 ms, whatever is asked."""


class ObjectStore:
    """Objects by the hash of their content, in a folder or a bucket."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Open a store by URL (file, s3, gs, az); credentials come from the environment.

        Raises:
            UsageError: The URL names no store that can be opened.
        """
        hint = "set TUBEGRADER_STORAGE_URL to file:///folder, s3://bucket/prefix, gs://… or az://…"
        if not url.startswith(SCHEMES):
            raise UsageError(f"{url!r} is not the address of an object store", hint=hint)
        try:
            if url.startswith("file://"):
                return cls(from_url(url, mkdir=True))
            return cls(from_url(url))
        except (BaseError, ValueError, OSError) as error:
            raise UsageError(f"cannot open the object store {url}: {error}", hint=hint) from error

    def put(self, content: bytes) -> str:
        """Store bytes unless they are there already; return their SHA-256 in hex."""
        return self.put_many([content])[0]

    def put_many(self, contents: Sequence[bytes]) -> list[str]:
        """Store many objects, IN_FLIGHT at a time; return their hashes in the same order."""
        return [sha256 for sha256, _ in self._put_all(contents)]

    def put_new(self, contents: Sequence[bytes]) -> set[str]:
        """Store many objects; return the hashes of those that were there before."""
        return {sha256 for sha256, is_new in self._put_all(contents) if not is_new}

    def _put_all(self, contents: Sequence[bytes]) -> list[tuple[str, bool]]:
        async def put_all() -> list[tuple[str, bool]]:
            gate = asyncio.Semaphore(IN_FLIGHT)

            async def put_one(content: bytes) -> tuple[str, bool]:
                sha256 = hashlib.sha256(content).hexdigest()
                async with gate:
                    return sha256, await self._put(sha256, content)

            return await asyncio.gather(*(put_one(c) for c in contents))

        return asyncio.run(put_all())

    def put_file(self, path: Path) -> str:
        """Store a file of any size without reading it into memory; return its SHA-256."""
        sha256 = file_sha256(path)
        if not self._has(sha256, path.stat().st_size):
            with _clear_errors(sha256):
                obstore.put(self._backend, object_name(sha256), path)
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return an object's bytes.

        Raises:
            PermanentError: It is missing (``objectMissing``) or not what was put
                (``objectCorrupt``).
            TransientError: The store did not answer.
        """
        return self.get_many([sha256])[0]

    def get_many(self, names: Iterable[str]) -> list[bytes]:
        """Return many objects in order, IN_FLIGHT requests at a time; errors as ``get``."""

        async def get_all() -> list[bytes]:
            gate = asyncio.Semaphore(IN_FLIGHT)

            async def get_one(sha256: str) -> bytes:
                async with gate:
                    with _clear_errors(sha256):
                        answer = await obstore.get_async(self._backend, object_name(sha256))
                        content = bytes(await answer.bytes_async())
                return _verified(sha256, hashlib.sha256(content).hexdigest(), content)

            return await asyncio.gather(*(get_one(n) for n in names))

        return asyncio.run(get_all())

    def get_file(self, sha256: str, path: Path) -> None:
        """Write an object of any size to a file, which appears only once it is verified.

        Raises:
            OSError: The folder does not exist or cannot be written.
            PermanentError, TransientError: As ``get``.
        """
        digest = hashlib.sha256()
        with replaced(path) as partial:
            with partial.open("wb") as file, _clear_errors(sha256):
                for chunk in obstore.get(self._backend, object_name(sha256)).stream():
                    digest.update(chunk)
                    file.write(chunk)
            _verified(sha256, digest.hexdigest(), b"")

    def names(self) -> list[str]:
        """List the hashes of all objects (a slow walk; for checks and clean-up)."""
        return sorted(
            str(entry["path"]).rsplit("/", 1)[-1]
            for page in obstore.list(self._backend)
            for entry in page
        )

    def names_before(self, moment: datetime) -> Iterator[list[str]]:
        """Yield the hashes of the objects last written before a moment, page by page."""
        with _clear_errors("list"):
            for page in obstore.list(self._backend):
                names = [
                    str(entry["path"]).rsplit("/", 1)[-1]
                    for entry in page
                    if entry["last_modified"] < moment
                ]
                yield [name for name in names if _SHA256.fullmatch(name)]

    def delete_many(self, names: Iterable[str]) -> None:
        """Delete objects; those that are not there are gone already."""
        for sha256 in names:
            with _clear_errors(sha256), suppress(FileNotFoundError):
                obstore.delete(self._backend, object_name(sha256))

    def check(self) -> None:
        """Write, read and delete a small object; raise if any of it fails."""
        name = "check/tubegrader"
        with _clear_errors(name):
            obstore.put(self._backend, name, b"tubegrader")
            answer = bytes(obstore.get(self._backend, name).bytes())
            obstore.delete(self._backend, name)
        if answer != b"tubegrader":
            raise PermanentError(
                "the object store does not return what was put", reason="objectCorrupt"
            )

    async def _put(self, sha256: str, content: bytes) -> bool:
        """Store an object unless it is there; tell whether it was not."""
        name = object_name(sha256)
        with _clear_errors(sha256):
            try:
                meta = await obstore.head_async(self._backend, name)
            except FileNotFoundError:
                pass
            else:
                # One of another size is damaged: put it right.
                if meta["size"] == len(content):
                    return False
            await obstore.put_async(self._backend, name, content)
            return True

    def _has(self, sha256: str, size: int) -> bool:
        with _clear_errors(sha256):
            try:
                return obstore.head(self._backend, object_name(sha256))["size"] == size
            except FileNotFoundError:
                return False


def object_name(sha256: str) -> str:
    """Return where an object lies below the store's root: in one of 256 folders.

    More levels would cost a new folder for nearly every object.
    """
    return f"{sha256[:2]}/{sha256}"


def _verified(sha256: str, found: str, content: bytes) -> bytes:
    if found != sha256:
        raise PermanentError(
            f"object {sha256} does not hold what was put there",
            reason="objectCorrupt",
            hint="remove it from the store and collect it again",
        )
    return content


class _clear_errors:  # noqa: N801  (reads as a statement: with _clear_errors(name))
    """Turn the store's errors into ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise PermanentError(
                f"object {self._name} is not in the store", reason="objectMissing"
            ) from error
        if isinstance(error, BaseError | OSError):
            raise TransientError(
                f"the object store failed on {self._name}: {error}",
                reason="storeFailed",
                hint="check TUBEGRADER_STORAGE_URL, its credentials and the free space",
            ) from error
