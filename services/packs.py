"""Vectors of pictures in packs of the object store, of which the database is the index.

A pack is put before any row speaks of it: who dies in between leaves an object that the purge of
orphans removes. Each row has a checksum, so what comes back is whole or is not there, and whoever
asked makes it anew. The first who says where a vector lies is right; two who make the same at once
cost a pack that nothing points into, which the purge removes as well.
"""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog

from db.queries.learning import embeddings
from db.queries.learning.embeddings import Pack, Place
from ml.thumbnails.backbones.local import HalfArray
from ml.thumbnails.backbones.packs import checksum, pack, rows_of_pack
from services.context import Context
from services.pack_folder import PackFolder

log = structlog.get_logger()

SAID_EVERY = timedelta(hours=12)
"""How often it is noted that a kind of image features is in use."""
PAGE = 5_000
"""Pictures that the index is asked for at once."""
AT_ONCE = 64 * 2**20
"""Bytes that are read together, so that memory does not grow with what is asked for."""
MANY = 256
"""Who asks for so many may be about to ask for the rest of their packs."""

Page = tuple[list[str], HalfArray]


@dataclass(frozen=True)
class Wanted:
    """What of a pack is asked for.

    Attributes:
        pack: The pack.
        places: The vectors.
        whole: Whether all of the pack is to be read.
    """

    pack: Pack
    places: list[Place]
    whole: bool = False

    @property
    def row_bytes(self) -> int:
        """The size of a vector."""
        return 2 * self.pack.width

    @property
    def size(self) -> int:
        """Bytes to be read."""
        return self.pack.byte_size if self.whole else len(self.places) * self.row_bytes

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """Where the vectors lie in the pack."""
        firsts = (self.pack.first_byte + place.row * self.row_bytes for place in self.places)
        return [(first, first + self.row_bytes) for first in firsts]

    def rows(self, parts: Sequence[memoryview]) -> list[memoryview]:
        """Return the vectors out of what was read."""
        if not self.whole:
            return list(parts)
        return [parts[0][start:end] for start, end in self.ranges]

    def is_whole(self, place: Place, row: memoryview) -> bool:
        """Tell whether a vector is what was put there."""
        return len(row) == self.row_bytes and checksum(place.picture, row) == place.checksum


