"""What long work calls back: how far it is, and whether it is still wanted."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what is being done)."""
Cancelled: TypeAlias = Callable[[], bool]
"""Asked between steps; True ends the work."""
