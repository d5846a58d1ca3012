"""Objects in packs: few large files instead of a million small ones, each encrypted once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.backups.encryption import Recipients
from services.backups.target import Place, Target
from services.errors import PermanentError
from services.storage import LARGE, ObjectStore

PACK_BYTES = 32 * 2**20
"""What a pack comes to; an object that is larger has one to itself."""
PACK_OBJECTS = 4_096
PAGE = 256
"""Objects that are asked for together: at most 32 MB of them are in memory."""
_CHUNK = 2**20


@dataclass(frozen=True)
class Packed:
    """A pack that lies in the target.

    Attributes:
        pack: The SHA-256 of what is stored.
        places: What it holds.
        stored_bytes: Its size there.
    """

    pack: str
    places: list[Place]
    stored_bytes: int


class Packer:
    """Copies objects from a store into packs of a target."""

    def __init__(
        self, store: ObjectStore, target: Target, recipients: Recipients, scratch: Path
    ) -> None:
        self._store = store
        self._target = target
        self._recipients = recipients
        self._scratch = scratch
        self._open = scratch / "open.pack"
        self._places: list[Place] = []
        self.missing: list[bytes] = []
        """Objects that the store does not have, or not as they were put there."""

    def copy(self, pages: Iterator[list[bytes]]) -> Iterator[Packed]:
        """Copy objects; yield each pack when it, and its index, are in the target.

        Raises:
            TransientError: A store did not answer. What was yielded stays.
        """
        self._begin()
        for page in pages:
            sizes = self._store.sizes(name.hex() for name in page)
            small: list[str] = []
            for name in (each.hex() for each in page):
                # One in quarantine has no size here, and is read all the same.
                if sizes.get(name, 0) > LARGE:
                    yield from self._large(name)
                    continue
                small.append(name)
                if sum(sizes.get(each, 0) for each in small) >= PACK_BYTES:
                    yield from self._small(small)
                    small = []
            yield from self._small(small)
        yield from self._close()

    def _small(self, names: list[str]) -> Iterator[Packed]:
        for name, content in self._store.get_apart(names).items():
            if isinstance(content, bytes):
                if self._is_full(len(content)):
                    yield from self._close()
                self._append(bytes.fromhex(name), [content])
            elif isinstance(content, PermanentError):
                self.missing.append(bytes.fromhex(name))
            else:
                raise content

    def _large(self, name: str) -> Iterator[Packed]:
        path = self._scratch / "large.object"
        try:
            self._store.get_file(name, path)
        except PermanentError:
            self.missing.append(bytes.fromhex(name))
            return
        yield from self._close()

        with path.open("rb") as file:
            self._append(bytes.fromhex(name), iter(partial(file.read, _CHUNK), b""))
        path.unlink()
        yield from self._close()

    def _begin(self) -> None:
        self._open.write_bytes(b"")
        self._places = []

    def _is_full(self, more: int) -> bool:
        size = self._open.stat().st_size
        return bool(self._places) and (
            size + more > PACK_BYTES or len(self._places) >= PACK_OBJECTS
        )

    def _append(self, name: bytes, chunks: Iterable[bytes]) -> None:
        with self._open.open("ab") as file:
            start = file.tell()
            for chunk in chunks:
                file.write(chunk)
            self._places.append(Place(name, start, file.tell() - start))

    def _close(self) -> Iterator[Packed]:
        if not self._places:
            return
        stored = self._scratch / "stored.pack"
        self._recipients.encrypt(self._open, stored)
        size = stored.stat().st_size
        pack = self._target.store.put_file(stored)
        # Afterwards: an index says that the pack is there.
        self._target.put_index(pack, self._places)
        places = self._places
        stored.unlink()
        self._begin()
        yield Packed(pack, places, size)
