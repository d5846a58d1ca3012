"""A lease that is kept while its batch takes longer than it lasts."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from db.queries import work
from db.session import unit_of_work
from services.context import Context

log = structlog.get_logger()


class LeaseLostError(Exception):
    """Nothing of the batch is this worker's any more; it must stop and change nothing."""


class KeptLease:
    """Whether the lease is still held, as told by the thread that extends it."""

    def __init__(self, context: Context, token: uuid.UUID) -> None:
        self._context = context
        self._token = token
        self._lost = threading.Event()
        self._ended = threading.Event()

    def check(self) -> None:
        """Go on only while the lease is held.

        Raises:
            LeaseLostError: Another worker has the batch.
        """
        if self._lost.is_set():
            raise LeaseLostError

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Extend the lease from a thread while the block runs."""
        keeper = threading.Thread(target=self._keep, name="audio-lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            self._ended.set()
            keeper.join()

    def _keep(self) -> None:
        while not self._ended.wait(self._context.lease.total_seconds() / 4):
            try:
                with unit_of_work(self._context.sessions) as session:
                    until = self._context.clock() + self._context.lease
                    held = work.extend_lease(session, self._token, until=until)
            except Exception:
                # The database may be away for a moment; whether the lease is lost, it will say.
                log.warning("audio.lease_not_extended", exc_info=True)
                continue
            if held == 0:
                self._lost.set()
                return
