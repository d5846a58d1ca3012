"""The object store: content-addressed, atomic, verified on read.

An object's name is the SHA-256 of its bytes, so putting twice changes nothing and a reader can
tell whether it got what was put. The one caller of obstore.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore as Backend
from obstore.store import from_url

from ml.runtime.files import file_sha256, replaced
from services.errors import PermanentError, TransientError, TubeGraderError, UsageError
from services.storage_errors import clear_errors
from services.storage_pace import Pace

if TYPE_CHECKING:
    from obstore import Bytes, GetResult

_SHA256 = re.compile("[0-9a-f]{64}")
SCHEMES = ("file://", "s3://", "gs://", "az://", "memory://")
MARKER = "installation.json"
"""Says whose store this is, beside the objects (services.policy.ownership)."""
QUARANTINE = "quarantine"
"""Where objects that nobody speaks of wait for their deletion; whoever reads one brings it back."""
DERIVED = "derived"
"""Where earlier releases kept image features, one object a picture; nobody reads them now."""
AT_ONCE = 1_000
"""Objects that one request deletes: S3's limit."""
LARGE = 8 * 2**20
"""What is larger is copied in pieces: models would fill the memory of a worker."""
IN_FLIGHT = 64
"""Requests at once: stores far away answer in 100 to 200 ms, whatever is asked."""