class Packs:
    """Where machines keep vectors for each other (:class:`ml…cache.Shared`)."""

    def __init__(self, context: Context, local: PackFolder | None = None) -> None:
        """Keep vectors in the context's store and database.

        Args:
            context: Both.
            local: Where copies of packs lie on this disk.
        """
        self._context = context
        self._local = local
        self._recipes: dict[tuple[str, int], tuple[int, datetime]] = {}
        self._lost: dict[tuple[int, bytes], Pack] = {}
        """Vectors that the index speaks of and that are not there, with the pack they were in."""

    def get(self, recipe: str, names: Sequence[str], width: int) -> Iterator[Page]:
        """Yield the vectors that are there and whole, some at a time: names, and (N, ``width``).

        What is lost or damaged is said in the log, and gives way to what is put next.

        Raises:
            TransientError: The store or the database did not answer.
        """
        yield from self.of_recipe(self._number(recipe, width), names)

    def of_recipe(self, number: int, names: Sequence[str]) -> Iterator[Page]:
        """Yield the same by the recipe's number, without saying that anybody uses it."""
        asked = [bytes.fromhex(name) for name in names]
        gone = yield from self._read(number, asked, again=False)
        if gone:
            # Perhaps rewritten since the index was asked.
            yield from self._read(number, gone, again=True)
        if self._local is not None:
            self._local.trim()

    def put(self, recipe: str, names: Sequence[str], vectors: HalfArray) -> None:
        """Keep the vectors of pictures, (N, width), in one pack or as few as hold them.

        Raises:
            TransientError: The store or the database did not answer.
        """
        number = self._number(recipe, vectors.shape[1])
        most = rows_of_pack(vectors.shape[1])
        for start in range(0, len(names), most):
            pictures = [bytes.fromhex(name) for name in names[start : start + most]]
            self._put(recipe, number, pictures, vectors[start : start + most])

    def _put(self, recipe: str, number: int, pictures: list[bytes], vectors: HalfArray) -> None:
        made = pack(recipe, pictures, vectors)
        lost = {
            found.pack_id: found.sha256
            for picture in pictures
            if (found := self._lost.pop((number, picture), None)) is not None
        }
        sha256 = put_pack(self._context, made.content, damaged=lost.values())
        with self._context.transaction() as session:
            pack_id = embeddings.add_pack(
                session,
                number,
                sha256=sha256,
                n_rows=len(pictures),
                first_byte=made.first_byte,
                byte_size=len(made.content),
                now=self._context.clock(),
            )
            sums = [
                checksum(picture, memoryview(row).cast("B"))
                for picture, row in zip(pictures, vectors, strict=True)
            ]
            embeddings.add(session, number, pack_id, pictures, sums, instead=lost)

    def _number(self, recipe: str, width: int) -> int:
        now = self._context.clock()
        known = self._recipes.get((recipe, width))
        # Said anew now and then: what nobody uses goes, and a process may live for months.
        if known is None or now - known[1] > SAID_EVERY:
            with self._context.transaction() as session:
                known = embeddings.recipe_id(session, recipe, width, now=now), now
            self._recipes[recipe, width] = known
        return known[0]

    def _read(
        self, number: int, pictures: Sequence[bytes], *, again: bool
    ) -> Generator[Page, None, list[bytes]]:
        """Yield what is there; return the pictures whose packs are not."""
        gone: list[bytes] = []
        for group in _groups(self._wanted(number, pictures)):
            remote = []
            for wanted in group:
                page = self._kept_here(wanted)
                if page is None:
                    remote.append(wanted)
                else:
                    yield page
            found = self._context.store.get_ranges({w.pack.sha256: _asked(w) for w in remote})
            for wanted in remote:
                parts = found.pop(wanted.pack.sha256, None)
                if parts is not None:
                    page = self._page(number, wanted, parts)
                    if page[0]:
                        yield page
                elif again:
                    self._say("embeddings.pack_missing", number, wanted.pack, wanted.places)
                else:
                    gone += [place.picture for place in wanted.places]
        return gone

    def _wanted(self, number: int, pictures: Sequence[bytes]) -> list[Wanted]:
        places: dict[int, list[Place]] = {}
        with self._context.transaction() as session:
            for start in range(0, len(pictures), PAGE):
                some = pictures[start : start + PAGE]
                for place in embeddings.places(session, number, some):
                    places.setdefault(place.pack_id, []).append(place)
            packs = embeddings.packs(session, places)
            fill = (
                self._local is not None
                and len(pictures) >= MANY
                and embeddings.bytes_of(session, number) <= self._local.most_bytes
            )
        return [
            Wanted(
                packs[pack_id],
                sorted(of_pack, key=lambda place: place.row),
                fill or 2 * len(of_pack) >= packs[pack_id].n_rows,
            )
            for pack_id, of_pack in places.items()
            if pack_id in packs
        ]

    def _kept_here(self, wanted: Wanted) -> Page | None:
        if self._local is None:
            return None
        rows = self._local.rows(wanted.pack.sha256, wanted.ranges)
        if rows is None:
            return None
        if not all(map(wanted.is_whole, wanted.places, rows)):
            self._local.remove(wanted.pack.sha256)
            return None
        return _page(wanted.places, rows)

    def _page(self, number: int, wanted: Wanted, parts: Sequence[memoryview]) -> Page:
        rows = wanted.rows(parts)
        good = [wanted.is_whole(*both) for both in zip(wanted.places, rows, strict=True)]
        if not all(good):
            damaged = [place for place, fine in zip(wanted.places, good, strict=True) if not fine]
            self._say("embeddings.damaged", number, wanted.pack, damaged)
        elif wanted.whole and self._local is not None:
            self._local.keep(wanted.pack.sha256, parts[0])
        return _page(
            [place for place, fine in zip(wanted.places, good, strict=True) if fine],
            [row for row, fine in zip(rows, good, strict=True) if fine],
        )

    def _say(self, what: str, number: int, lost: Pack, places: Iterable[Place]) -> None:
        pictures = [place.picture for place in places]
        self._lost.update({(number, picture): lost for picture in pictures})
        log.warning(what, pack=lost.sha256, pictures=len(pictures), remedy="they are made anew")


def put_pack(context: Context, content: bytes, *, damaged: Iterable[str] = ()) -> str:
    """Put a pack into the store, also where a damaged one of the same content lies there."""
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 in damaged:
        context.store.delete_many([sha256])
    return context.store.put(content)


def _asked(wanted: Wanted) -> list[tuple[int, int]]:
    return [(0, wanted.pack.byte_size)] if wanted.whole else wanted.ranges


def _groups(wanted: Iterable[Wanted]) -> Iterator[list[Wanted]]:
    """Yield what is read together, each about AT_ONCE bytes."""
    group: list[Wanted] = []
    size = 0
    for each in wanted:
        group.append(each)
        size += each.size
        if size >= AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _page(places: Sequence[Place], rows: Sequence[memoryview]) -> Page:
    names = [place.picture.hex() for place in places]
    numbers = np.frombuffer(b"".join(rows), dtype=np.float16)
    return names, numbers.reshape(len(names), len(numbers) // max(len(names), 1))
