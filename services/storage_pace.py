"""How many reads a store is asked for at once: more where it answers late, fewer where it fails."""

from collections.abc import Sequence

LEAST, MOST = 8, 256
LATE_S = 0.05
"""Answers that take longer are waited for in greater numbers."""


class Pace:
    """The number of reads at once, as the last ones went."""

    def __init__(self, at_once: int) -> None:
        self._usual = at_once
        self.at_once = at_once

    def learn(self, waited: Sequence[float], *, failed: bool) -> None:
        """Choose the number for the next reads.

        Args:
            waited: For how many seconds each of the last ones that succeeded was waited for.
            failed: Whether one of them failed in passing.
        """
        if failed:
            self.at_once = max(self.at_once // 2, LEAST)
        elif self.at_once < self._usual:
            self.at_once = min(self.at_once * 2, self._usual)
        elif len(waited) >= self.at_once and sum(waited) > LATE_S * len(waited):
            self.at_once = min(self.at_once * 2, MOST)