class ObjectStore:
    """Objects by the hash of their content, in a folder or a bucket."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._pace = Pace(IN_FLIGHT)

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
            slots = asyncio.Semaphore(IN_FLIGHT)

            async def put_one(content: bytes) -> tuple[str, bool]:
                sha256 = hashlib.sha256(content).hexdigest()
                async with slots:
                    return sha256, await self._put(sha256, content)

            return await asyncio.gather(*(put_one(c) for c in contents))

        return asyncio.run(put_all())

    def put_file(self, path: Path) -> str:
        """Store a file of any size without reading it into memory; return its SHA-256."""
        sha256 = file_sha256(path)
        if not self._has(sha256, path.stat().st_size):
            with clear_errors(sha256):
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
        """Return many objects in order, as many at a time as the store bears; errors as ``get``."""
        return asyncio.run(self._get_all(names, apart=False))

    def get_apart(self, names: Sequence[str]) -> "dict[str, bytes | TubeGraderError]":
        """Return many objects by name as ``get_many`` does; for one that fails, its error."""
        return dict(zip(names, asyncio.run(self._get_all(names, apart=True)), strict=True))

    async def _get_all(self, names: Iterable[str], *, apart: bool) -> list[Any]:
        slots = asyncio.Semaphore(self._pace.at_once)
        waited: list[float] = []

        async def get_one(sha256: str) -> Any:
            try:
                async with slots:
                    asked = time.perf_counter()
                    with clear_errors(sha256):
                        content = await self._read(sha256)
                waited.append(time.perf_counter() - asked)
                return _verified(sha256, hashlib.sha256(content).hexdigest(), content)
            except TubeGraderError as error:
                if not apart:
                    raise
                return error

        try:
            got = await asyncio.gather(*(get_one(n) for n in names))
        except TransientError:
            self._pace.learn(waited, failed=True)
            raise
        self._pace.learn(waited, failed=any(isinstance(each, TransientError) for each in got))
        return got

    def get_file(self, sha256: str, path: Path) -> None:
        """Write an object of any size to a file, which appears only once it is verified.

        Raises:
            OSError: The folder does not exist or cannot be written.
            PermanentError, TransientError: As ``get``.
        """
        digest = hashlib.sha256()
        with replaced(path) as partial:
            with partial.open("wb") as file:
                for chunk in self._pieces(sha256):
                    digest.update(chunk)
                    file.write(chunk)
            _verified(sha256, digest.hexdigest(), b"")

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Return the bytes of objects by name, without reading them; of those that are there."""
        found: dict[str, int] = {}

        async def look(sha256: str) -> None:
            meta = await obstore.head_async(self._backend, object_name(sha256))
            found[sha256] = meta["size"]

        self._each(names, look)
        return found

    def names(self) -> list[str]:
        """List the hashes of all objects (a slow walk; for checks and clean-up)."""
        return sorted(name for page in self._pages() for name, _ in page)

    def names_before(self, moment: datetime) -> Iterator[list[str]]:
        """Yield the hashes of the objects last written before a moment, page by page."""
        for page in self._pages():
            yield [name for name, written in page if written < moment]

    def quarantined_before(self, moment: datetime) -> Iterator[list[str]]:
        """Yield the hashes of the objects put into quarantine before a moment, page by page."""
        for page in self._pages(QUARANTINE):
            yield [name for name, moved in page if moved < moment]

    def delete_many(self, names: Iterable[str]) -> None:
        """Delete objects, many with each request; those that are not there are gone already."""
        self._delete([object_name(sha256) for sha256 in names])

    def quarantine(self, names: Iterable[str]) -> None:
        """Put objects away until :meth:`delete_quarantined`; reading one brings it back.

        Written anew and not renamed, which in a folder would keep the time of the first writing:
        when it was put away is the store's own time of the copy.
        """

        async def put_away(sha256: str) -> None:
            path = object_name(sha256)
            answer = await obstore.get_async(self._backend, path)
            if answer.meta["size"] > LARGE:
                await obstore.put_async(
                    self._backend,
                    _put_away(sha256),
                    answer.stream(min_chunk_size=LARGE),
                    max_concurrency=2,
                )
            else:
                content = await answer.bytes_async()
                await obstore.put_async(self._backend, _put_away(sha256), content)
            await obstore.delete_async(self._backend, path)

        self._each(names, put_away)

    def bring_back(self, names: Iterable[str]) -> None:
        """Take objects out of quarantine; those that are not in it stay as they are."""

        async def bring_back(sha256: str) -> None:
            await obstore.rename_async(self._backend, _put_away(sha256), object_name(sha256))

        self._each(names, bring_back)

    def delete_quarantined(self, names: Iterable[str]) -> None:
        """Delete objects from quarantine for good."""
        self._delete([_put_away(sha256) for sha256 in names])

    def get_ranges(
        self, asked: Mapping[str, Sequence[tuple[int, int]]]
    ) -> dict[str, list[memoryview]]:
        """Return stretches of objects (first byte, end), many at a time, those side by side as one.

        Nothing is verified: who asks for a part has a checksum of it. An object that is missing,
        or ends before a stretch begins, is left out.

        Raises:
            TransientError: The store did not answer.
        """
        found: dict[str, list[memoryview]] = {}

        async def get(sha256: str) -> None:
            starts, ends = (list(side) for side in zip(*asked[sha256], strict=True))
            path = object_name(sha256)
            ask = partial(obstore.get_ranges_async, self._backend, path, starts=starts, ends=ends)
            try:
                parts = await ask()
            except FileNotFoundError:
                with suppress(FileNotFoundError):
                    await obstore.rename_async(self._backend, _put_away(sha256), path)
                parts = await ask()
            except BaseError:
                if (await obstore.head_async(self._backend, path))["size"] >= max(ends):
                    raise
                return
            found[sha256] = [memoryview(part) for part in parts]

        self._each(asked, get)
        return found

    def delete_derived(self) -> int:
        """Delete what earlier releases kept of image features, one object a picture."""
        gone = 0
        with clear_errors("list"):
            for page in obstore.list(self._backend, DERIVED):
                self._delete([str(entry["path"]) for entry in page])
                gone += len(page)
        return gone

    def marker(self) -> bytes | None:
        """Return what the store says of whose it is; None if it says nothing."""
        with clear_errors(MARKER):
            try:
                return bytes(obstore.get(self._backend, MARKER).bytes())
            except FileNotFoundError:
                return None

    def set_marker(self, content: bytes) -> None:
        """Write down whose store this is."""
        with clear_errors(MARKER):
            obstore.put(self._backend, MARKER, content)

    def check(self) -> None:
        """Write, read and delete a small object; raise if any of it fails."""
        name = "check/tubegrader"
        with clear_errors(name):
            obstore.put(self._backend, name, b"tubegrader")
            answer = bytes(obstore.get(self._backend, name).bytes())
            obstore.delete(self._backend, name)
        if answer != b"tubegrader":
            problem = "the object store does not return what was put"
            raise PermanentError(problem, reason="objectCorrupt")

    def _pages(self, prefix: str | None = None) -> Iterator[list[tuple[str, datetime]]]:
        """Yield hash and last writing of the objects, or of those below a prefix alone."""
        with clear_errors("list"):
            for page in obstore.list(self._backend, prefix):
                parts = [
                    (str(e["path"]).rsplit("/", 2), e["last_modified"])
                    for e in page
                    if not str(e["path"]).startswith(f"{DERIVED}/")
                ]
                yield [
                    (path[-1], written)
                    for path, written in parts
                    if _SHA256.fullmatch(path[-1])
                    and (prefix is not None or path[-2:-1] != [QUARANTINE])
                ]

    def _delete(self, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), AT_ONCE):
            some = paths[start : start + AT_ONCE]
            with clear_errors(some[0]):
                try:
                    obstore.delete(self._backend, some)
                except FileNotFoundError:
                    # A folder stops at the first that is not there.
                    for path in some:
                        with suppress(FileNotFoundError):
                            obstore.delete(self._backend, path)

    def _each(self, names: Iterable[str], do: Callable[[str], Awaitable[None]]) -> None:
        """Do the same with many objects, IN_FLIGHT at a time, but for those that are not there."""

        async def do_all() -> None:
            slots = asyncio.Semaphore(IN_FLIGHT)

            async def do_one(sha256: str) -> None:
                async with slots:
                    with suppress(FileNotFoundError), clear_errors(sha256, missing=False):
                        await do(sha256)

            await asyncio.gather(*(do_one(sha256) for sha256 in names))

        asyncio.run(do_all())

    async def _read(self, sha256: str) -> bytes:
        try:
            answer = await obstore.get_async(self._backend, object_name(sha256))
        except FileNotFoundError:
            # Somebody came to speak of it again while it was put away; another reader may have
            # brought it back in this moment.
            with suppress(FileNotFoundError):
                await obstore.rename_async(self._backend, _put_away(sha256), object_name(sha256))
            answer = await obstore.get_async(self._backend, object_name(sha256))
        return bytes(await answer.bytes_async())

    def _open(self, sha256: str) -> "GetResult":
        try:
            return obstore.get(self._backend, object_name(sha256))
        except FileNotFoundError:
            with suppress(FileNotFoundError):
                obstore.rename(self._backend, _put_away(sha256), object_name(sha256))
            return obstore.get(self._backend, object_name(sha256))

    def _pieces(self, sha256: str) -> Iterator["Bytes"]:
        with clear_errors(sha256):  # the store's, and not of where they are written
            yield from self._open(sha256).stream()

    async def _put(self, sha256: str, content: bytes) -> bool:
        """Store an object unless it is there; tell whether it was not."""
        name = object_name(sha256)
        with clear_errors(sha256):
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
        with clear_errors(sha256):
            try:
                return obstore.head(self._backend, object_name(sha256))["size"] == size
            except FileNotFoundError:
                return False


def object_name(sha256: str) -> str:
    """Return where an object lies below the store's root: in one of 256 folders.

    More levels would cost a new folder for nearly every object.
    """
    return f"{sha256[:2]}/{sha256}"


def _put_away(sha256: str) -> str:
    return f"{QUARANTINE}/{sha256}"


def _verified(sha256: str, found: str, content: bytes) -> bytes:
    if found != sha256:
        raise PermanentError(
            f"object {sha256} does not hold what was put there",
            reason="objectCorrupt",
            hint="remove it from the store and collect it again",
        )
    return content
