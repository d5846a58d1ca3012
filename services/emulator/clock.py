"""The emulator's own time: it stands still, or runs as many times faster as one likes."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from services.errors import UsageError


class WorldClock:
    """A ``Clock`` that can be turned forward while it runs; safe to share between threads.

    Args:
        start: The moment it starts at (aware).
        speed: Seconds of the world for each real one; 0 stands still until it is turned.
        real: Tells real seconds.
    """

    def __init__(
        self, start: datetime, *, speed: float = 0.0, real: Callable[[], float] = time.monotonic
    ) -> None:
        if not 0 <= speed <= 1e6:  # noqa: PLR2004
            raise UsageError(f"The speed lies between 0 and 1,000,000, not at {speed}.")
        self.speed = speed
        self._real = real
        self._lock = threading.Lock()
        self._set_at, self._then = real(), start.astimezone(UTC)

    def __call__(self) -> datetime:
        """Return the present moment of the world, UTC."""
        with self._lock:
            return self._now()

    def turn_to(self, moment: datetime) -> datetime:
        """Turn to ``moment`` (aware) and return it.

        Raises:
            UsageError: It lies in the past: what was answered cannot be unsaid.
        """
        with self._lock:
            now = self._now()
            if moment < now:
                raise UsageError(f"The clock is at {now.isoformat()} and cannot be turned back.")
            self._set_at, self._then = self._real(), moment.astimezone(UTC)
            return self._then

    def advance(self, by: timedelta) -> datetime:
        """Turn forward by a span ≥ 0; return the moment reached.

        Raises:
            UsageError: The span is negative, or leads past the calendar's end.
        """
        try:
            return self.turn_to(self() + by)
        except OverflowError:
            raise UsageError("The calendar ends with the year 9999.") from None

    def _now(self) -> datetime:
        return self._then + timedelta(seconds=(self._real() - self._set_at) * self.speed)
