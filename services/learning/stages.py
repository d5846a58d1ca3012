"""Stages that work at the same time: reading far ahead, decoding, computing, writing behind.

Each stage has a thread of its own, the same for every shard of a process; the computing one is the
caller's. What is ahead and what is behind is bounded, so memory does not depend on the number of
rows.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Generic, TypeVar

from services.context import Context
from services.errors import InfrastructureError, TransientError, TubeGraderError
from services.work.jobs import patiently
from services.work.shards import MOST_FAILURES, ShardHandle

AHEAD = 2
"""Chunks that are read and decoded while one is computed: a store far away answers slowly."""
FIRST = 8
"""The first chunk of a shard is that part of the others, and each next one twice as large."""
BEHIND = 2
"""Chunks that wait to be written."""
TRIES, FIRST_S, LONGEST_S = 8, 0.05, 2.0
"""Of a read that fails in passing, and the pauses between them."""

Item = TypeVar("Item")
Raw = TypeVar("Raw")
Made = TypeVar("Made")


def chunks(rows: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield rows in chunks, the first of them small: until it is read nothing can be computed."""
    start, now = 0, max(size // FIRST, 1)
    while start < len(rows):
        yield rows[start : start + now]
        start, now = start + now, min(2 * now, size)


@cache
def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


def ahead(
    items: Iterable[Item], read: Callable[[Item], Raw], decode: Callable[[Raw], Made]
) -> Generator[Made, None, None]:
    """Yield what two stages make of items, in their order, ``AHEAD`` of the caller.

    Args:
        items: Small ones, such as the rows of a chunk; drawn by the caller's thread.
        read: The first stage: waits for the network.
        decode: The second.

    Raises:
        Exception: What a stage raised, in the place of the item.
    """
    coming: deque[Future[Made]] = deque()
    source = iter(items)
    try:
        while True:
            while len(coming) <= AHEAD and (item := next(source, None)) is not None:
                raw = _thread("read").submit(read, item)
                coming.append(_thread("decode").submit(_decoded, decode, raw))
            if not coming:
                return
            yield coming.popleft().result()
    finally:
        for future in coming:
            future.cancel()
        # What is under way still reads: nothing of this is left behind.
        for future in coming:
            if not future.cancelled():
                future.exception()


def _decoded(decode: Callable[[Raw], Made], raw: "Future[Raw]") -> Made:
    return decode(raw.result())


@dataclass
class Behind(Generic[Item]):
    """Writes in order while the caller goes on; at most ``BEHIND`` wait."""

    context: Context
    write: Callable[[Item], None]
    _waiting: "deque[Future[None]]" = field(default_factory=deque)

    def add(self, item: Item) -> None:
        """Have an item written; wait for an earlier one where too many are.

        Raises:
            Exception: What an earlier write raised.
        """
        if len(self._waiting) >= BEHIND:
            self._waiting.popleft().result()
        self._waiting.append(_thread("write").submit(self._write, item))

    def finish(self) -> None:
        """Wait until all is written.

        Raises:
            Exception: What a write raised.
        """
        while self._waiting:
            self._waiting.popleft().result()

    def abandon(self) -> None:
        """Write nothing more of what waits; what is being written ends."""
        for future in self._waiting:
            future.cancel()
        for future in self._waiting:
            if not future.cancelled():
                future.exception()

    def _write(self, item: Item) -> None:
        # A database that is away for a moment must not cost what was computed.
        patiently(self.context, lambda: self.write(item))


@contextmanager
def behind(context: Context, write: Callable[[Item], None]) -> Iterator[Behind[Item]]:
    """Write what the block adds; all of it is written when the block has ended well.

    Args:
        context: The database.
        write: Opens its own transactions; doing it twice changes nothing.
    """
    writer = Behind(context, write)
    try:
        yield writer
        writer.finish()
    finally:
        writer.abandon()


@dataclass(frozen=True)
class Contents:
    """Objects as they came from the store.

    Attributes:
        found: Bytes by name.
        broken: What is wrong with those that are not there or damaged, by name.
        later: What failed in passing again and again, by name.
    """

    found: dict[str, bytes]
    broken: dict[str, TubeGraderError]
    later: dict[str, TubeGraderError]


def read_contents(
    context: Context, names: Sequence[str], check: Callable[[], None] = lambda: None
) -> Contents:
    """Read objects, each again for some seconds where the store fails on it in passing.

    Args:
        context: The store.
        names: Each is read once.
        check: Raises where nobody wants them any more.
    """
    contents = Contents({}, {}, {})
    left = sorted(set(names))
    for tried in range(TRIES):
        if tried:
            check()
            time.sleep(min(FIRST_S * 2 ** (tried - 1), LONGEST_S))
        contents.later.clear()
        for name, got in context.store.get_apart(left).items():
            if isinstance(got, bytes):
                contents.found[name] = got
            elif isinstance(got, TransientError):
                contents.later[name] = got
            else:
                contents.broken[name] = got
        left = list(contents.later)
        if not left:
            break
    return contents


def leave_for_later(
    context: Context, handle: ShardHandle, later: Mapping[str, TubeGraderError]
) -> None:
    """Have what failed in passing tried again; set it aside once that was often enough.

    What else the shard has is scored by then, so whatever keeps failing fails alone. A store that
    is away is nobody's fault and waited for, however long.

    Args:
        context: The store.
        handle: The shard.
        later: Why, by row; the shard is done where nothing is.

    Raises:
        TubeGraderError: The first of them, to be tried again.
        InfrastructureError: The store is away.
    """
    if not later:
        return
    try:
        context.store.check()
    except TransientError as away:
        raise InfrastructureError(str(away), reason=away.reason, hint=away.hint) from away
    if handle.failures() + 1 < MOST_FAILURES:
        raise next(iter(later.values()))
    reasons = {row: error.reason for row, error in later.items()}
    with context.transaction() as session:
        handle.note(session, len(later), {"unreadable": len(later)}, reasons)
