"""What every benchmark has in common: a ratio of two measurements of one run, and a budget."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial


@dataclass(frozen=True)
class Measurement:
    """One measured ratio.

    Attributes:
        what: What was measured.
        measured: The one, with its unit, for people.
        against: What it is held against, likewise.
        ratio: The one divided by the other, or the one itself where the budget is absolute.
        at_least: The least that the ratio may be.
        at_most: The most that it may be. With neither it is for information.
    """

    what: str
    measured: str
    against: str
    ratio: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the budget is kept."""
        low = self.at_least is None or self.ratio >= self.at_least
        return low and (self.at_most is None or self.ratio <= self.at_most)

    @property
    def budget(self) -> str:
        """The budget in words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "—" if self.at_most is None else f"≤ {self.at_most:g}"


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(sides: Sequence[Callable[[], float]], *, rounds: int) -> list[float]:
    """Measure the sides in turn, so that a busy moment of the machine hits all of them.

    The first round warms up and is not counted.

    Returns:
        The median of what each side returned.
    """
    found: list[list[float]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        for side, seconds in zip(sides, found, strict=True):
            measured = side()
            if turn:
                seconds.append(measured)
    return [statistics.median(seconds) for seconds in found]


def against_bare_loop(
    what: str,
    unit: str,
    ours: Callable[[], object],
    bare: Callable[[], object],
    *,
    items: int,
    rounds: int,
) -> Measurement:
    """Hold training against forward and backward passes of the same network on one ready batch.

    Args:
        what: What was trained.
        unit: What a network learns from, such as ``images``.
        ours: The training.
        bare: As many steps without preparing a batch.
        items: How many of the unit either side takes.
        rounds: How often, besides the first.
    """
    mine, theirs = interleaved((partial(timed, ours), partial(timed, bare)), rounds=rounds)
    return Measurement(
        what,
        f"{items / mine:,.0f} {unit}/s",
        f"forward and backward on one ready batch, {items / theirs:,.0f} {unit}/s",
        theirs / mine,
        at_least=0.85,
    )
