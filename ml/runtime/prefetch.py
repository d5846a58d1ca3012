"""Prepare the next item while the caller works on this one."""

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield items in their order, each drawn in a thread while the one before it is worked on.

    Pass a generator that does the work of an item (fetch, decode, draw): it runs in that thread and
    never twice at a time, so it may hold a random generator. At most one item is ahead of the
    caller's. A caller that stops early waits for that one and draws no further.

    Args:
        items: Drawn once, from one thread.

    Raises:
        Exception: What drawing raised, in the place of the item.
    """
    source = iter(items)

    def draw() -> list[Item]:
        return list(islice(source, 1))

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as pool:
        coming = pool.submit(draw)
        while drawn := coming.result():
            coming = pool.submit(draw)
            yield from drawn
