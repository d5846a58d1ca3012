"""A lease that a thread keeps while its work goes on, for as long as that takes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger()


class LeaseLostError(Exception):
    """Another worker has the work now; this one must stop and change nothing more."""


class KeptLease:
    """Whether a lease is still held, as told by the thread that extends it."""

    def __init__(self, extend: Callable[[], bool], *, every_s: float) -> None:
        """Keep a lease by a function that extends it and tells whether it is still held.

        Args:
            extend: Called from the thread. When it fails the lease counts as held: the database
                may be away for a moment, and will say afterwards.
            every_s: Seconds between two calls.
        """
        self._extend = extend
        self._every_s = every_s
        self._lost = threading.Event()
        self._ended = threading.Event()

    def check(self) -> None:
        """Go on only while the lease is held.

        Raises:
            LeaseLostError: Another worker has it.
        """
        if self._lost.is_set():
            raise LeaseLostError

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Extend the lease from a thread while the block runs, and once more at its end."""
        keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._ended.set()
            keeper.join()

    def _keep(self) -> None:
        while not self._lost.is_set():
            ended = self._ended.wait(self._every_s)
            try:
                held = self._extend()
            except Exception:
                log.warning("lease.not_extended", exc_info=True)
                held = True
            if not held:
                self._lost.set()
            if ended:
                return
