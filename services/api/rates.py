"""How often one caller may ask: so many at once, and as many again each minute."""

import time
from typing import Final

MOST_CALLERS: Final = 10_000


class Rate:
    """A bucket for each caller, which fills by itself; used by one thread."""

    def __init__(self, per_minute: int) -> None:
        """Let each caller ask so often a minute; 0: as often as it likes."""
        self._size = float(per_minute)
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_s(self, caller: str) -> float:
        """Count a request; return for how long the caller is to wait first, 0 if not at all."""
        wait = self.left_s(caller)
        if wait or self._size == 0:
            return wait
        left = self._left(caller)
        if len(self._buckets) >= MOST_CALLERS and caller not in self._buckets:
            self._buckets.pop(next(iter(self._buckets)))
        self._buckets[caller] = (left - 1, time.monotonic())
        return 0.0

    def left_s(self, caller: str) -> float:
        """Return for how long the caller is to wait yet; counts nothing."""
        left = self._left(caller)
        return 0.0 if self._size == 0 or left >= 1 else (1 - left) * 60 / self._size

    def _left(self, caller: str) -> float:
        left, at = self._buckets.get(caller, (self._size, 0.0))
        return min(self._size, left + (time.monotonic() - at) * self._size / 60)
