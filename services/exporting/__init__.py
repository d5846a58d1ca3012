"""Views in bulk, as streams in formats that other programs read; memory stays flat."""

import queue
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from db.queries import exporting as rows
from db.views import CURRENT
from services.context import Context
from services.errors import BusyError, NotFoundError, TransientError, TubeGraderError
from services.exporting.encoding import FORMATS, Format
from services.transactions import translating

VIEWS: Final = tuple(sorted(CURRENT))
ROWS: Final = 5_000
"""Read, encoded and handed on at a time."""
AT_A_TIME: Final = 3
"""Exports; each holds a connection while somebody reads it."""
PATIENCE_S: Final = 25.0
"""A reader who takes nothing for so long is given up, before the database gives us up."""
_PLACES = threading.BoundedSemaphore(AT_A_TIME)
_AHEAD = 2


class ReaderGoneError(Exception):
    """Nobody takes what is made any more."""


def stream(context: Context, view: str, form: str) -> tuple[Format, Iterator[bytes]]:
    """Return a view's content as pieces of a file; what can go wrong at once goes wrong at once.

    The caller closes the pieces, also where it does not want all of them.

    Args:
        context: The database.
        view: One of ``VIEWS``.
        form: One of ``FORMATS``.

    Raises:
        NotFoundError: There is no such view.
        BusyError: As many are being exported as may.
        InfrastructureError: The database is away.
    """
    if view not in CURRENT:
        raise NotFoundError(
            f"there is no view {view}", reason="noView", hint=f"there are {', '.join(VIEWS)}"
        )
    chosen = FORMATS[form]
    if not _PLACES.acquire(blocking=False):
        raise BusyError("other views are being exported", reason="busy", hint="try again soon")
    production = _Production(context, view, chosen)
    pieces = production.pieces()
    return chosen, _after_first(pieces)


def _after_first(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return pieces of which the first is there already, or raise what came instead."""
    first = next(pieces, b"")
    return _again(first, pieces)


def _again(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield first
        yield from pieces
    finally:
        pieces.close()  # type: ignore[attr-defined]  # a generator


class _Production:
    """One export: a thread of its own reads and encodes, as a transaction belongs to a thread."""

    def __init__(self, context: Context, view: str, form: Format) -> None:
        self._context = context
        self._view = view
        self._form = form
        self._pieces: queue.Queue[bytes | Exception | None] = queue.Queue(_AHEAD)
        self._is_over = threading.Event()

    def pieces(self) -> Iterator[bytes]:
        """Yield what the thread makes; end it when nobody wants more."""
        with self._at_work():
            while (piece := self._next()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece

    def _next(self) -> bytes | Exception | None:
        while True:
            try:
                return self._pieces.get(timeout=0.5)
            except queue.Empty:
                # Given up while nothing was taken: what is missing must not look like the end.
                if self._is_over.is_set():
                    return TransientError(
                        f"the export was given up: nothing was read of it for {PATIENCE_S:.0f} s",
                        reason="readerTooSlow",
                        hint="read it at once, into a file",
                    )

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        threading.Thread(target=self._work, name=f"export {self._view}", daemon=True).start()
        try:
            yield
        finally:
            self._is_over.set()

    def _work(self) -> None:
        try:
            self._make()
        except ReaderGoneError:
            self._is_over.set()
        except TubeGraderError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - raised again where it is read
            self._end(TransientError(f"the export broke off: {error}", reason="exportBroken"))
        else:
            self._end(None)
        finally:
            _PLACES.release()

    def _make(self) -> None:
        with translating(), self._context.transaction() as session:
            encoder = self._form.encoder(rows.columns(session, self._view))
            self._put(encoder.begin())
            # A reader who leaves ends it here, before the transaction does.
            with closing(rows.rows(session, self._view, size=ROWS)) as pages:
                for page in pages:
                    self._put(encoder.add(page))
            self._put(encoder.end())

    def _put(self, piece: bytes) -> None:
        if piece:
            self._hand_over(piece)

    def _end(self, last: Exception | None) -> None:
        try:
            self._hand_over(last)
        except ReaderGoneError:
            self._is_over.set()

    def _hand_over(self, piece: bytes | Exception | None) -> None:
        waited = 0.0
        while not self._is_over.is_set() and waited < PATIENCE_S:
            try:
                return self._pieces.put(piece, timeout=0.5)
            except queue.Full:
                waited += 0.5
        raise ReaderGoneError
