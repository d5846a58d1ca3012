"""What every benchmark has in common: a ratio of two measurements of one run, and a budget."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, SupportsFloat

import psutil


class Median(float):
    """A median that knows what it is of, so that a ratio of two has a spread.

    What was measured in the same round is divided: a busy moment hits both sides of it.
    """

    values: tuple[float, ...]

    def __new__(cls, values: Sequence[float]) -> Self:
        """Take the values of some rounds."""
        made = super().__new__(cls, statistics.median(values))
        made.values = tuple(float(value) for value in values)
        return made

    def __truediv__(self, other: SupportsFloat) -> "Median":
        return Median([a / b for a, b in zip(self.values, self._beside(other), strict=True)])

    def __rtruediv__(self, other: SupportsFloat) -> "Median":
        return Median([b / a for a, b in zip(self.values, self._beside(other), strict=True)])

    def __mul__(self, other: SupportsFloat) -> "Median":
        return Median([a * b for a, b in zip(self.values, self._beside(other), strict=True)])

    __rmul__ = __mul__

    def _beside(self, other: SupportsFloat) -> Sequence[float]:
        return other.values if isinstance(other, Median) else [float(other)] * len(self.values)


@dataclass(frozen=True)
class Measurement:
    """One measured ratio.

    Attributes:
        what: What was measured.
        measured: The one, with its unit, for people.
        against: What it is held against, likewise.
        ratio: The one divided by the other, or the one itself where the budget is absolute. A
            :class:`Median` where there were rounds.
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

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the most that the ratio was in a round; None where there was one."""
        values = self.ratio.values if isinstance(self.ratio, Median) else ()
        return (min(values), max(values)) if len(values) > 1 else None


def together(runs: Sequence[Sequence[Measurement]]) -> list[Measurement]:
    """Return the measurements of several runs as one, each with the rounds of all of them.

    What is said of the measured values is the first run's.
    """
    by_name: dict[tuple[str, str], list[Measurement]] = {}
    for run in runs:
        seen: dict[str, int] = {}
        for one in run:
            # Two may be named alike and held against different things: by their order, too.
            seen[one.what] = seen.get(one.what, 0) + 1
            by_name.setdefault((one.what, str(seen[one.what])), []).append(one)
    found = []
    for same in by_name.values():
        values: list[float] = []
        for one in same:
            values += one.ratio.values if isinstance(one.ratio, Median) else [one.ratio]
        found.append(replace(same[0], ratio=Median(values)) if len(values) > 1 else same[0])
    return found


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the seconds of processors that ``work`` takes in this process, of all its threads.

    What others do on the machine counts less than on the clock.
    """
    started = time.process_time()
    work()
    return time.process_time() - started


def processor_s_of(processes: Iterable[psutil.Process]) -> float:
    """Return the seconds of processors that processes have had; one that has ended counts none."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def interleaved(sides: Sequence[Callable[[], float]], *, rounds: int) -> list[Median]:
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
    return [Median(seconds) for seconds in found]


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
