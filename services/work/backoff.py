"""How long to wait before the next attempt: longer each time, up to a bound."""

from dataclasses import dataclass
from datetime import timedelta

_MOST_STEPS = 20


@dataclass(frozen=True)
class Backoff:
    """A pause that grows from failure to failure.

    Attributes:
        first: After the first one.
        longest: It never becomes longer than this.
        factor: From one pause to the next.
    """

    first: timedelta
    longest: timedelta
    factor: int = 2

    def after(self, failures: int) -> timedelta:
        """Return the pause after so many failures, of which there is at least one."""
        # Bounded before it is multiplied: a timedelta overflows at a billion days.
        steps = min(failures - 1, _MOST_STEPS)
        growth: int = self.factor**steps
        return min(self.first * growth, self.longest)
